//! The documents of each file, parsed again only when the file's bytes are others. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use meshwright_config::{Document, DocumentKey, Rejected, split_file};
use meshwright_cores::on_all_cores;

use crate::scan::{Files, Hash, Saved, Text};
use crate::store::version;

/// A document as it was found now.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) file: Arc<str>,
    pub(crate) line: usize,
    pub(crate) version: Arc<str>,
    pub(crate) saved: SystemTime,
    pub(crate) parsed: Result<Arc<Document>, Rejected>,
    /// It stands for a file without documents, which is only wrong if there were some in it.
    pub(crate) empty: bool,
}

impl Found {
    pub(crate) fn key(&self) -> Option<DocumentKey> {
        match &self.parsed {
            Ok(document) => Some(document.key().clone()),
            Err(rejected) => rejected.key(),
        }
    }
}

/// What was found in each file, and a hash of its bytes.
#[derive(Debug, Default)]
pub(crate) struct Parsed(BTreeMap<String, (Hash, Vec<Found>)>);

impl Parsed {
    /// Reads what is new in the files. Returns which they are, each with what was found in it before; files that have gone with nothing in them
    /// now.
    pub(crate) fn update(&mut self, files: &Files) -> BTreeMap<String, Vec<Found>> {
        let mut before: BTreeMap<String, Vec<Found>> = self.0.extract_if(.., |file, _| !files.contains_key(file)).map(found_in).collect();
        before.extend(self.update_some(files));
        before
    }

    /// As [`Parsed::update`], of some of the files.
    pub(crate) fn update_some<'a>(
        &mut self,
        files: impl IntoIterator<Item = (&'a String, &'a Result<Text, String>)>,
    ) -> BTreeMap<String, Vec<Found>> {
        let mut changed = Vec::new();
        let mut before = BTreeMap::new();
        for (file, text) in files {
            let known = self.0.get(file).map(|(hash, _)| *hash);
            match text {
                Ok(text) if known == Some(text.hash()) => {}
                Ok(text) => changed.push((file, text.hash(), text.bytes())),
                // Whatever keeps it from being read may pass without the file being changed.
                Err(error) => {
                    let broken = (Hash::default(), vec![broken(&file.as_str().into(), error, false)]);
                    before.insert(file.clone(), self.replace(file, broken));
                }
            }
        }
        for (file, parsed) in parse_all(&changed) {
            let last = self.replace(&file, parsed);
            before.insert(file, last);
        }
        before
    }

    /// Returns what was in the file before.
    fn replace(&mut self, file: &str, now: (Hash, Vec<Found>)) -> Vec<Found> {
        self.0.insert(file.to_owned(), now).map(|(_, found)| found).unwrap_or_default()
    }

    /// What is in one file.
    pub(crate) fn of(&self, file: &str) -> &[Found] {
        self.0.get(file).map_or(&[], |(_, found)| found)
    }

    /// Everything, in the order of files.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Found> {
        self.0.values().flat_map(|(_, found)| found)
    }

    /// Everything in the files, in their order; `saved`: when each file was.
    pub(crate) fn find(&mut self, files: &Files, saved: &Saved) -> Vec<Found> {
        self.update(files);
        self.saved(saved)
    }

    /// Everything, in the order of files; `saved`: when each file was.
    pub(crate) fn saved(&self, saved: &Saved) -> Vec<Found> {
        let of_file = |(file, (_, found)): (&String, &(Hash, Vec<Found>))| {
            let saved = saved.of(file);
            found.iter().map(|found| Found { saved, ..found.clone() }).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of_file).collect()
    }
}

fn found_in((file, (_, found)): (String, (Hash, Vec<Found>))) -> (String, Vec<Found>) {
    (file, found)
}

type Changed<'a> = (&'a String, Hash, &'a [u8]);

/// At the start there is much of it.
fn parse_all(changed: &[Changed<'_>]) -> Vec<(String, (Hash, Vec<Found>))> {
    on_all_cores(changed, |(file, hash, bytes)| ((*file).clone(), (*hash, parse(&file.as_str().into(), bytes))))
}

fn parse(file: &Arc<str>, bytes: &[u8]) -> Vec<Found> {
    let documents = split_file(bytes);
    // A file that an editor has truncated to write it anew looks like this.
    if documents.is_empty() {
        return vec![broken(file, "the file holds no documents: remove the file to remove its documents", true)];
    }
    let found = documents.iter().map(|raw| Found {
        empty: false,
        file: Arc::clone(file),
        line: raw.line(),
        version: version(raw.bytes()),
        saved: SystemTime::UNIX_EPOCH,
        parsed: raw.parse(file).map(Arc::new),
    });
    found.collect()
}

fn broken(file: &Arc<str>, message: &str, empty: bool) -> Found {
    let parsed = Err(Rejected::of_file(file, message));
    Found { empty, file: Arc::clone(file), line: 1, version: Arc::from(""), saved: SystemTime::UNIX_EPOCH, parsed }
}
