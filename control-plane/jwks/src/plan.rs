//! What is held of each source and when it is fetched next. Pure: the time is given, fetching is somebody else's.

mod entry;
mod tried;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meshwright_config::{KeySets, KeySource};

use self::entry::Entry;
use crate::key_set::KeySet;
use crate::report::SourceReport;
use crate::wanted::Wanted;

/// Every source that is wanted.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    entries: BTreeMap<KeySource, Entry>,
}

impl Plan {
    /// Sources that documents name from now on. New ones are fetched at once and start with what `restored` has of them.
    pub(crate) fn want(&mut self, wanted: Wanted, mut restored: impl FnMut(&KeySource) -> Option<KeySet>, now: Instant) {
        self.entries.retain(|source, _| wanted.contains_key(source));
        for (source, want) in wanted {
            match self.entries.get_mut(&source) {
                Some(entry) => entry.want = want,
                None => {
                    let entry = Entry::new(want, restored(&source), now);
                    self.entries.insert(source, entry);
                }
            }
        }
    }

    /// What is to be fetched now, and how long that may take. It is not due again before its outcome is told.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<(KeySource, Duration)> {
        let due = self.entries.iter_mut().filter(|(_, entry)| entry.is_due(now));
        due.map(|(source, entry)| (source.clone(), entry.start(now))).collect()
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.entries.values().filter_map(Entry::next).min()
    }

    /// Keys have come. Of a source that is not wanted any more they are forgotten.
    pub(crate) fn succeeded(&mut self, source: &KeySource, set: KeySet, now: Instant) {
        if let Some(entry) = self.entries.get_mut(source) {
            entry.succeeded(set, now);
        }
    }

    /// No keys have come. Those in hand stay, however old they are.
    pub(crate) fn failed(&mut self, source: &KeySource, error: String, now: Instant) {
        if let Some(entry) = self.entries.get_mut(source) {
            entry.failed(error, now);
        }
    }

    /// A proxy saw a token of `issuer` that names a key which it does not have.
    pub(crate) fn unknown_key(&mut self, issuer: &str, kid: &str, now: Instant) {
        self.entries.values_mut().filter(|entry| entry.want.issuers.contains(issuer)).for_each(|entry| entry.unknown_key(kid, now));
    }

    pub(crate) fn key_sets(&self) -> KeySets {
        let held = self.entries.iter().filter_map(|(source, entry)| Some((source.clone(), entry.held()?.jwks().to_owned())));
        held.collect()
    }

    pub(crate) fn report(&self) -> Vec<SourceReport> {
        self.entries.iter().map(|(source, entry)| entry.report(source)).collect()
    }
}

#[cfg(test)]
mod tests;
