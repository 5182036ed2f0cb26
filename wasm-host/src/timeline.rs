//! The virtual clock and what is to happen on it. Time passes only when someone waits.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::calls::CallEnd;
use crate::grpc::GrpcEvent;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// A call that the filter made is answered.
    CallEnds { token: u32, end: CallEnd },
    /// A gRPC call or stream goes on.
    Grpc { token: u32, event: GrpcEvent },
    /// The plugin gets another configuration.
    Reconfigure { configuration: Vec<u8> },
    /// A timer fires; `armed` tells it from one that was replaced since.
    Tick { root: u32, armed: u64 },
    /// A name that the filter asked for has its answer.
    Resolved { root: u32, token: u32, answer: Vec<u8> },
    /// Something was put into a queue that the context had registered.
    QueueReady { root: u32, queue: u32 },
}

#[derive(Debug)]
pub(crate) struct Timeline {
    now: Duration,
    sequence: u64,
    events: BTreeMap<(Duration, u64), Event>,
}

impl Timeline {
    /// `now` is the time since the Unix epoch.
    pub(crate) const fn new(now: Duration) -> Self {
        Self { now, sequence: 0, events: BTreeMap::new() }
    }

    pub(crate) const fn now(&self) -> Duration {
        self.now
    }

    pub(crate) fn nanoseconds(&self) -> u64 {
        nanoseconds(self.now)
    }

    pub(crate) fn after(&mut self, delay: Duration, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now.saturating_add(delay), self.sequence), event);
    }

    /// Takes the next event that is due by `until` and moves the clock to it; `None` moves it nowhere.
    pub(crate) fn next(&mut self, until: Duration) -> Option<Event> {
        let entry = self.events.first_entry().filter(|entry| entry.key().0 <= until)?;
        self.now = self.now.max(entry.key().0);
        Some(entry.remove())
    }

    pub(crate) const fn set(&mut self, time: Duration) {
        self.now = time;
    }

    /// Whether anything that the filter called has still to answer.
    pub(crate) fn awaits_calls(&self) -> bool {
        self.events.values().any(|event| matches!(event, Event::CallEnds { .. } | Event::Grpc { .. } | Event::Resolved { .. }))
    }

    pub(crate) fn move_to(&mut self, time: Duration) {
        self.now = self.now.max(time);
    }
}

/// A time or a span in the ABI's unit. 64 bits last until the year 2554.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
