//! The documents in force, kept on disk: a control plane that starts with a document that is wrong goes on with the version that was in
//! force before, as if it had never stopped. A file of JSON lines, one per change, written behind each other and written anew when most of it
//! is history. Secrets are not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use meshwright_config::{Kind, Origin, split_file};
use serde::{Deserialize, Serialize};

use crate::loaded::Documents;
use crate::scan::Files;
use crate::store::version;

const FORMAT: u32 = 1;
/// History that is not worth writing the file anew.
const SMALL: u64 = 1024 * 1024;

/// Why the documents that were in force cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum LastGoodError {
    #[error("the documents that were in force, `{}`, cannot be {action}: {error}", path.display())]
    Io { path: PathBuf, action: &'static str, error: io::Error },
    #[error("`{}` is in use by another control plane: each needs a data directory of its own", path.display())]
    InUse { path: PathBuf },
    #[error(
        "the documents that were in force, `{}`, line {line}: {error}; put the file back from a copy, or remove it when `meshwright check` finds nothing wrong",
        path.display()
    )]
    Damaged { path: PathBuf, line: usize, error: String },
    #[error("the documents that were in force, `{}`, have format {found}; this version reads {FORMAT}", path.display())]
    Format { path: PathBuf, found: u32 },
}

/// A document's text and where it stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    pub(crate) key: String,
    pub(crate) version: String,
    pub(crate) file: String,
    pub(crate) index: usize,
    pub(crate) line: usize,
    pub(crate) text: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Record {
    Format(u32),
    InForce(Kept),
    Removed(String),
}

/// The file, and what it holds.
#[derive(Debug)]
pub(crate) struct LastGood {
    path: PathBuf,
    file: File,
    /// Key → version and file.
    known: BTreeMap<String, (String, String)>,
    size: u64,
    /// Of what is not history.
    live: u64,
}

impl LastGood {
    /// Opens the file, or makes one; and what was in force, `None` when it was made.
    ///
    /// # Errors
    /// [`LastGoodError`]; a last line that was not written to its end is none.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<Vec<Kept>>), LastGoodError> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder, "kept"))?;
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed(path, "written"))?;
        lock(&file, path)?;
        let bytes = fs::read(path).map_err(failed(path, "read"))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last.saturating_add(1));
        let bytes = bytes.get(..whole).unwrap_or_default();
        let kept = replay(path, bytes)?;
        let size = u64::try_from(whole).unwrap_or(u64::MAX);
        file.set_len(size).map_err(failed(path, "written"))?;
        let live = kept.values().map(weight).sum();
        let known = kept.iter().map(|(key, kept)| (key.clone(), (kept.version.clone(), kept.file.clone()))).collect();
        let was_there = !bytes.is_empty();
        Ok((Self { path: path.to_owned(), file, known, size, live }, was_there.then(|| kept.into_values().collect())))
    }

    /// Keeps what is in force now. When that fails, all of it is tried again the next time.
    ///
    /// # Errors
    /// [`LastGoodError::Io`]; what was kept before is kept still.
    pub(crate) fn keep(&mut self, documents: &Documents, files: &Files) -> Result<(), LastGoodError> {
        let mut records: Vec<Record> = if self.size == 0 { vec![Record::Format(FORMAT)] } else { Vec::new() };
        let there: BTreeSet<String> = documents.keys().map(ToString::to_string).collect();
        records.extend(self.known.keys().filter(|key| !there.contains(*key)).cloned().map(Record::Removed));
        let changed = documents.iter().filter(|(key, good)| {
            let is_known = |(version, file): &(String, String)| *version == good.version && file == good.document.origin().file();
            key.kind() != Kind::Secret && !self.known.get(&key.to_string()).is_some_and(is_known)
        });
        let mut texts = Texts::new(files);
        // What is not in the files is an older version, which was kept when it was in them.
        records.extend(changed.filter_map(|(key, good)| {
            let origin = good.document.origin();
            let text = texts.find(origin, &good.version)?;
            let (file, version) = (origin.file().to_owned(), good.version.clone());
            Some(Record::InForce(Kept { key: key.to_string(), version, file, index: origin.index(), line: origin.line(), text }))
        }));
        if !records.is_empty() {
            self.append(records)?;
        }
        if self.size > self.live.saturating_mul(2).saturating_add(SMALL) {
            self.write_anew()?;
        }
        Ok(())
    }

    fn append(&mut self, records: Vec<Record>) -> Result<(), LastGoodError> {
        let lines = lines(&self.path, &records)?;
        let written = self.file.write_all(&lines).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line must not stand before the next one.
            let cut = self.file.set_len(self.size);
            return Err(failed(&self.path, "written")(cut.err().unwrap_or(error)));
        }
        self.size = self.size.saturating_add(u64::try_from(lines.len()).unwrap_or_default());
        for record in records {
            match record {
                Record::Format(_) => {}
                Record::Removed(key) => _ = self.known.remove(&key),
                Record::InForce(kept) => {
                    self.live = self.live.saturating_add(weight(&kept));
                    self.known.insert(kept.key, (kept.version, kept.file));
                }
            }
        }
        Ok(())
    }

    /// Without the history: beside, and then in place of, the old one.
    fn write_anew(&mut self) -> Result<(), LastGoodError> {
        let kept = replay(&self.path, &fs::read(&self.path).map_err(failed(&self.path, "read"))?)?;
        self.live = kept.values().map(weight).sum();
        let records: Vec<Record> = std::iter::once(Record::Format(FORMAT)).chain(kept.into_values().map(Record::InForce)).collect();
        let lines = lines(&self.path, &records)?;
        let beside = self.path.with_extension("tmp");
        let io = failed(&self.path, "written");
        let replaced = || -> io::Result<File> {
            let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&beside)?;
            file.set_len(0)?;
            file.write_all(&lines)?;
            file.sync_data()?;
            file.try_lock()?;
            fs::rename(&beside, &self.path)?;
            if let Some(folder) = self.path.parent() {
                File::open(folder)?.sync_all()?;
            }
            Ok(file)
        };
        self.file = replaced().map_err(io)?;
        self.size = u64::try_from(lines.len()).unwrap_or_default();
        Ok(())
    }
}

/// Until the file is closed: two processes would write over each other's documents.
fn lock(file: &File, path: &Path) -> Result<(), LastGoodError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(LastGoodError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(path, "locked")(error)),
    }
}

/// About what a record takes.
fn weight(kept: &Kept) -> u64 {
    u64::try_from(kept.text.len().saturating_add(200)).unwrap_or_default()
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> LastGoodError {
    let path = path.to_owned();
    move |error| LastGoodError::Io { path, action, error }
}

fn lines(path: &Path, records: &[Record]) -> Result<Vec<u8>, LastGoodError> {
    let mut lines = Vec::new();
    for record in records {
        serde_json::to_writer(&mut lines, record).map_err(|error| failed(path, "written")(error.into()))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

fn replay(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Kept>, LastGoodError> {
    let mut kept = BTreeMap::new();
    for (number, line) in (1_usize..).zip(bytes.split(|byte| *byte == b'\n')).filter(|(_, line)| !line.is_empty()) {
        let damaged = |error: String| LastGoodError::Damaged { path: path.to_owned(), line: number, error };
        match serde_json::from_slice(line).map_err(|error| damaged(error.to_string()))? {
            Record::Format(FORMAT) => {}
            Record::Format(found) => return Err(LastGoodError::Format { path: path.to_owned(), found }),
            Record::InForce(record) => _ = kept.insert(record.key.clone(), record),
            Record::Removed(key) => _ = kept.remove(&key),
        }
    }
    Ok(kept)
}

/// The texts of documents, each file cut up once.
struct Texts<'a> {
    files: &'a Files,
    cut: BTreeMap<&'a str, BTreeMap<usize, &'a [u8]>>,
}

impl<'a> Texts<'a> {
    fn new(files: &'a Files) -> Self {
        Self { files, cut: BTreeMap::new() }
    }

    fn find(&mut self, origin: &Origin, wanted: &str) -> Option<String> {
        let (file, text) = self.files.get_key_value(origin.file())?;
        let bytes = text.as_ref().ok()?.bytes();
        let documents = self.cut.entry(file).or_insert_with(|| split_file(bytes).iter().map(|raw| (raw.line(), raw.bytes())).collect());
        let text = documents.get(&origin.line()).filter(|text| version(text) == wanted)?;
        String::from_utf8(text.to_vec()).ok()
    }
}
