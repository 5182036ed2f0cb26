//! One proxy's account of what has changed for it and not been acknowledged yet, revision by revision. It holds only what is pending, and
//! the times of the last few that are done. Pure.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshwright_xds::{Resource, ResourceType, Snapshot};

/// Revisions that are kept apart; the older ones of a proxy that is further behind are counted as one.
const MOST_PENDING: usize = 32;
/// Revisions whose times are kept.
const MOST_DONE: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Propagation {
    /// Oldest first.
    pending: Vec<Pending>,
    done: VecDeque<(u64, Duration)>,
}

/// What a revision changed and the proxy has not acknowledged.
#[derive(Debug)]
struct Pending {
    revision: u64,
    /// When the change was saved; none where it was not a file's.
    saved: Option<Instant>,
    waiting: Waiting,
}

/// At first what all proxies wait for that take the same step, and then what is left of it.
#[derive(Debug)]
enum Waiting {
    All(Arc<[Change]>),
    Left(Vec<Change>),
}

impl Waiting {
    fn changes(&self) -> &[Change] {
        match self {
            Self::All(changes) => changes,
            Self::Left(changes) => changes,
        }
    }

    fn is_empty(&self) -> bool {
        self.changes().is_empty()
    }

    fn retain(&mut self, mut keeps: impl FnMut(&Change) -> bool) {
        match self {
            Self::All(changes) => {
                let left: Vec<&Change> = changes.iter().filter(|change| keeps(change)).collect();
                if left.len() < changes.len() {
                    *self = Self::Left(left.into_iter().cloned().collect());
                }
            }
            Self::Left(changes) => changes.retain(keeps),
        }
    }

    fn into_left(self) -> Vec<Change> {
        match self {
            Self::All(changes) => changes.to_vec(),
            Self::Left(changes) => changes,
        }
    }
}

/// A resource before and after. None of both where it came and went.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// Some version of it, for type and name.
    pub(crate) of: Arc<Resource>,
    pub(crate) before: Option<Arc<Resource>>,
    pub(crate) after: Option<Arc<Resource>>,
}

impl Change {
    fn is_told(&self) -> bool {
        self.after.is_some() || tells_removal(self.of.kind())
    }

    fn key(&self) -> (ResourceType, &str) {
        (self.of.kind(), self.of.name())
    }
}

/// The version that a proxy has acknowledged of a resource.
pub(crate) type Held<'a> = &'a dyn Fn(ResourceType, &str) -> Option<&'a str>;

/// Of which types a proxy says that it holds a resource no longer. The others are dropped with what refers to them.
pub(crate) fn tells_removal(kind: ResourceType) -> bool {
    matches!(kind, ResourceType::Cluster | ResourceType::Listener)
}

impl Propagation {
    /// A new stream begins: what an earlier one was sent says nothing of this one.
    pub(crate) fn restart(&mut self) {
        self.pending.clear();
    }

    /// The target becomes another.
    pub(crate) fn retarget(&mut self, revision: u64, saved: Option<Instant>, changes: &Arc<[Change]>) {
        let mut waiting = Waiting::All(Arc::clone(changes));
        waiting.retain(Change::is_told);
        if waiting.is_empty() {
            return;
        }
        self.pending.push(Pending { revision, saved, waiting });
        if self.pending.len() > MOST_PENDING {
            self.merge_oldest();
        }
    }

    /// The two oldest become one, which is done when both would be.
    fn merge_oldest(&mut self) {
        let mut oldest = self.pending.drain(..2);
        let (Some(mut first), Some(second)) = (oldest.next(), oldest.next()) else { return };
        drop(oldest);
        let mut waiting = first.waiting.into_left();
        for change in second.waiting.into_left() {
            match waiting.iter_mut().find(|known| known.key() == change.key()) {
                Some(known) => known.after = change.after,
                None => waiting.push(change),
            }
        }
        first.waiting = Waiting::Left(waiting);
        self.pending.insert(0, first);
    }

    /// Something of type `kind` has been acknowledged. Returns how long each revision took that is done with it.
    pub(crate) fn acknowledged(&mut self, kind: ResourceType, held: Held<'_>, now: Instant) -> Vec<Duration> {
        // Newest first: what came after a version stands for it too.
        let mut later: BTreeSet<(Arc<str>, Option<Arc<str>>)> = BTreeSet::new();
        let mut left = self.pending.len();
        for pending in self.pending.iter_mut().rev() {
            left = left.saturating_sub(1);
            pending.waiting.retain(|change| {
                let (of, name) = change.key();
                if of != kind {
                    return true;
                }
                let version = change.after.as_ref().map(|after| after.shared_version());
                let found = held(of, name);
                let stands_for = || later.contains(&(Arc::clone(change.of.shared_name()), found.map(Arc::from)));
                let is_held = found == version.map(|version| &**version) || (!later.is_empty() && stands_for());
                // Nothing came before the oldest.
                if left > 0 {
                    later.insert((Arc::clone(change.of.shared_name()), version.cloned()));
                }
                !is_held
            });
        }
        let mut took = Vec::new();
        if self.pending.iter().all(|pending| !pending.waiting.is_empty()) {
            return took;
        }
        for done in self.pending.extract_if(.., |pending| pending.waiting.is_empty()) {
            let Some(saved) = done.saved else { continue };
            let latency = now.saturating_duration_since(saved);
            took.push(latency);
            self.done.push_back((done.revision, latency));
            if self.done.len() > MOST_DONE {
                self.done.pop_front();
            }
        }
        took
    }

    /// Whether a version that is not the target's was the target after `revision` was made: a newer one is on its way.
    pub(crate) fn was_target_since(&self, revision: u64, kind: ResourceType, name: &str, version: Option<&str>) -> bool {
        let later = self.pending.iter().filter(|pending| pending.revision > revision);
        later
            .flat_map(|pending| pending.waiting.changes())
            .any(|change| change.key() == (kind, name) && change.before.as_ref().map(|before| before.version()) == version)
    }

    /// How long a revision took; none when it changed nothing, is pending, or was long ago.
    pub(crate) fn latency(&self, revision: u64) -> Option<Duration> {
        self.done.iter().find(|(of, _)| *of == revision).map(|(_, latency)| *latency)
    }
}

/// What differs between two targets.
pub(crate) fn differences(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    let mut changes = Vec::new();
    for kind in ResourceType::ALL {
        let names = new
            .changes_since(old, kind)
            .unwrap_or_else(|| old.resources(kind).chain(new.resources(kind)).map(|resource| Arc::clone(resource.shared_name())).collect());
        for name in names.iter() {
            let (before, after) = (old.get(kind, name), new.get(kind, name));
            let version = |resource: Option<&Arc<Resource>>| resource.map(|resource| Arc::clone(resource.shared_version()));
            if let Some(of) = after.or(before).filter(|_| version(before) != version(after)) {
                changes.push(Change { of: Arc::clone(of), before: before.cloned(), after: after.cloned() });
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests;
