//! Texts that stand for edits: when a client has acknowledged content with one in it, the edit has arrived there.

use std::time::{Duration, Instant};

use memchr::memmem::Finder;

/// One edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkId(usize);

#[derive(Debug)]
struct Mark {
    finder: Finder<'static>,
    written: Instant,
    latencies: Vec<Duration>,
}

/// The edits so far. New content is only looked through for the newest.
#[derive(Debug, Default)]
pub struct Marks(Vec<Mark>);

const LOOKED_FOR: usize = 256;

impl Marks {
    /// To be called right before the edit is saved.
    pub fn add(&mut self, text: &str) -> MarkId {
        let finder = Finder::new(text.as_bytes()).into_owned();
        self.0.push(Mark { finder, written: Instant::now(), latencies: Vec::new() });
        MarkId(self.0.len().saturating_sub(1))
    }

    pub(crate) fn found_in(&self, body: &[u8]) -> Box<[MarkId]> {
        let newest = self.0.iter().enumerate().rev().take(LOOKED_FOR);
        newest.filter(|(_, mark)| mark.finder.find(body).is_some()).map(|(index, _)| MarkId(index)).collect()
    }

    pub(crate) fn arrived(&mut self, mark: MarkId, at: Instant) {
        if let Some(mark) = self.0.get_mut(mark.0) {
            mark.latencies.push(at.saturating_duration_since(mark.written));
        }
    }

    /// How long it took to each client that has it.
    #[must_use]
    pub fn latencies(&self, mark: MarkId) -> &[Duration] {
        self.0.get(mark.0).map_or(&[], |mark| &mark.latencies)
    }
}
