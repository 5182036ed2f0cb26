//! Signature checks, behind a seam: a host that can do them faster takes over.

use super::jwks::PublicKey;

/// The signature algorithms that a token may use (RFC 7518 section 3.1, RFC 8037). `none` and HMAC are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    pub(super) const RSA: [Self; 6] = [Self::Rs256, Self::Rs384, Self::Rs512, Self::Ps256, Self::Ps384, Self::Ps512];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// A signature could not be checked at all; the token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the signature cannot be checked: {0}")]
pub struct CryptoError(pub String);

/// Checks signatures.
pub trait Crypto {
    /// Whether `signature`, as it is in the token (for ECDSA r and s, one behind the other), is the key's over `message`.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn verify(&self, algorithm: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<bool, CryptoError>;
}
