//! Keys that exist for these tests only, and tokens signed with them.

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
    let key = match algorithm {
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
        Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem.as_bytes()),
        _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
    };
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, &key.unwrap()).unwrap()
}

/// The usual token.
pub(crate) fn token(claims: &Value) -> String {
    sign(Algorithm::EdDSA, ED25519, Some("ed"), claims)
}
