//! The documents in force, kept on disk: a control plane that starts with a document that is wrong goes on with the version that was in
//! force before, as if it had never stopped. A file of JSON lines, one per change, written behind each other and written anew when most of it
//! is history. Secrets are not kept.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use itertools::EitherOrBoth::{Both, Left, Right};
use itertools::Itertools as _;
use meshwright_config::{DocumentKey, Kind, Origin, split_file};
use meshwright_durable::Journal;
use serde::{Deserialize, Serialize};

use crate::loaded::{Documents, InForce};
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
    journal: Journal,
    /// Key → version and file.
    known: BTreeMap<String, (String, String)>,
    /// Of what is not history.
    live: u64,
    /// What was kept last, as it was given: most of it is the same the next time. `None`: the file may hold something else.
    before: Option<Arc<Documents>>,
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
        let journal = Journal::open_locked(path).map_err(|error| {
            let in_use = error.kind() == io::ErrorKind::WouldBlock;
            if in_use { LastGoodError::InUse { path: path.to_owned() } } else { failed(path, "written")(error) }
        })?;
        let kept = replay(path, &journal.read().map_err(failed(path, "read"))?)?;
        let live = kept.values().map(weight).sum();
        let known = kept.iter().map(|(key, kept)| (key.clone(), (kept.version.clone(), kept.file.clone()))).collect();
        let was_there = journal.size() > 0;
        Ok((Self { path: path.to_owned(), journal, known, live, before: None }, was_there.then(|| kept.into_values().collect())))
    }

    /// Keeps what is in force now. When that fails, all of it is tried again the next time.
    ///
    /// # Errors
    /// [`LastGoodError::Io`]; what was kept before is kept still.
    pub(crate) fn keep(&mut self, documents: &Arc<Documents>, files: &Files) -> Result<(), LastGoodError> {
        let Changes { records, is_policy } = match self.before.take() {
            Some(before) => self.since(&before, documents, files),
            None => self.all(documents, files),
        };
        if !records.is_empty() {
            self.append(records, is_policy)?;
        }
        if self.journal.size() > self.live.saturating_mul(2).saturating_add(SMALL) {
            self.write_anew()?;
        }
        self.before = Some(Arc::clone(documents));
        Ok(())
    }

    /// What differs from the file, whatever is in it.
    fn all(&self, documents: &Documents, files: &Files) -> Changes {
        let mut records: Vec<Record> = if self.journal.size() == 0 { vec![Record::Format(FORMAT)] } else { Vec::new() };
        let there: BTreeSet<String> = documents.keys().map(ToString::to_string).collect();
        records.extend(self.known.keys().filter(|key| !there.contains(*key)).cloned().map(Record::Removed));
        let mut texts = Texts::new(files);
        records.extend(documents.iter().filter_map(|(key, good)| self.in_force(key, good, &mut texts)));
        Changes { records, is_policy: true }
    }

    /// What differs from `before`, which is in the file.
    fn since(&self, before: &Documents, documents: &Documents, files: &Files) -> Changes {
        let mut changes = Changes { records: Vec::new(), is_policy: false };
        let mut texts = Texts::new(files);
        for (key, new) in differences(before, documents) {
            let record = match new {
                Some(good) => self.in_force(key, good, &mut texts),
                None => Some(key.to_string()).filter(|key| self.known.contains_key(key)).map(Record::Removed),
            };
            changes.is_policy |= record.is_some() && key.kind() != Kind::WorkloadEntry;
            changes.records.extend(record);
        }
        changes
    }

    /// None: the file says so already. What is not in `texts` is an older version, which was kept when it was.
    fn in_force(&self, key: &DocumentKey, good: &InForce, texts: &mut Texts<'_>) -> Option<Record> {
        let origin = good.document.origin();
        let name = key.to_string();
        let is_known = |(version, file): &(String, String)| **version == *good.version && file == origin.file();
        if key.kind() == Kind::Secret || self.known.get(&name).is_some_and(is_known) {
            return None;
        }
        let text = texts.find(origin, &good.version)?;
        let (file, version) = (origin.file().to_owned(), good.version.to_string());
        Some(Record::InForce(Kept { key: name, version, file, index: origin.index(), line: origin.line(), text }))
    }

    /// Endpoints come and go, and are found anew when the machine starts again: only the rest must be on the disk before anything goes on.
    fn append(&mut self, records: Vec<Record>, is_policy: bool) -> Result<(), LastGoodError> {
        let lines = lines(&self.path, &records)?;
        let written = if is_policy { self.journal.append_synced(&lines) } else { self.journal.append(&lines) };
        written.map_err(failed(&self.path, "written"))?;
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

    /// Without the history.
    fn write_anew(&mut self) -> Result<(), LastGoodError> {
        let kept = replay(&self.path, &self.journal.read().map_err(failed(&self.path, "read"))?)?;
        self.live = kept.values().map(weight).sum();
        let records: Vec<Record> = std::iter::once(Record::Format(FORMAT)).chain(kept.into_values().map(Record::InForce)).collect();
        let lines = lines(&self.path, &records)?;
        self.journal.rewrite(&lines).map_err(failed(&self.path, "written"))
    }
}

/// What is to be written, and whether some of it decides what is allowed.
struct Changes {
    records: Vec<Record>,
    is_policy: bool,
}

/// The keys of which two sets of documents say different things, and what the later one says. Unlike [`crate::differences`] of one that moved
/// too: its place is kept.
fn differences<'a>(before: &'a Documents, after: &'a Documents) -> impl Iterator<Item = (&'a DocumentKey, Option<&'a InForce>)> {
    before.iter().merge_join_by(after, |(old, _), (new, _)| old.cmp(new)).filter_map(|pair| match pair {
        Both((_, was), (key, is)) => (was != is).then_some((key, Some(is))),
        Left((key, _)) => Some((key, None)),
        Right((key, is)) => Some((key, Some(is))),
    })
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
        let text = documents.get(&origin.line()).filter(|text| *version(text) == *wanted)?;
        String::from_utf8(text.to_vec()).ok()
    }
}
