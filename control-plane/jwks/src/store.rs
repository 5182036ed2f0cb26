//! Last known good key sets on disk: one file for each source, the old set or the new one at every instant. Public keys are no secret, but
//! whoever could change them could make tokens, so nobody else may write here.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use meshwright_config::KeySource;
use meshwright_durable as durable;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::key_set::KeySet;

/// More than any set that was ever taken.
const LARGEST: u64 = 1024 * 1024;

/// Why a key set could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("`{}` cannot be {action}: {source}", .path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("`{}` may be written by others (mode {mode:04o}); run `chmod go-w` on it first", .path.display())]
    Writable { path: PathBuf, mode: u32 },
    #[error("`{}` is not what was written there: {why}", .path.display())]
    Content { path: PathBuf, why: String },
}

/// The directory of key sets.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
}

/// A file's content.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// `uri` or `issuer`, and which.
    kind: String,
    source: String,
    /// Seconds since 1970-01-01 UTC.
    fetched: u64,
    jwks: String,
}

impl Store {
    pub(crate) fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let folder = data_dir.join("jwks");
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

    /// None: it was never fetched.
    pub(crate) fn load(&self, source: &KeySource) -> Result<Option<KeySet>, StoreError> {
        let path = self.path(source);
        let mut text = String::new();
        match File::open(&path) {
            Ok(file) => file.take(LARGEST).read_to_string(&mut text).map_err(io_error(&path, "read"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(&path, "read")(error)),
        };
        let content = |why: String| StoreError::Content { path: path.clone(), why };
        let stored: Stored = serde_json::from_str(&text).map_err(|error| content(error.to_string()))?;
        if (stored.kind.as_str(), stored.source.as_str()) != named(source) {
            return Err(content(format!("it is that of `{}`", stored.source)));
        }
        let set = KeySet::checked(&stored.jwks, UNIX_EPOCH + Duration::from_secs(stored.fetched));
        set.map(Some).map_err(|error| content(error.to_string()))
    }

    /// After it returns the set is there, whatever happens to the machine; before, the old one or the new one.
    pub(crate) fn save(&self, source: &KeySource, set: &KeySet) -> Result<(), StoreError> {
        let path = self.path(source);
        let (kind, name) = named(source);
        let fetched = set.fetched().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let stored = Stored { kind: kind.to_owned(), source: name.to_owned(), fetched, jwks: set.jwks().to_owned() };
        let written = serde_json::to_vec(&stored).map_err(io::Error::other).and_then(|bytes| durable::replace(&path, &bytes));
        written.map_err(io_error(&path, "written"))
    }

    /// A URL is no file name; its digest is.
    fn path(&self, source: &KeySource) -> PathBuf {
        let (kind, name) = named(source);
        let digest = Sha256::digest(format!("{kind}:{name}"));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("{hex}.json"))
    }
}

fn named(source: &KeySource) -> (&'static str, &str) {
    match source {
        KeySource::Uri(uri) => ("uri", uri),
        KeySource::Issuer(issuer) => ("issuer", issuer),
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
    use crate::key_set::tests::{jwks, set};

    #[test]
    fn a_set_comes_back_and_only_as_that_of_its_source() {
        let data = tempfile::tempdir().unwrap();
        let (uri, issuer) = (KeySource::Uri("https://a".into()), KeySource::Issuer("https://a".into()));
        let store = Store::open(data.path()).unwrap();
        assert_eq!(store.load(&uri).unwrap(), None);
        let fetched = KeySet::checked(&jwks("a"), UNIX_EPOCH + Duration::from_secs(7)).unwrap();
        store.save(&uri, &fetched).unwrap();
        store.save(&uri, &fetched).unwrap();
        let half = data.path().join("jwks").join(".half.0.tmp");
        fs::write(&half, "{").unwrap();
        let store = Store::open(data.path()).unwrap();
        assert!(!half.exists());
        assert_eq!(store.load(&uri).unwrap(), Some(fetched));
        assert_eq!(store.load(&issuer).unwrap(), None);
        fs::rename(store.path(&uri), store.path(&issuer)).unwrap();
        assert!(store.load(&issuer).unwrap_err().to_string().contains("it is that of `https://a`"));
    }

    #[test]
    fn killed_or_full_at_every_instant_it_is_the_old_set_or_the_new() {
        let source = KeySource::Uri("https://a".into());
        for fault in [Fault::Killed, Fault::Full] {
            faults::everywhere(|steps| {
                let data = tempfile::tempdir().unwrap();
                let store = Store::open(data.path()).unwrap();
                store.save(&source, &set("a")).unwrap();
                let (saved, struck) = faults::with(steps, fault, || store.save(&source, &set("b")));
                let kept = Store::open(data.path()).unwrap().load(&source).unwrap().unwrap();
                assert_eq!(saved.is_err(), struck, "{fault:?} {steps}");
                assert!(kept.jwks() == set("b").jwks() || (struck && kept.jwks() == set("a").jwks()), "{fault:?} {steps}");
                store.save(&source, &set("c")).unwrap();
                struck
            });
        }
    }

    #[test]
    fn what_others_could_have_written_is_not_taken() {
        let data = tempfile::tempdir().unwrap();
        let source = KeySource::Uri("https://a".into());
        let store = Store::open(data.path()).unwrap();
        store.save(&source, &set("a")).unwrap();
        let written = fs::read_to_string(store.path(&source)).unwrap();
        for broken in [String::new(), written.replace("OKP", "OKO"), format!("{written}}}")] {
            fs::write(store.path(&source), broken).unwrap();
            assert!(matches!(store.load(&source), Err(StoreError::Content { .. })));
        }
        fs::set_permissions(data.path().join("jwks"), fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(Store::open(data.path()), Err(StoreError::Writable { mode: 0o770, .. })));
    }
}
