//! Reads a directory: every `*.yaml` and `*.yml` below it. Names that start with a dot are left out, so that editors' temporary files and the
//! hidden folders behind a mounted ConfigMap (`..data`) are not documents twice. Policy tests, `*_test.yaml`, lie beside the policies and are
//! left out too.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::last_good::LastGoodError;

/// A larger file is no configuration.
pub(crate) const LARGEST_FILE: u64 = 16 * 1024 * 1024;
const MOST_FILES: usize = 20_000;
const DEEPEST: usize = 16;

/// Why a directory as a whole cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("the configuration directory `{}` does not exist", dir.display())]
    Missing { dir: PathBuf },
    #[error("the configuration directory `{}` cannot be read: {error}", dir.display())]
    Unreadable { dir: PathBuf, error: io::Error },
    #[error("`{}` is not a directory", dir.display())]
    NotDirectory { dir: PathBuf },
    #[error("the configuration directory `{}` holds no documents: at least one `*.yaml` or `*.yml` file is needed", dir.display())]
    Empty { dir: PathBuf },
    #[error("the configuration directory `{}` holds more than {MOST_FILES} files", dir.display())]
    TooMany { dir: PathBuf },
    #[error("the configuration directory `{}` has no document of kind `Mesh` in force (apiVersion `meshwright.dev/v1alpha1`){because}", dir.display())]
    NoMesh {
        dir: PathBuf,
        /// What is wrong with the one that there is, after `: `; empty when there is none.
        because: String,
    },
    #[error(
        "the configuration directory `{}` has documents that are wrong and were never in force, and without them the mesh would be another one:{errors}",
        dir.display()
    )]
    Wrong {
        dir: PathBuf,
        /// A line for each, after a line break.
        errors: String,
    },
    #[error(transparent)]
    LastGood(#[from] LastGoodError),
    #[error("the configuration directory `{}` cannot be read: {reason}", dir.display())]
    Interrupted { dir: PathBuf, reason: String },
}

/// The files of a directory, by their path within it.
pub(crate) type Files = BTreeMap<String, Result<Vec<u8>, String>>;

/// Enough of each file to tell that it has changed.
pub(crate) type Fingerprint = BTreeMap<PathBuf, Option<(u64, SystemTime)>>;

/// When the files of a directory were written.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    files: BTreeMap<String, SystemTime>,
    /// When the directory was looked at.
    seen: SystemTime,
}

impl Default for Saved {
    fn default() -> Self {
        Self { files: BTreeMap::new(), seen: SystemTime::UNIX_EPOCH }
    }
}

impl Saved {
    /// A file's own time counts where it lies between the last look at the directory and this one: files that are moved, copied with their
    /// times or swapped by a link say when they were first written, which is not when this directory got them.
    pub(crate) fn new(dir: &Path, fingerprint: &Fingerprint, last_look: SystemTime, seen: SystemTime) -> Self {
        let times = fingerprint.iter().filter_map(|(path, facts)| Some((relative(dir, path), facts.as_ref()?.1)));
        Self { files: times.filter(|(_, time)| (last_look..=seen).contains(time)).collect(), seen }
    }

    /// When the directory was looked at.
    pub(crate) fn seen(&self) -> SystemTime {
        self.seen
    }

    pub(crate) fn of(&self, file: &str) -> SystemTime {
        self.files.get(file).copied().unwrap_or(self.seen)
    }
}

/// Reads everything.
pub(crate) fn read(dir: &Path) -> Result<Files, SourceError> {
    let found = list(dir)?;
    if found.is_empty() {
        return Err(SourceError::Empty { dir: dir.to_owned() });
    }
    let read = found.into_iter().map(|path| (relative(dir, &path), read_file(&path)));
    Ok(read.filter(|(name, bytes)| !is_test(name, bytes)).collect())
}

/// Reads everything below folders, and files whatever they are called, by their paths.
pub(crate) fn read_all(paths: &[PathBuf]) -> Result<Files, SourceError> {
    let mut files = Files::new();
    for path in paths {
        if fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
            files.insert(path.to_string_lossy().into_owned(), read_file(path));
        } else {
            let below = list(path)?.into_iter().map(|path| (path.to_string_lossy().into_owned(), read_file(&path)));
            files.extend(below.filter(|(name, bytes)| !is_test(name, bytes)));
        }
    }
    Ok(files)
}

/// By its name and by what is in it: a document of the mesh counts in a file of any name, so that none is lost by its name.
fn is_test(name: &str, bytes: &Result<Vec<u8>, String>) -> bool {
    let named = [".yaml", ".yml"].iter().any(|end| name.strip_suffix(end).is_some_and(|stem| stem.ends_with("_test")));
    named && bytes.as_deref().is_ok_and(meshwright_config::is_policy_test)
}

/// Looks at everything without reading it.
pub(crate) fn fingerprint(dir: &Path) -> Result<Fingerprint, SourceError> {
    let facts = |path: &PathBuf| fs::metadata(path).ok().and_then(|metadata| Some((metadata.len(), metadata.modified().ok()?)));
    Ok(list(dir)?.into_iter().map(|path| (path.clone(), facts(&path))).collect())
}

fn list(dir: &Path) -> Result<BTreeSet<PathBuf>, SourceError> {
    match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(SourceError::NotDirectory { dir: dir.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(SourceError::Missing { dir: dir.to_owned() }),
        Err(error) => return Err(SourceError::Unreadable { dir: dir.to_owned(), error }),
    }
    let mut walk = Walk { files: BTreeSet::new(), entered: BTreeSet::new() };
    walk.enter(dir, 0)?;
    Ok(walk.files)
}

struct Walk {
    files: BTreeSet<PathBuf>,
    /// Real paths, against symbolic links that lead in circles.
    entered: BTreeSet<PathBuf>,
}

impl Walk {
    fn enter(&mut self, dir: &Path, depth: usize) -> Result<(), SourceError> {
        let unreadable = |error| SourceError::Unreadable { dir: dir.to_owned(), error };
        if depth > DEEPEST || !self.entered.insert(fs::canonicalize(dir).map_err(unreadable)?) {
            return Ok(());
        }
        for entry in fs::read_dir(dir).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.file_name().is_some_and(is_hidden) {
                continue;
            }
            if fs::metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
                self.enter(&path, depth.saturating_add(1))?;
            } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                self.files.insert(path);
            }
            if self.files.len() > MOST_FILES {
                return Err(SourceError::TooMany { dir: dir.to_owned() });
            }
        }
        Ok(())
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: io::Error| format!("the file cannot be read: {error}");
    let metadata = fs::metadata(path).map_err(cannot)?;
    if !metadata.is_file() {
        return Err("the file is not a regular file".to_owned());
    }
    if metadata.len() > LARGEST_FILE {
        return Err(format!("the file has {} bytes, at most {LARGEST_FILE} are read", metadata.len()));
    }
    fs::read(path).map_err(cannot)
}

fn relative(dir: &Path, path: &Path) -> String {
    path.strip_prefix(dir).unwrap_or(path).to_string_lossy().into_owned()
}
