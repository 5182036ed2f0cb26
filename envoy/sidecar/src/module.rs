use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// A module is about 2 MB; this much of one is a mistake.
const LARGEST: u64 = 64 * 1024 * 1024;
const TRIES: usize = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const DIGEST_DIGITS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ModuleError {
    #[error("the control plane names the filter module by `{0}`, which is not a SHA-256 (64 digits of 0-9, a-f)")]
    Name(String),
    #[error("the control plane's filter module has {0} bytes; at most {LARGEST} are loaded")]
    Large(u64),
    #[error("the filter module has {found} of {expected} bytes: the transfer was cut off")]
    Truncated { expected: u64, found: u64 },
    #[error("the filter module's SHA-256 is {found} and should be {expected}: it is not loaded")]
    Digest { expected: String, found: String },
    #[error("the filter module cannot be kept in `{}`: {why}", folder.display())]
    Store { folder: PathBuf, why: String },
    #[error("the filter module cannot be fetched: {0}")]
    Fetch(String),
}

/// The module that the control plane wants: named by its digest, which is checked here to be one, because it becomes a file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    sha256: String,
    size: u64,
}

impl Description {
    pub(crate) fn new(sha256: &str, size: u64) -> Result<Self, ModuleError> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if sha256.len() != DIGEST_DIGITS || !sha256.bytes().all(is_digit) {
            return Err(ModuleError::Name(sha256.chars().take(DIGEST_DIGITS).collect()));
        }
        if size > LARGEST {
            return Err(ModuleError::Large(size));
        }
        Ok(Self { sha256: sha256.to_owned(), size })
    }

    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    fn check(&self, bytes: &[u8]) -> Result<(), ModuleError> {
        let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if found != self.size {
            return Err(ModuleError::Truncated { expected: self.size, found });
        }
        let found = hex(&Sha256::digest(bytes));
        if found != self.sha256 {
            return Err(ModuleError::Digest { expected: self.sha256.clone(), found });
        }
        Ok(())
    }
}

/// Verified modules: `<folder>/<sha256>.wasm`.
#[derive(Debug)]
pub(crate) struct ModuleStore {
    folder: PathBuf,
}

impl ModuleStore {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Has the module in its place, fetched if it is not there or not whole. What was fetched wrong is never put there; it is tried again
    /// a few times, for a transfer can be cut off.
    pub(crate) async fn ensure<F>(&self, module: &Description, fetch: impl Fn() -> F) -> Result<PathBuf, ModuleError>
    where
        F: Future<Output = Result<Vec<u8>, ModuleError>>,
    {
        let path = self.folder.join(format!("{}.wasm", module.sha256));
        if std::fs::read(&path).is_ok_and(|bytes| module.check(&bytes).is_ok()) {
            return Ok(path);
        }
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let fetched = fetch().await.and_then(|bytes| module.check(&bytes).map(|()| bytes));
            match fetched {
                Ok(bytes) => {
                    meshwright_durable::replace(&path, &bytes)
                        .map_err(|error| ModuleError::Store { folder: self.folder.clone(), why: error.to_string() })?;
                    break;
                }
                Err(error) if attempt >= TRIES => return Err(error),
                Err(error) => tracing::warn!(%error, attempt, "fetching the filter module again"),
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
        Ok(path)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const MODULE: &[u8] = b"\0asm module";

    fn description() -> Description {
        Description::new(&hex(&Sha256::digest(MODULE)), 11).unwrap()
    }

    /// What `ensure` answers when the n-th fetch gives the n-th of `fetched` (the last one again and again), how often it fetched, and
    /// what is in the folder then.
    async fn check(before: Option<&[u8]>, fetched: &[&[u8]]) -> (Result<PathBuf, ModuleError>, usize, Vec<Vec<u8>>) {
        let folder = tempfile::tempdir().unwrap();
        let module = description();
        if let Some(before) = before {
            std::fs::write(folder.path().join(format!("{}.wasm", module.sha256())), before).unwrap();
        }
        let count = AtomicUsize::new(0);
        let fetch = || {
            let n = count.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Ok(fetched[n.min(fetched.len() - 1)].to_vec()))
        };
        let result = ModuleStore::new(folder.path().to_owned()).ensure(&module, fetch).await;
        let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
        (result, count.into_inner(), files)
    }

    #[test]
    fn only_a_digest_becomes_a_file_name() {
        let digest = "0123456789abcdef".repeat(4);
        assert_eq!(Description::new(&digest, 5).unwrap().sha256(), digest);
        for bad in ["", "../../etc/passwd", &digest.to_uppercase(), &"0".repeat(63), &format!("{digest}0")] {
            assert!(matches!(Description::new(bad, 5), Err(ModuleError::Name(_))), "{bad}");
        }
        assert_eq!(Description::new(&digest, LARGEST + 1), Err(ModuleError::Large(LARGEST + 1)));
    }

    #[tokio::test]
    async fn a_verified_module_is_not_fetched_again_and_a_damaged_one_is() {
        let (result, fetched, files) = check(None, &[MODULE]).await;
        assert!(result.unwrap().to_str().unwrap().ends_with(&format!("{}.wasm", description().sha256())));
        assert_eq!((fetched, files), (1, vec![MODULE.to_vec()]));
        let (_, fetched, _) = check(Some(MODULE), &[b"never asked for"]).await;
        assert_eq!(fetched, 0);
        let (result, fetched, files) = check(Some(b"\0asm modulE"), &[MODULE]).await;
        assert!(result.is_ok());
        assert_eq!((fetched, files), (1, vec![MODULE.to_vec()]));
    }

    #[tokio::test]
    async fn a_wrong_or_truncated_module_is_one_clear_error_and_never_kept() {
        let (result, fetched, files) = check(None, &[b"\0asm modulE"]).await;
        let error = result.unwrap_err();
        assert!(matches!(error, ModuleError::Digest { .. }), "{error}");
        assert_eq!((fetched, files.len()), (TRIES, 0));
        let (result, _, files) = check(None, &[b"\0asm"]).await;
        assert_eq!(result.unwrap_err(), ModuleError::Truncated { expected: 11, found: 4 });
        assert_eq!(files.len(), 0);
    }

    #[tokio::test]
    async fn a_transfer_that_was_cut_off_is_tried_again() {
        let (result, fetched, files) = check(None, &[b"\0asm", MODULE]).await;
        assert!(result.is_ok());
        assert_eq!((fetched, files), (2, vec![MODULE.to_vec()]));
    }
}
