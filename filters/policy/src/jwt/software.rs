//! Signature checks in Rust, for what a host does not check, and for where there is no host.

use ed25519_dalek::Verifier as _;
use rsa::traits::SignatureScheme;
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPublicKey};
use sha2::{Sha256, Sha384, Sha512};

use super::crypto::{Algorithm, Crypto, CryptoError};
use super::jwks::{KeyMaterial, PublicKey};

/// Checks them itself, in Rust. In WebAssembly not those of ECDSA (ES256, ES384, ES512): the code of each curve would be a large part of the
/// module, for what proxies check themselves.
#[derive(Debug, Clone, Copy, Default)]
pub struct SoftwareCrypto;

impl Crypto for SoftwareCrypto {
    #[inline(never)]
    fn verify(&self, algorithm: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<bool, CryptoError> {
        match (algorithm, key.material()) {
            (Algorithm::Rs256, KeyMaterial::Rsa(key)) => rsa(key, Pkcs1v15Sign::new::<Sha256>(), &digest::<Sha256>(message), signature),
            (Algorithm::Rs384, KeyMaterial::Rsa(key)) => rsa(key, Pkcs1v15Sign::new::<Sha384>(), &digest::<Sha384>(message), signature),
            (Algorithm::Rs512, KeyMaterial::Rsa(key)) => rsa(key, Pkcs1v15Sign::new::<Sha512>(), &digest::<Sha512>(message), signature),
            (Algorithm::Ps256, KeyMaterial::Rsa(key)) => rsa(key, Pss::new::<Sha256>(), &digest::<Sha256>(message), signature),
            (Algorithm::Ps384, KeyMaterial::Rsa(key)) => rsa(key, Pss::new::<Sha384>(), &digest::<Sha384>(message), signature),
            (Algorithm::Ps512, KeyMaterial::Rsa(key)) => rsa(key, Pss::new::<Sha512>(), &digest::<Sha512>(message), signature),
            (Algorithm::Es256, KeyMaterial::P256(point)) => es256(point, message, signature),
            (Algorithm::Es384, KeyMaterial::P384(point)) => es384(point, message, signature),
            (Algorithm::Es512, KeyMaterial::P521(point)) => es512(point, message, signature),
            (Algorithm::EdDsa, KeyMaterial::Ed25519(key)) => eddsa(key, message, signature),
            (_, KeyMaterial::Rsa(_) | KeyMaterial::P256(_) | KeyMaterial::P384(_) | KeyMaterial::P521(_) | KeyMaterial::Ed25519(_)) => {
                Err(CryptoError(format!("{algorithm:?} is not the key's")))
            }
        }
    }
}

#[inline(never)]
fn digest<D: sha2::Digest>(message: &[u8]) -> sha2::digest::Output<D> {
    D::digest(message)
}

fn unusable(error: impl std::fmt::Display) -> CryptoError {
    CryptoError(error.to_string())
}

/// RFC 8017 section 8. The modulus and exponent of a key.
#[inline(never)]
fn rsa(
    (modulus, exponent): &(Vec<u8>, Vec<u8>),
    scheme: impl SignatureScheme,
    digest: &[u8],
    signature: &[u8],
) -> Result<bool, CryptoError> {
    let key = RsaPublicKey::new(BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent)).map_err(unusable)?;
    Ok(key.verify(scheme, digest, signature).is_ok())
}

/// A signature of another length, or with a number that none can have, is not valid (RFC 7518 section 3.4).
#[cfg(not(target_family = "wasm"))]
fn es256(point: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, CryptoError> {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(unusable)?;
    Ok(p256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok()))
}

#[cfg(not(target_family = "wasm"))]
fn es384(point: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, CryptoError> {
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(unusable)?;
    Ok(p384::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok()))
}

#[cfg(not(target_family = "wasm"))]
fn es512(point: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, CryptoError> {
    let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(unusable)?;
    Ok(p521::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok()))
}

#[cfg(target_family = "wasm")]
fn es256(_point: &[u8], _message: &[u8], _signature: &[u8]) -> Result<bool, CryptoError> {
    Err(CryptoError("the host does not check ES256 signatures".to_owned()))
}

#[cfg(target_family = "wasm")]
fn es384(_point: &[u8], _message: &[u8], _signature: &[u8]) -> Result<bool, CryptoError> {
    Err(CryptoError("the host does not check ES384 signatures".to_owned()))
}

#[cfg(target_family = "wasm")]
fn es512(_point: &[u8], _message: &[u8], _signature: &[u8]) -> Result<bool, CryptoError> {
    Err(CryptoError("the host does not check ES512 signatures".to_owned()))
}

#[inline(never)]
fn eddsa(key: &[u8; 32], message: &[u8], signature: &[u8]) -> Result<bool, CryptoError> {
    let key = ed_key(key)?;
    Ok(ed25519_dalek::Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok()))
}

#[inline(never)]
fn ed_key(key: &[u8; 32]) -> Result<ed25519_dalek::VerifyingKey, CryptoError> {
    ed25519_dalek::VerifyingKey::from_bytes(key).map_err(unusable)
}
