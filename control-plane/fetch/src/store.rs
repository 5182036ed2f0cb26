//! The last good answer of each source on disk: one file for each, the old answer or the new one at every instant. Public keys are no secret,
//! but whoever could change them could make tokens or certificates, so nobody else may write here.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshwright_durable as durable;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// More than any answer that was ever taken.
const LARGEST: u64 = 1024 * 1024;

/// Why an answer could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("`{}` cannot be {action}: {source}", .path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("`{}` may be written by others (mode {mode:04o}); run `chmod go-w` on it first", .path.display())]
    Writable { path: PathBuf, mode: u32 },
    #[error("`{}` is not what was written there: {why}", .path.display())]
    Content { path: PathBuf, why: String },
}

/// A directory of last good answers.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
}

/// An answer and when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub text: String,
    pub fetched: SystemTime,
}

/// A file's content.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// What kind of source, and which.
    kind: String,
    source: String,
    /// Seconds since 1970-01-01 UTC.
    fetched: u64,
    jwks: String,
}

impl Store {
    /// `name`: of the folder in the data directory.
    ///
    /// # Errors
    /// [`StoreError`]: the folder cannot be used, or others may write into it.
    pub fn open(data_dir: &Path, name: &str) -> Result<Self, StoreError> {
        let folder = data_dir.join(name);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => durable::sync_dir(data_dir).map_err(io_error(data_dir, "written"))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let mode = fs::metadata(&folder).map_err(io_error(&folder, "read"))?.permissions().mode() & 0o7777;
                if mode & 0o022 != 0 {
                    return Err(StoreError::Writable { path: folder, mode });
                }
            }
            Err(error) => return Err(io_error(&folder, "created")(error)),
        }
        durable::remove_unfinished(&folder).map_err(io_error(&folder, "cleared of what was half-written"))?;
        Ok(Self { folder })
    }

    /// What was kept of a source, as it was: whoever asks checks it as if it came from there. None: it was never fetched.
    ///
    /// # Errors
    /// [`StoreError`]: it cannot be read, or is another source's.
    pub fn load(&self, kind: &str, source: &str) -> Result<Option<Kept>, StoreError> {
        let path = self.path(kind, source);
        let mut text = String::new();
        match File::open(&path) {
            Ok(file) => file.take(LARGEST).read_to_string(&mut text).map_err(io_error(&path, "read"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(&path, "read")(error)),
        };
        let stored: Stored = serde_json::from_str(&text).map_err(|error| self.unusable(kind, source, error.to_string()))?;
        if (stored.kind.as_str(), stored.source.as_str()) != (kind, source) {
            return Err(self.unusable(kind, source, format!("it is that of `{}`", stored.source)));
        }
        Ok(Some(Kept { text: stored.jwks, fetched: UNIX_EPOCH + Duration::from_secs(stored.fetched) }))
    }

    /// What to say of a kept answer that is not taken any more.
    #[must_use]
    pub fn unusable(&self, kind: &str, source: &str, why: String) -> StoreError {
        StoreError::Content { path: self.path(kind, source), why }
    }

    /// After it returns the answer is there, whatever happens to the machine; before, the old one or the new one.
    ///
    /// # Errors
    /// [`StoreError`]: the old one stays.
    pub fn save(&self, kind: &str, source: &str, kept: &Kept) -> Result<(), StoreError> {
        let path = self.path(kind, source);
        let fetched = kept.fetched.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let stored = Stored { kind: kind.to_owned(), source: source.to_owned(), fetched, jwks: kept.text.clone() };
        let written = serde_json::to_vec(&stored).map_err(io::Error::other).and_then(|bytes| durable::replace(&path, &bytes));
        written.map_err(io_error(&path, "written"))
    }

    /// A URL is no file name; its digest is.
    fn path(&self, kind: &str, source: &str) -> PathBuf {
        let digest = Sha256::digest(format!("{kind}:{source}"));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("{hex}.json"))
    }
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, action, source }
}

#[cfg(test)]
mod tests {
    use meshwright_durable::faults::{self, Fault};

    use super::*;

    fn kept(text: &str) -> Kept {
        Kept { text: text.to_owned(), fetched: UNIX_EPOCH + Duration::from_secs(7) }
    }

    #[test]
    fn an_answer_comes_back_and_only_as_that_of_its_source() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path(), "jwks").unwrap();
        assert_eq!(store.load("uri", "https://a").unwrap(), None);
        store.save("uri", "https://a", &kept("old")).unwrap();
        store.save("uri", "https://a", &kept("new")).unwrap();
        let half = data.path().join("jwks").join(".half.0.tmp");
        fs::write(&half, "{").unwrap();
        let store = Store::open(data.path(), "jwks").unwrap();
        assert!(!half.exists());
        assert_eq!(store.load("uri", "https://a").unwrap(), Some(kept("new")));
        assert_eq!(store.load("issuer", "https://a").unwrap(), None);
        fs::rename(store.path("uri", "https://a"), store.path("issuer", "https://a")).unwrap();
        assert!(store.load("issuer", "https://a").unwrap_err().to_string().contains("it is that of `https://a`"));
    }

    #[test]
    fn killed_or_full_at_every_instant_it_is_the_old_answer_or_the_new() {
        for fault in [Fault::Killed, Fault::Full] {
            faults::everywhere(|steps| {
                let data = tempfile::tempdir().unwrap();
                let store = Store::open(data.path(), "jwks").unwrap();
                let save = |text: &str| store.save("uri", "https://a", &kept(text));
                save("a").unwrap();
                let (saved, struck) = faults::with(steps, fault, || save("b"));
                let found = Store::open(data.path(), "jwks").unwrap().load("uri", "https://a").unwrap().unwrap().text;
                assert_eq!(saved.is_err(), struck, "{fault:?} {steps}");
                assert!(found == "b" || (struck && found == "a"), "{fault:?} {steps}");
                save("c").unwrap();
                struck
            });
        }
    }

    #[test]
    fn what_others_could_have_written_is_not_taken() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path(), "jwks").unwrap();
        store.save("uri", "https://a", &kept("a")).unwrap();
        let written = fs::read_to_string(store.path("uri", "https://a")).unwrap();
        for broken in [String::new(), written.replace("fetched", "Fetched"), format!("{written}}}")] {
            fs::write(store.path("uri", "https://a"), broken).unwrap();
            assert!(matches!(store.load("uri", "https://a"), Err(StoreError::Content { .. })));
        }
        fs::set_permissions(data.path().join("jwks"), fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(Store::open(data.path(), "jwks"), Err(StoreError::Writable { mode: 0o770, .. })));
    }
}
