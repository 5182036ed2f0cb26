use std::fmt;

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

/// What a key is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyAlgorithm {
    /// ECDSA on P-256 with SHA-256: what every peer knows.
    #[default]
    EcdsaP256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384,
    /// Ed25519. For authorities only: Envoy takes no leaf of it.
    Ed25519,
}

/// A private key. Its `Debug` shows nothing of it; its memory is cleared when it goes.
pub struct PrivateKey {
    pair: KeyPair,
    pem: Zeroizing<String>,
}

/// Why a key could not be made, read or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("private key: {0}")]
pub struct KeyError(String);

impl From<rcgen::Error> for KeyError {
    fn from(error: rcgen::Error) -> Self {
        Self(error.to_string())
    }
}

impl KeyAlgorithm {
    /// The names by which it is chosen.
    pub const NAMES: [&'static str; 3] = ["p256", "p384", "ed25519"];

    /// Of one of [`KeyAlgorithm::NAMES`].
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "p256" => Some(Self::EcdsaP256),
            "p384" => Some(Self::EcdsaP384),
            "ed25519" => Some(Self::Ed25519),
            _ => None,
        }
    }
}

impl PrivateKey {
    /// # Errors
    /// [`KeyError`] when the operating system gives no randomness.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let signature = match algorithm {
            KeyAlgorithm::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyAlgorithm::EcdsaP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            KeyAlgorithm::Ed25519 => &rcgen::PKCS_ED25519,
        };
        Ok(Self::new(KeyPair::generate_for(signature)?))
    }

    /// Any kind of key that can sign, PKCS #8.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Ok(Self::new(KeyPair::try_from(&PrivatePkcs8KeyDer::from(der))?))
    }

    fn new(pair: KeyPair) -> Self {
        let pem = Zeroizing::new(pair.serialize_pem());
        Self { pair, pem }
    }

    /// PKCS #8, PEM: for handing the key to the one proxy that is to use it.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }

    /// For rustls, which keeps its own copy.
    #[must_use]
    pub fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pair.serialize_der()))
    }

    /// A signing request (PKCS #10, DER) that proves possession of this key and asks for nothing by name.
    ///
    /// # Errors
    /// [`KeyError`] when signing fails.
    pub fn signing_request(&self) -> Result<Vec<u8>, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        Ok(params.serialize_request(&self.pair)?.der().to_vec())
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        use zeroize::Zeroize as _;
        self.pair.zeroize();
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}
