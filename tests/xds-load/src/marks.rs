//! Texts that stand for edits: when a client has acknowledged content with one in it, the edit has arrived there, and so have those whose
//! place it took: a client that is given the newer of two versions need not be given the older.

use std::time::{Duration, Instant};

use memchr::memmem::Finder;
use rustc_hash::FxHashSet;

/// One edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkId(usize);

#[derive(Debug)]
struct Mark {
    finder: Finder<'static>,
    written: Instant,
    /// Whose place it takes.
    earlier: Option<MarkId>,
    /// The clients that have it.
    clients: FxHashSet<usize>,
    latencies: Vec<Duration>,
}

/// The edits so far. New content is only looked through for the newest.
#[derive(Debug, Default)]
pub struct Marks(Vec<Mark>);

const LOOKED_FOR: usize = 256;

impl Marks {
    /// To be called right before the edit is saved. Whoever has it is not to be given `earlier` any more, which was saved before.
    pub fn add(&mut self, text: &str, earlier: Option<MarkId>) -> MarkId {
        let finder = Finder::new(text.as_bytes()).into_owned();
        self.0.push(Mark { finder, written: Instant::now(), earlier, clients: FxHashSet::default(), latencies: Vec::new() });
        MarkId(self.0.len().saturating_sub(1))
    }

    pub(crate) fn found_in(&self, body: &[u8]) -> Box<[MarkId]> {
        let newest = self.0.iter().enumerate().rev().take(LOOKED_FOR);
        newest.filter(|(_, mark)| mark.finder.find(body).is_some()).map(|(index, _)| MarkId(index)).collect()
    }

    pub(crate) fn arrived(&mut self, mark: MarkId, client: usize, at: Instant) {
        let mut next = Some(mark);
        while let Some(mark) = next.and_then(|id| self.0.get_mut(id.0)) {
            // Then it has all that came before, too.
            if !mark.clients.insert(client) {
                return;
            }
            mark.latencies.push(at.saturating_duration_since(mark.written));
            next = mark.earlier;
        }
    }

    /// How long it took to each client that has it.
    #[must_use]
    pub fn latencies(&self, mark: MarkId) -> &[Duration] {
        self.0.get(mark.0).map_or(&[], |mark| &mark.latencies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_overtaken_has_arrived_with_what_took_its_place() {
        let mut marks = Marks::default();
        let first = marks.add("one", None);
        let other = marks.add("other", None);
        let second = marks.add("two", Some(first));
        let count = |marks: &Marks| [first, other, second].map(|mark| marks.latencies(mark).len());
        assert_eq!(marks.found_in(b"..two.."), [second].into());
        marks.arrived(first, 7, Instant::now());
        marks.arrived(first, 7, Instant::now());
        assert_eq!(count(&marks), [1, 0, 0]);
        marks.arrived(second, 7, Instant::now());
        marks.arrived(second, 8, Instant::now());
        assert_eq!(count(&marks), [2, 0, 2], "client 8 was never given the first");
        marks.arrived(first, 8, Instant::now());
        assert_eq!(count(&marks), [2, 0, 2]);
    }
}
