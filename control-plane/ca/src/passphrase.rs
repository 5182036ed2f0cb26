//! Keys at rest: PKCS #8, encrypted with PBES2 (scrypt and AES-256-CBC) when there is a passphrase, so that `openssl pkcs8` reads them.

use std::fmt;
use std::path::Path;

use pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo};
use zeroize::Zeroizing;

use crate::store::{self, StoreError};

/// Shorter ones are searched in hours.
const SHORTEST: usize = 12;
/// 16 MiB and some tens of milliseconds: openssl's own choice, and the most that it reads back without being told to.
const SCRYPT: (u8, u32, u32) = (14, 8, 1);

/// What encrypts the authority's keys on disk. Its `Debug` does not show it.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the passphrase file `{0}` does not exist")]
    Missing(String),
    #[error("a passphrase has at least {SHORTEST} bytes, this one has {0}")]
    Short(usize),
}

impl Passphrase {
    /// # Errors
    /// [`PassphraseError::Short`].
    pub fn new(text: Zeroizing<Vec<u8>>) -> Result<Self, PassphraseError> {
        if text.len() < SHORTEST { Err(PassphraseError::Short(text.len())) } else { Ok(Self(text)) }
    }

    /// The whole file, which may also be a key of random bytes; one line end at its end does not count. It must be its owner's alone.
    ///
    /// # Errors
    /// [`PassphraseError`].
    pub fn from_file(path: &Path) -> Result<Self, PassphraseError> {
        let mut text = store::read(path)?.ok_or_else(|| PassphraseError::Missing(path.display().to_string()))?;
        if text.last() == Some(&b'\n') {
            text.pop();
        }
        Self::new(text)
    }

    /// `None` when the operating system gives no randomness or the key is not PKCS #8.
    pub(crate) fn encrypt(&self, pkcs8: &[u8]) -> Option<Zeroizing<String>> {
        let (salt, iv) = (store::random::<16>().ok()?, store::random::<16>().ok()?);
        let (log_n, r, p) = SCRYPT;
        let scrypt = pkcs5::scrypt::Params::new(log_n, r, p, 32).ok()?;
        let parameters = pbes2::Parameters::scrypt_aes256cbc(scrypt, &salt, &iv).ok()?;
        let encrypted = PrivateKeyInfo::try_from(pkcs8).ok()?.encrypt_with_params(parameters, &self.0).ok()?;
        encrypted.to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF).ok()
    }

    /// `None` when it is another passphrase's, or not an encrypted key.
    pub(crate) fn decrypt(&self, encrypted: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let document = EncryptedPrivateKeyInfo::try_from(encrypted).ok()?.decrypt(&self.0).ok()?;
        Some(Zeroizing::new(document.as_bytes().to_vec()))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(redacted)")
    }
}
