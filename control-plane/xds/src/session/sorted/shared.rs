//! Parts of lists, of each of which there is one for all streams of a server. What nobody has any more is forgotten.

use std::hash::{Hash as _, Hasher as _};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustc_hash::{FxHashMap, FxHasher};

use crate::resource::Identity;

/// One that all streams share.
pub(super) type Part = Arc<Entries>;

/// Entries of a list, in the order of names. In a box, which is given back when nobody has the part any more, while it may still be known.
#[derive(Debug, PartialEq)]
pub(super) struct Entries(Box<[Arc<Identity>]>);

impl Deref for Entries {
    type Target = [Arc<Identity>];

    fn deref(&self) -> &[Arc<Identity>] {
        &self.0
    }
}

/// Fewer are not worth looking for.
pub(super) const WORTH_SHARING: usize = 16;
/// Steps that are remembered: an edit is one, or a few, that all streams take one after the other.
const STEPS: usize = 4;

/// The parts of the lists of all sessions that have it: a server has one. To sessions it makes no difference but that they take less room.
#[derive(Debug, Clone, Default)]
pub struct SharedLists(Arc<Mutex<Parts>>);

#[derive(Debug, Default)]
struct Parts {
    /// By what is in them.
    known: FxHashMap<u64, Weak<Entries>>,
    /// So many may be known before it is looked which of them are gone.
    most: usize,
    steps: [Option<Step>; STEPS],
    /// Where the next step is remembered.
    next: usize,
}

/// A part, what took a place in it, and what it was then.
#[derive(Debug)]
struct Step {
    from: Part,
    place: usize,
    entry: Arc<Identity>,
    to: Part,
}

impl SharedLists {
    /// The part with these entries.
    pub(super) fn part(&self, entries: &[Arc<Identity>]) -> Part {
        if entries.len() < WORTH_SHARING { Arc::new(Entries(entries.into())) } else { self.locked().part(entries) }
    }

    /// The part that `from` becomes when another version takes its place in it.
    pub(super) fn replaced(&self, from: &Part, place: usize, entry: &Arc<Identity>) -> Part {
        if from.len() < WORTH_SHARING {
            Arc::new(Entries(with(from, place, entry).into()))
        } else {
            self.locked().replaced(from, place, entry)
        }
    }

    fn locked(&self) -> MutexGuard<'_, Parts> {
        // Nothing in it is left half done by a panic: a part is known or not.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn with(from: &Part, place: usize, entry: &Arc<Identity>) -> Vec<Arc<Identity>> {
    let mut entries = from.to_vec();
    if let Some(known) = entries.get_mut(place) {
        *known = Arc::clone(entry);
    }
    entries
}

impl Parts {
    fn part(&mut self, entries: &[Arc<Identity>]) -> Part {
        let mut hasher = FxHasher::default();
        entries.iter().for_each(|entry| Arc::as_ptr(entry).hash(&mut hasher));
        let hash = hasher.finish();
        let is_same = |part: &Part| part.len() == entries.len() && part.iter().zip(entries).all(|(one, other)| Arc::ptr_eq(one, other));
        if let Some(part) = self.known.get(&hash).and_then(Weak::upgrade).filter(is_same) {
            return part;
        }
        if self.known.len() >= self.most {
            self.known.retain(|_, part| part.strong_count() > 0);
            self.most = self.known.len().saturating_mul(2).max(64);
        }
        let part: Part = Arc::new(Entries(entries.into()));
        self.known.insert(hash, Arc::downgrade(&part));
        part
    }

    fn replaced(&mut self, from: &Part, place: usize, entry: &Arc<Identity>) -> Part {
        let taken = |step: &&Step| Arc::ptr_eq(&step.from, from) && step.place == place && Arc::ptr_eq(&step.entry, entry);
        if let Some(step) = self.steps.iter().flatten().find(taken) {
            return Arc::clone(&step.to);
        }
        let to = self.part(&with(from, place, entry));
        let step = Step { from: Arc::clone(from), place, entry: Arc::clone(entry), to: Arc::clone(&to) };
        if let Some(oldest) = self.steps.get_mut(self.next) {
            *oldest = Some(step);
        }
        self.next = self.next.saturating_add(1) % STEPS;
        to
    }
}
