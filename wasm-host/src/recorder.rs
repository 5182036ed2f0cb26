//! Collects what becomes a report. Bounded: a guest that logs or calls in a loop fills no memory.

use std::collections::BTreeMap;

use crate::abi::{LogLevel, Status};
use crate::misuse::Misuse;
use crate::report::{HttpCall, LogLine, TraceEvent, Trap};

const MOST_EVENTS: usize = 100_000;
pub(crate) const MOST_LOG_BYTES: usize = 16 << 20;
/// What a call in either direction may leave in the host: events, entries of maps, a timer.
const CALL: usize = 256;
/// What a byte that the guest hands over may become: many empty pairs are more than their form on the wire.
const BYTE: usize = 4;

/// What went between host and guest.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Copied {
    pub(crate) from_guest: u64,
    pub(crate) to_guest: u64,
    pub(crate) allocations: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) logs: Vec<LogLine>,
    pub(crate) calls: Vec<HttpCall>,
    pub(crate) trace: Vec<TraceEvent>,
    /// By the place of the name in the program, which is one for each function: names are not compared on every call.
    hostcalls: Vec<(&'static str, u64)>,
    pub(crate) traps: Vec<Trap>,
    pub(crate) misuse: Vec<Misuse>,
    pub(crate) properties: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) dropped: u64,
    pub(crate) copied: Copied,
    log_bytes: usize,
    /// About what the guest has made the host keep.
    spent: usize,
}

impl Recorder {
    pub(crate) fn log(&mut self, level: LogLevel, context: u32, message: &[u8]) {
        self.log_bytes = self.log_bytes.saturating_add(message.len());
        if self.log_bytes > MOST_LOG_BYTES || self.logs.len() >= MOST_EVENTS {
            self.dropped += 1;
            return;
        }
        self.logs.push(LogLine { level, context, message: String::from_utf8_lossy(message).into_owned() });
    }

    pub(crate) const fn spend_call(&mut self) {
        self.spent = self.spent.saturating_add(CALL);
    }

    pub(crate) const fn spend_bytes(&mut self, bytes: usize) {
        self.spent = self.spent.saturating_add(bytes.saturating_mul(BYTE));
    }

    /// Of the host's own.
    pub(crate) const fn spend_memory(&mut self, bytes: usize) {
        self.spent = self.spent.saturating_add(bytes);
    }

    pub(crate) const fn spent(&self) -> usize {
        self.spent
    }

    pub(crate) fn hostcall(&mut self, name: &'static str, status: Status) {
        match self.hostcalls.iter_mut().find(|(known, _)| std::ptr::eq(*known, name)) {
            Some((_, count)) => *count += 1,
            None => self.hostcalls.push((name, 1)),
        }
        self.event(TraceEvent::Hostcall { name, status });
    }

    /// How often each host function was called.
    pub(crate) fn take_hostcalls(&mut self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for (name, count) in self.hostcalls.drain(..) {
            *counts.entry(name).or_default() += count;
        }
        counts
    }

    /// Returns where the event is, so that its result can be filled in.
    pub(crate) fn callback(&mut self, name: &'static str, context: u32) -> usize {
        let place = self.trace.len();
        self.event(TraceEvent::Callback { name, context, result: None });
        place
    }

    pub(crate) fn callback_returned(&mut self, place: usize, returned: Option<u32>) {
        if let Some(TraceEvent::Callback { result, .. }) = self.trace.get_mut(place) {
            *result = returned;
        }
    }

    pub(crate) fn misuse(&mut self, misuse: Misuse) {
        if !self.misuse.contains(&misuse) {
            self.misuse.push(misuse);
        }
    }

    fn event(&mut self, event: TraceEvent) {
        if self.trace.len() < MOST_EVENTS {
            self.trace.push(event);
        } else {
            self.dropped += 1;
        }
    }
}
