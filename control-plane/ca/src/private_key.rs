use std::fmt;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

/// A private key (ECDSA P-256). Its `Debug` shows nothing of it; its memory is cleared when it goes.
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

impl PrivateKey {
    /// # Errors
    /// [`KeyError`] when the operating system gives no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self::new(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?))
    }

    pub(crate) fn new(pair: KeyPair) -> Self {
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
