//! Since which revision each document is what it is, and what it was before. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use meshwright_config::{Document, DocumentKey};
use meshwright_sources::{InForce, differences};

/// Removed documents that are remembered.
const MOST_REMOVED: usize = 1_000;

/// One document's last change; it may have been its removal.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) revision: u64,
    /// What was in force before; none when it was new.
    pub(crate) before: Option<Arc<Document>>,
}

/// See the module. What has not changed since the process began is not in it: what it was before is not known.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: BTreeMap<DocumentKey, Entry>,
    /// Oldest first.
    removed: VecDeque<DocumentKey>,
}

impl Ledger {
    /// Takes what is in force from `revision` on. Returns when the first of its changes was saved; `now` for removals, which leave no file
    /// that could say it.
    pub(crate) fn update(
        &mut self,
        revision: u64,
        old: &BTreeMap<DocumentKey, InForce>,
        new: &BTreeMap<DocumentKey, InForce>,
        now: SystemTime,
    ) -> Option<SystemTime> {
        let mut saved = Vec::new();
        for (key, before, in_force) in differences(old, new) {
            let before = before.map(|before| Arc::clone(before.document()));
            self.entries.insert(key.clone(), Entry { revision, before });
            match in_force {
                Some(in_force) => {
                    self.removed.retain(|removed| removed != key);
                    saved.push(in_force.saved());
                }
                None => {
                    self.removed.push_back(key.clone());
                    saved.push(now);
                }
            }
        }
        while self.removed.len() > MOST_REMOVED {
            if let Some(oldest) = self.removed.pop_front() {
                self.entries.remove(&oldest);
            }
        }
        saved.into_iter().min()
    }

    /// What has changed since the beginning, newest first.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (&DocumentKey, &Entry)> {
        let mut changed: Vec<_> = self.entries.iter().collect();
        changed.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.revision));
        changed.into_iter()
    }

    pub(crate) fn get(&self, key: &DocumentKey) -> Option<&Entry> {
        self.entries.get(key)
    }
}
