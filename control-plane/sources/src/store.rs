//! The documents in force. Given what a directory holds now, decides document by document what is in force next. No I/O.

mod edit;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use meshwright_config::{Document, DocumentError, DocumentKey, Kind, Rejected, State, split_file};
use sha2::{Digest as _, Sha256};

use crate::guard::{Guard, Held, Things};
use crate::last_good::Kept;
use crate::loaded::{Checked, DocumentState, DocumentStatus, Documents, InForce, Loaded};
use crate::parsed::{Found, Parsed};
use crate::scan::{Files, Saved};

/// Bytes of the hash that make a version.
const VERSION_BYTES: usize = 8;
/// Each round puts back at least one document; what needs more is no edit by hand, and the rest is left out.
const MOST_ROUNDS: usize = 32;
/// The place of what was not found and is kept nevertheless.
const NOT_FOUND: usize = usize::MAX;

/// A document in force.
type Good = InForce;

/// The documents in force and the state that they make.
#[derive(Debug, Default)]
pub(crate) struct Store {
    parsed: Parsed,
    /// Files that are others than at the last update, with what was found in them then.
    changed: BTreeMap<String, Vec<Found>>,
    /// At the last update all that was found was in force, and nothing else.
    is_clean: bool,
    good: Arc<Documents>,
    state: Arc<State>,
    guard: Guard,
    held: Option<Held>,
    /// The name of the removal that may pass.
    released: Option<String>,
}

/// A document that would be in force, and which of those found it stands for.
struct Chosen {
    good: Good,
    found: usize,
}

/// Why one of those found is not in force as it is written.
#[derive(Default)]
struct Refusal {
    errors: Vec<DocumentError>,
    last_good: bool,
}

struct Candidates {
    /// Two may have one key; that is for `State::assemble` to refuse. What is in force already comes first, and so wins.
    chosen: Vec<Chosen>,
    /// By the index of what was found.
    refused: BTreeMap<usize, Refusal>,
}

impl Store {
    pub(crate) fn new(guard: Guard) -> Self {
        Self { guard, ..Self::default() }
    }

    /// Begins where an earlier process ended: with the documents that were in force then.
    pub(crate) fn restore(&mut self, kept: &[Kept]) {
        let good = kept.iter().filter_map(|kept| {
            let raw = split_file(kept.text.as_bytes()).first().copied()?.moved(kept.index, kept.line);
            // One that was right for another version of this program and is not for this one is as good as lost, which `settle` shows.
            let document = raw.parse(&kept.file.as_str().into()).ok()?;
            let good = Good { document: Arc::new(document), version: kept.version.as_str().into(), saved: SystemTime::UNIX_EPOCH };
            Some((good.document.key().clone(), good))
        });
        self.good = Arc::new(good.collect());
    }

    /// Reads what is new.
    pub(crate) fn look(&mut self, files: &Files) {
        let before = self.parsed.update(files);
        self.remember(before);
    }

    /// As [`Store::look`], where it is known that none but these are other files than they were.
    pub(crate) fn look_at(&mut self, files: &Files, names: &BTreeSet<String>) {
        let before = self.parsed.update_some(names.iter().filter_map(|name| files.get_key_value(name)));
        self.remember(before);
    }

    fn remember(&mut self, before: BTreeMap<String, Vec<Found>>) {
        for (file, before) in before {
            // What was there at the last update counts, however often it is looked.
            self.changed.entry(file).or_insert(before);
        }
    }

    /// Lets a removal pass at the next update. False when it is not the one that is held.
    pub(crate) fn release(&mut self, name: &str) -> bool {
        let known = self.held.as_ref().is_some_and(|held| held.name() == name);
        if known {
            self.released = Some(name.to_owned());
        }
        known
    }

    /// Whether what was looked at would take a document out of force.
    pub(crate) fn removes(&self) -> bool {
        if self.is_clean && self.changed.iter().all(|(file, before)| edit::keeps_all(before, self.parsed.of(file))) {
            return false;
        }
        let found = self.parsed.saved(&Saved::default());
        let candidates = self.choose(&found, SystemTime::UNIX_EPOCH);
        let chosen: BTreeSet<&DocumentKey> = candidates.chosen.iter().map(|chosen| chosen.good.document.key()).collect();
        self.good.keys().any(|key| !chosen.contains(key))
    }

    /// Takes what was looked at; `saved`: when each file was.
    ///
    /// # Errors
    /// No `Mesh` document would be in force, and so nothing was changed: what is wrong with the one that there is, as `SourceError::NoMesh` says
    /// it.
    pub(crate) fn update(&mut self, saved: &Saved) -> Result<Loaded, String> {
        if let Some(loaded) = self.take_instances(saved) {
            return Ok(loaded);
        }
        let mut found = self.parsed.saved(saved);
        let has_empty = found.iter().any(|found| found.empty);
        found.retain(|found| !found.empty || self.good.values().any(|good| good.document.origin().file() == &*found.file));
        let mut candidates = self.choose(&found, saved.seen());
        let held = self.hold(&mut candidates);
        let state = self.settle(&mut candidates);
        if state.mesh().is_none() {
            return Err(why_no_mesh(&found, &candidates.refused));
        }
        let good = candidates.chosen.into_iter().map(|chosen| (chosen.good.document.key().clone(), self.since(chosen.good)));
        self.good = Arc::new(good.collect());
        self.held.clone_from(&held);
        if *self.state != state {
            self.state = Arc::new(state);
        }
        self.changed.clear();
        self.is_clean = !has_empty && held.is_none() && candidates.refused.is_empty();
        let documents = found.iter().enumerate().map(|(index, found)| status(found, candidates.refused.get(&index))).collect();
        Ok(Loaded { state: Arc::clone(&self.state), in_force: Arc::clone(&self.good), documents, held, source_error: None })
    }

    /// Puts back what must not go all at once: every document that is not there any more, and the last version of those of which too much
    /// was taken away.
    fn hold(&mut self, candidates: &mut Candidates) -> Option<Held> {
        // At the start there is nothing to lose.
        if self.good.is_empty() {
            return None;
        }
        let before = Things::of(self.good.iter().map(|(key, good)| (key, good.document.content())));
        let contents = candidates.chosen.iter().map(|chosen| &chosen.good.document);
        let after = Things::of(contents.map(|document| (document.key(), document.content())));
        let lost = self.guard.judge(&before, &after);
        let lost = lost.filter(|lost| self.released.take().is_none_or(|released| released != lost.name()))?;
        let mut documents = Vec::new();
        for (key, good) in self.good.iter() {
            let at = candidates.chosen.iter().position(|chosen| chosen.good.document.key() == key);
            match at.and_then(|at| candidates.chosen.get_mut(at)) {
                Some(chosen) if chosen.good.version == good.version || !lost.is_made_by(key, good.document.content()) => continue,
                Some(chosen) => chosen.good = good.clone(),
                None => candidates.chosen.push(Chosen { good: good.clone(), found: NOT_FOUND }),
            }
            documents.push(key.clone());
        }
        candidates.chosen.sort_by_key(|chosen| !self.is_in_force(&chosen.good));
        Some(lost.held(documents))
    }

    /// A version that was in force before was saved when it was, whatever happens to its file.
    fn since(&self, good: Good) -> Good {
        let last = self.good.get(good.document.key()).filter(|last| last.version == good.version);
        Good { saved: last.map_or(good.saved, |last| last.saved), ..good }
    }

    /// What was found and is right in itself, and the last good version of what is not, or is not good any more or yet at `now`.
    fn choose(&self, found: &[Found], now: SystemTime) -> Candidates {
        // Only asked about where something could not be read.
        let all_read = found.iter().all(|found| found.parsed.is_ok());
        let keys = || found.iter().filter_map(|found| found.parsed.as_ref().ok()).map(|document| document.key());
        let parsed: BTreeSet<&DocumentKey> = if all_read { BTreeSet::new() } else { keys().collect() };
        let mut candidates = Candidates { chosen: Vec::new(), refused: BTreeMap::new() };
        let mut kept = BTreeSet::new();
        for (index, found) in found.iter().enumerate() {
            match &found.parsed {
                Ok(document) => {
                    let good = Good { document: Arc::clone(document), version: found.version.clone(), saved: found.saved };
                    let last = self.good.get(document.key()).filter(|last| last.version != good.version);
                    // Where there is no other, a certificate that has ended is better than none: no client is fooled by it.
                    match last.zip(document.untimely(now)) {
                        Some((last, error)) => {
                            candidates.refused.insert(index, Refusal { errors: vec![error], last_good: true });
                            candidates.chosen.push(Chosen { good: last.clone(), found: index });
                        }
                        None => candidates.chosen.push(Chosen { good, found: index }),
                    }
                }
                Err(rejected) => {
                    let last: Vec<&Good> = self.last_good(found).filter(|good| !parsed.contains(good.document.key())).collect();
                    candidates.refused.insert(index, Refusal { errors: rejected.errors().to_vec(), last_good: !last.is_empty() });
                    for good in last.into_iter().filter(|good| kept.insert(good.document.key())) {
                        candidates.chosen.push(Chosen { good: good.clone(), found: index });
                    }
                }
            }
        }
        candidates.chosen.sort_by_key(|chosen| !self.is_in_force(&chosen.good));
        candidates
    }

    /// What a document that cannot be taken may have been: the one of its name; where that was not in force or cannot be read, it cannot be
    /// told, and it may be any that its file had.
    fn last_good(&self, found: &Found) -> impl Iterator<Item = &Good> {
        let own = found.key().filter(|key| self.good.contains_key(key));
        let file = Arc::clone(&found.file);
        self.good.iter().filter_map(move |(key, good)| {
            let may_be = own.as_ref().map_or_else(|| good.document.origin().file() == &*file, |own| own == key);
            may_be.then_some(good)
        })
    }

    fn is_in_force(&self, good: &Good) -> bool {
        self.good.get(good.document.key()).is_some_and(|last| last.version == good.version)
    }

    /// Puts the chosen together, and puts back what was in force for each that does not fit, until the rest fits.
    fn settle(&self, candidates: &mut Candidates) -> State {
        for _ in 0..MOST_ROUNDS {
            let (state, errors) = assemble(&candidates.chosen);
            // First the documents that do not fit; where those are unchanged, what they depend on was changed, and is put back.
            let own = errors.iter().filter(|error| error.key().is_some_and(|key| self.put_back(candidates, &key, error))).count();
            let put_back = own > 0
                || errors.iter().any(|error| error.related().iter().any(|key| self.put_back(candidates, key, error)))
                || errors.iter().any(|error| self.take_back(candidates, error));
            if !put_back {
                leave_out(candidates, errors);
                return state;
            }
        }
        let (state, errors) = assemble(&candidates.chosen);
        leave_out(candidates, errors);
        state
    }

    /// Replaces the document `key` by its version in force. Not when there is none, or it is chosen already.
    fn put_back(&self, candidates: &mut Candidates, key: &DocumentKey, error: &DocumentError) -> bool {
        let alike: Vec<usize> =
            (0_usize..).zip(&candidates.chosen).filter(|(_, chosen)| chosen.good.document.key() == key).map(|(at, _)| at).collect();
        let [at] = alike[..] else { return false };
        let Some(chosen) = candidates.chosen.get_mut(at) else { return false };
        let Some(last) = self.good.get(key).filter(|last| last.version != chosen.good.version) else { return false };
        chosen.good = last.clone();
        let refusal = candidates.refused.entry(chosen.found).or_default();
        refusal.errors.push(error.clone());
        refusal.last_good = true;
        true
    }

    /// A document in force that no longer fits because of new ones stays, and they are left out: a policy is not lost to a service that was
    /// added. All of the first one's kind at once; what is still wrong then is for the next round.
    fn take_back(&self, candidates: &mut Candidates, error: &DocumentError) -> bool {
        let in_force = |chosen: &Chosen| error.key().as_ref() == Some(chosen.good.document.key()) && self.is_in_force(&chosen.good);
        if !candidates.chosen.iter().any(in_force) {
            return false;
        }
        let is_new =
            |key: &&DocumentKey| !self.good.contains_key(*key) && candidates.chosen.iter().any(|chosen| chosen.good.document.key() == *key);
        let new: Vec<&DocumentKey> = error.related().iter().filter(is_new).collect();
        let Some(kind) = new.first().map(|key| key.kind()) else { return false };
        let is_meant = |chosen: &Chosen| {
            let key = chosen.good.document.key();
            key.kind() == kind && new.contains(&key)
        };
        for chosen in candidates.chosen.extract_if(.., |chosen| is_meant(chosen)) {
            candidates.refused.entry(chosen.found).or_default().errors.push(error.clone());
        }
        true
    }
}

fn why_no_mesh(found: &[Found], refused: &BTreeMap<usize, Refusal>) -> String {
    let meshes = (0_usize..).zip(found).filter(|(_, found)| found.key().is_some_and(|key| key.kind() == Kind::Mesh));
    let errors = meshes.filter_map(|(index, _)| refused.get(&index)?.errors.first());
    errors.map(|error| format!(": {error}")).next().unwrap_or_default()
}

fn assemble(chosen: &[Chosen]) -> (State, Vec<DocumentError>) {
    State::assemble(chosen.iter().map(|chosen| &*chosen.good.document).collect())
}

/// Takes out what does not fit and has no version that does.
fn leave_out(candidates: &mut Candidates, errors: Vec<DocumentError>) {
    for error in errors {
        let is_meant = |chosen: &Chosen| {
            let document = &chosen.good.document;
            error.key().as_ref() == Some(document.key()) && error.origin() == document.origin()
        };
        for chosen in candidates.chosen.extract_if(.., |chosen| is_meant(chosen)) {
            let refusal = candidates.refused.entry(chosen.found).or_default();
            refusal.last_good = false;
            refusal.errors.push(error.clone());
        }
    }
}

/// Of a document's text.
pub(crate) fn version(bytes: &[u8]) -> Arc<str> {
    Sha256::digest(bytes).iter().take(VERSION_BYTES).map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

fn status(found: &Found, refusal: Option<&Refusal>) -> DocumentStatus {
    let quarantine = refusal.and_then(|refusal| Some((Rejected::new(refusal.errors.clone())?, refusal.last_good)));
    let state = match quarantine {
        Some((error, last_good)) => DocumentState::Quarantined { error, last_good },
        None => DocumentState::Accepted,
    };
    DocumentStatus { key: found.key(), file: Arc::clone(&found.file), line: found.line, version: found.version.clone(), state }
}

/// What is in force and does not do what it is for.
pub(crate) fn warnings<'a>(state: &State, documents: impl Iterator<Item = &'a Document> + Clone, now: SystemTime) -> Vec<DocumentError> {
    let mut warnings = state.warnings(documents.clone());
    warnings.extend(documents.flat_map(|document| document.untimely(now).into_iter().chain(document.ending(now))));
    warnings
}

/// All errors of what a directory holds, without any last good version to fall back on.
pub(crate) fn check(files: &Files, now: SystemTime) -> Checked {
    let mut found = Parsed::default().find(files, &Saved::default());
    found.retain(|found| !found.empty);
    let count = found.len();
    let mut errors = Vec::new();
    let mut documents = Vec::new();
    let mut origins = BTreeMap::new();
    for found in found {
        match found.parsed {
            Ok(document) => {
                origins.insert(document.key().clone(), document.origin().clone());
                documents.push(Arc::unwrap_or_clone(document));
            }
            Err(rejected) => errors.extend_from_slice(rejected.errors()),
        }
    }
    let (state, contradictions) = State::assemble(documents.iter().collect());
    let warnings = warnings(&state, documents.iter(), now);
    errors.extend(contradictions);
    errors.sort_by(|a, b| (a.file(), a.line(), a.column()).cmp(&(b.file(), b.line(), b.column())));
    Checked { state, documents: count, errors, warnings, origins }
}
