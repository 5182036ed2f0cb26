//! Keys that exist for these tests only, and tokens signed with them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p521::ecdsa::signature::Signer as _;
use p521::pkcs8::DecodePrivateKey as _;
use serde_json::{Value, json};

/// The public halves of all but [`OTHER_RSA`], by `kid`: `rsa`, `p256`, `p384`, `p521`, `ed`.
pub(crate) const JWKS: &str = include_str!("keys/test-jwks.json");
/// The public half of [`OTHER_RSA`], `kid` `other`.
pub(crate) const OTHER_JWKS: &str = include_str!("keys/other-test-jwks.json");

pub(crate) const RSA: &str = include_str!("keys/rsa-test-key.pem");
pub(crate) const OTHER_RSA: &str = include_str!("keys/other-rsa-test-key.pem");
pub(crate) const P256: &str = include_str!("keys/p256-test-key.pem");
pub(crate) const P384: &str = include_str!("keys/p384-test-key.pem");
pub(crate) const P521: &str = include_str!("keys/p521-test-key.pem");
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

/// ES512, which the library above does not sign.
pub(crate) fn sign_es512(kid: Option<&str>, claims: &Value) -> String {
    let header = kid.map_or_else(|| json!({"alg": "ES512"}), |kid| json!({"alg": "ES512", "kid": kid}));
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let secret = p521::SecretKey::from_pkcs8_der(&der(P521)).unwrap();
    let signature: p521::ecdsa::Signature = p521::ecdsa::SigningKey::from_slice(&secret.to_bytes()).unwrap().sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

/// What is in a PEM file (RFC 7468).
pub(crate) fn der(pem: &str) -> Vec<u8> {
    STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap()
}

/// The usual token.
pub(crate) fn token(claims: &Value) -> String {
    sign(Algorithm::EdDSA, ED25519, Some("ed"), claims)
}
