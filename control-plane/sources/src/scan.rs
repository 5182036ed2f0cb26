//! Reads a directory: every `*.yaml` and `*.yml` below it. Names that start with a dot are left out, so that editors' temporary files and the
//! hidden folders behind a mounted ConfigMap (`..data`) are not documents twice. Policy tests, `*_test.yaml`, lie beside the policies and are
//! left out too.

mod named;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use meshwright_cores::on_all_cores;
use sha2::{Digest as _, Sha256};

use crate::last_good::LastGoodError;
pub(crate) use named::{Named, Now, Tree};

/// A larger file is no configuration.
pub(crate) const LARGEST_FILE: u64 = 16 * 1024 * 1024;
/// Longer than the steps of any file system's clock.
const SETTLED_SECONDS: i64 = 3;
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
pub(crate) type Files = BTreeMap<String, Result<Text, String>>;

/// What a file holds.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    bytes: Arc<[u8]>,
    hash: Hash,
    /// None where it was so young that it may have been written once more without looking any different.
    facts: Option<Facts>,
}

pub(crate) type Hash = [u8; 32];

/// What changes whenever a file does: where it is, how long, and when the kernel last saw it change, which nobody can set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    device: u64,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl Facts {
    fn of(metadata: &fs::Metadata) -> Self {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Self { device: metadata.dev(), inode: metadata.ino(), length: metadata.len(), changed }
    }

    /// Long enough ago that a change from now on has another time, however coarse the kernel's clock.
    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        i64::try_from(now).is_ok_and(|now| self.changed.0.saturating_add(SETTLED_SECONDS) <= now)
    }
}

impl Text {
    pub(crate) fn new(bytes: Vec<u8>, facts: Option<Facts>) -> Self {
        Self { hash: Sha256::digest(&bytes).into(), bytes: bytes.into(), facts }
    }

    /// As if it had just been written.
    #[cfg(test)]
    pub(crate) fn fresh(bytes: Vec<u8>) -> Self {
        Self::new(bytes, None)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn hash(&self) -> Hash {
        self.hash
    }
}

/// Enough of each file to tell that it has changed.
pub(crate) type Fingerprint = BTreeMap<String, Option<(u64, SystemTime)>>;

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
    pub(crate) fn new(fingerprint: &Fingerprint, last_look: SystemTime, seen: SystemTime) -> Self {
        let times = fingerprint.iter().filter_map(|(file, facts)| Some((file, facts.as_ref()?.1)));
        let new = times.filter(|(_, time)| (last_look..=seen).contains(time));
        Self { files: new.map(|(file, time)| (file.clone(), time)).collect(), seen }
    }

    /// When the directory was looked at.
    pub(crate) fn seen(&self) -> SystemTime {
        self.seen
    }

    pub(crate) fn of(&self, file: &str) -> SystemTime {
        self.files.get(file).copied().unwrap_or(self.seen)
    }
}

/// Reads everything that has changed since `last`, and takes the rest from there. Each file is looked at before it is read: what changes in
/// between is seen as a change by whoever looks next.
pub(crate) fn read(dir: &Path, last: &Files) -> Result<Reading, SourceError> {
    let Walk { files: found, mut tree, .. } = list(dir)?;
    if found.is_empty() {
        return Err(SourceError::Empty { dir: dir.to_owned() });
    }
    let (mut fingerprint, mut files) = (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
    for (Now { name, facts, text }, has_names) in on_all_cores(&found, |listed| read_listed(listed, last)) {
        fingerprint.push((name.clone(), facts));
        if !is_test(&name, &text) {
            files.push((name, text));
        }
        if has_names {
            tree.has_link();
        }
    }
    Ok(Reading { fingerprint: fingerprint.into_iter().collect(), files: files.into_iter().collect(), tree })
}

/// What a look at everything has found.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) files: Files,
    pub(crate) tree: Tree,
}

/// And whether it has other names besides.
fn read_listed(Listed { path, name }: &Listed, last: &Files) -> (Now, bool) {
    let metadata = fs::metadata(path);
    let looked = metadata.as_ref().ok().and_then(facts);
    let has_names = metadata.as_ref().is_ok_and(|metadata| metadata.nlink() > 1);
    let text = read_file(path, metadata, last.get(name).and_then(|last| last.as_ref().ok()));
    (Now { name: name.clone(), facts: looked, text }, has_names)
}

/// Reads everything below folders, and files whatever they are called, by their paths.
pub(crate) fn read_all(paths: &[PathBuf]) -> Result<Files, SourceError> {
    let mut files = Files::new();
    for path in paths {
        if fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
            files.insert(path.to_string_lossy().into_owned(), read_file(path, fs::metadata(path), None));
        } else {
            let read = |Listed { path, .. }| (path.to_string_lossy().into_owned(), read_file(&path, fs::metadata(&path), None));
            let below = list(path)?.files.into_iter().map(read);
            files.extend(below.filter(|(name, bytes)| !is_test(name, bytes)));
        }
    }
    Ok(files)
}

/// By its name and by what is in it: a document of the mesh counts in a file of any name, so that none is lost by its name.
fn is_test(name: &str, text: &Result<Text, String>) -> bool {
    let named = [".yaml", ".yml"].iter().any(|end| name.strip_suffix(end).is_some_and(|stem| stem.ends_with("_test")));
    named && text.as_ref().is_ok_and(|text| meshwright_config::is_policy_test(text.bytes()))
}

/// Looks at everything without reading it.
pub(crate) fn fingerprint(dir: &Path) -> Result<Fingerprint, SourceError> {
    let look = |Listed { path, name }| (name, fs::metadata(path).ok().as_ref().and_then(facts));
    Ok(list(dir)?.files.into_iter().map(look).collect())
}

fn facts(metadata: &fs::Metadata) -> Option<(u64, SystemTime)> {
    Some((metadata.len(), metadata.modified().ok()?))
}

/// A file that was found.
struct Listed {
    path: PathBuf,
    /// Its path within the directory.
    name: String,
}

/// In no order.
fn list(dir: &Path) -> Result<Walk, SourceError> {
    match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(SourceError::NotDirectory { dir: dir.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(SourceError::Missing { dir: dir.to_owned() }),
        Err(error) => return Err(SourceError::Unreadable { dir: dir.to_owned(), error }),
    }
    let mut walk = Walk::default();
    walk.enter(dir, "", 0)?;
    Ok(walk)
}

#[derive(Default)]
struct Walk {
    files: Vec<Listed>,
    tree: Tree,
    /// Real paths, against symbolic links that lead in circles.
    entered: BTreeSet<PathBuf>,
}

impl Walk {
    /// `within`: the folder's path within the directory, with a slash behind it; empty for the directory itself.
    fn enter(&mut self, dir: &Path, within: &str, depth: usize) -> Result<(), SourceError> {
        let unreadable = |error| SourceError::Unreadable { dir: dir.to_owned(), error };
        if depth > DEEPEST || !self.entered.insert(fs::canonicalize(dir).map_err(unreadable)?) {
            return Ok(());
        }
        self.tree.add(within, &fs::metadata(dir).map_err(unreadable)?);
        for entry in fs::read_dir(dir).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            if is_hidden(&name) {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                self.tree.has_link();
            }
            if is_folder(&entry) {
                self.enter(&entry.path(), &format!("{within}{}/", name.to_string_lossy()), depth.saturating_add(1))?;
            } else if is_document(&name) {
                self.files.push(Listed { path: entry.path(), name: format!("{within}{}", name.to_string_lossy()) });
            }
            if self.files.len() > MOST_FILES {
                return Err(SourceError::TooMany { dir: dir.to_owned() });
            }
        }
        Ok(())
    }
}

/// By the end of its name; what is nothing but that has no name.
pub(crate) fn is_document(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    [&b".yaml"[..], b".yml"].iter().any(|end| name.len() > end.len() && name.ends_with(end))
}

/// Also by a link.
fn is_folder(entry: &fs::DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if !kind.is_symlink() => kind.is_dir(),
        Ok(_) | Err(_) => fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir()),
    }
}

pub(crate) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// `last`: what it held when it was read last.
fn read_file(path: &Path, metadata: io::Result<fs::Metadata>, last: Option<&Text>) -> Result<Text, String> {
    let cannot = |error: io::Error| format!("the file cannot be read: {error}");
    let metadata = metadata.map_err(cannot)?;
    if !metadata.is_file() {
        return Err("the file is not a regular file".to_owned());
    }
    if metadata.len() > LARGEST_FILE {
        return Err(format!("the file has {} bytes, at most {LARGEST_FILE} are read", metadata.len()));
    }
    let facts = Facts::of(&metadata);
    if let Some(last) = last.filter(|last| last.facts.as_ref() == Some(&facts)) {
        return Ok(last.clone());
    }
    // Before it is read: what is written from now on is a change.
    let facts = facts.is_settled(SystemTime::now()).then_some(facts);
    Ok(Text::new(fs::read(path).map_err(cannot)?, facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Text {
        let facts = Facts { device: 1, inode: 2, length: 3, changed: (1_000, 5) };
        Text::new(text.into(), Some(facts))
    }

    #[test]
    fn only_a_file_that_has_rested_is_not_read_again() {
        let facts = of("").facts.unwrap();
        let at = |seconds| facts.is_settled(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds));
        assert_eq!([999, 1_000, 1_002, 1_003].map(at), [false, false, false, true]);
    }

    #[test]
    fn what_is_taken_from_the_last_reading_is_what_the_facts_say_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        fs::write(&path, "new").unwrap();
        let facts = Facts::of(&fs::metadata(&path).unwrap());
        let read = |last: &Text| String::from_utf8(read_file(&path, fs::metadata(&path), Some(last)).unwrap().bytes().to_vec()).unwrap();
        assert_eq!(read(&Text { facts: Some(facts.clone()), ..of("old") }), "old");
        assert_eq!(read(&Text { facts: None, ..of("old") }), "new");
        let (seconds, nanoseconds) = facts.changed;
        for other in [
            Facts { device: facts.device + 1, ..facts.clone() },
            Facts { inode: facts.inode + 1, ..facts.clone() },
            Facts { length: facts.length + 1, ..facts.clone() },
            Facts { changed: (seconds, nanoseconds + 1), ..facts.clone() },
            Facts { changed: (seconds - 1, nanoseconds), ..facts },
        ] {
            assert_eq!(read(&Text { facts: Some(other), ..of("old") }), "new");
        }
    }
}
