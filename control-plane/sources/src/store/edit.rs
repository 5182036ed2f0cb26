//! The short way of the edits that there are most of: workloads come and move, and everything else stays. What comes of it is what
//! [`Store::update`] makes of the whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use meshwright_config::{Content, DocumentKey, Workload};

use super::{Store, status};
use crate::loaded::{Documents, InForce, Loaded};
use crate::parsed::Found;
use crate::scan::Saved;

/// Whether every document of before is still there, in the same file.
pub(super) fn keeps_all(before: &[Found], now: &[Found]) -> bool {
    let keys: BTreeSet<&DocumentKey> = right(now).collect();
    right(before).all(|key| keys.contains(key))
}

fn right(found: &[Found]) -> impl Iterator<Item = &DocumentKey> {
    found.iter().filter_map(|found| found.parsed.as_ref().ok()).map(|document| document.key())
}

impl Store {
    /// None where more has happened than that, or where it is not certain what comes of it.
    pub(super) fn take_instances(&mut self, saved: &Saved) -> Option<Loaded> {
        if !self.is_clean || self.changed.is_empty() || self.released.is_some() || self.held.is_some() {
            return None;
        }
        let mut good = Documents::clone(&self.good);
        let mut workloads = Vec::new();
        for (file, before) in &self.changed {
            let now = self.parsed.of(file);
            if now.is_empty() || !keeps_all(before, now) {
                return None;
            }
            self.take_file(now, saved, &mut good, &mut workloads)?;
        }
        let state = if workloads.is_empty() { Arc::clone(&self.state) } else { Arc::new(self.state.with_instances(&workloads)?) };
        (self.state, self.good) = (state, Arc::new(good));
        self.changed.clear();
        let documents = self.parsed.all().map(|found| status(found, None)).collect();
        Some(Loaded { state: Arc::clone(&self.state), in_force: Arc::clone(&self.good), documents, held: None, source_error: None })
    }

    fn take_file(&self, found: &[Found], saved: &Saved, good: &mut Documents, workloads: &mut Vec<Workload>) -> Option<()> {
        let mut seen = BTreeSet::new();
        for found in found {
            let document = found.parsed.as_ref().ok()?;
            let key = document.key();
            let last = self.good.get(key);
            // Of two with one name it is not decided here which stays.
            if !seen.insert(key) || last.is_some_and(|last| last.document.origin().file() != &*found.file) {
                return None;
            }
            let same = last.filter(|last| last.version == found.version);
            match (same, document.content()) {
                (Some(_), _) => {}
                (None, Content::WorkloadEntry(workload)) => workloads.push(workload.clone()),
                (None, _) => return None,
            }
            let saved = same.map_or_else(|| saved.of(&found.file), |same| same.saved);
            good.insert(key.clone(), InForce { document: Arc::clone(document), version: Arc::clone(&found.version), saved });
        }
        Some(())
    }
}
