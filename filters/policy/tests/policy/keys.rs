//! Keys that exist for these tests only, and tokens signed with them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::Value;

/// The public halves of all but [`OTHER_RSA`], by `kid`: `rsa`, `p256`, `p384`, `ed`.
pub(crate) const JWKS: &str = include_str!("keys/test-jwks.json");
/// The public half of [`OTHER_RSA`], `kid` `other`.
pub(crate) const OTHER_JWKS: &str = include_str!("keys/other-test-jwks.json");

pub(crate) const RSA: &str = include_str!("keys/rsa-test-key.pem");
pub(crate) const OTHER_RSA: &str = include_str!("keys/other-rsa-test-key.pem");
pub(crate) const P256: &str = include_str!("keys/p256-test-key.pem");
pub(crate) const P384: &str = include_str!("keys/p384-test-key.pem");
pub(crate) const ED25519: &str = include_str!("keys/ed25519-test-key.pem");

pub(crate) fn sign(algorithm: Algorithm, pem: &str, kid: Option<&str>, claims: &Value) -> String {
    let der = der(pem);
    let key = match algorithm {
        Algorithm::EdDSA => EncodingKey::from_ed_der(&der),
        Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_der(&der),
        _ => EncodingKey::from_rsa_der(&der),
    };
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

/// What is in a PEM file (RFC 7468).
pub(crate) fn der(pem: &str) -> Vec<u8> {
    STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap()
}

/// The usual token.
pub(crate) fn token(claims: &Value) -> String {
    sign(Algorithm::EdDSA, ED25519, Some("ed"), claims)
}
