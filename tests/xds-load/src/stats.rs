//! What the clients have seen, all together.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Reply;
use crate::wire::Kind;

/// Counts since the beginning; the difference of two is what happened between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of messages, without HTTP/2 and TLS.
    pub bytes: u64,
    pub messages: u64,
    pub resources: u64,
    /// Of them, those that the client held already.
    pub repeated: u64,
    pub connected: u64,
    pub failed: u64,
    pub by_kind: [u64; Kind::ALL.len()],
}

impl Counts {
    pub(crate) fn count(&mut self, bytes: usize, reply: &Reply) {
        let more = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(more(bytes));
        self.messages = self.messages.saturating_add(1);
        self.resources = self.resources.saturating_add(more(reply.resources));
        self.repeated = self.repeated.saturating_add(more(reply.repeated));
        let place = Kind::ALL.iter().position(|kind| Some(*kind) == reply.kind);
        if let Some(of_kind) = place.and_then(|place| self.by_kind.get_mut(place)) {
            *of_kind = of_kind.saturating_add(more(bytes));
        }
    }

    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut by_kind = self.by_kind;
        by_kind.iter_mut().zip(earlier.by_kind).for_each(|(now, then)| *now = now.saturating_sub(then));
        Self {
            bytes: self.bytes.saturating_sub(earlier.bytes),
            messages: self.messages.saturating_sub(earlier.messages),
            resources: self.resources.saturating_sub(earlier.resources),
            repeated: self.repeated.saturating_sub(earlier.repeated),
            connected: self.connected.saturating_sub(earlier.connected),
            failed: self.failed.saturating_sub(earlier.failed),
            by_kind,
        }
    }

    #[must_use]
    pub fn json(&self) -> Value {
        let by_kind: serde_json::Map<String, Value> =
            Kind::ALL.iter().zip(self.by_kind).map(|(kind, bytes)| (kind.short_name().to_owned(), bytes.into())).collect();
        json!({
            "bytes": self.bytes, "messages": self.messages, "resources": self.resources, "repeated": self.repeated,
            "connected": self.connected, "failed": self.failed, "bytes_by_type": by_kind,
        })
    }
}

/// When something last happened.
#[derive(Debug, Clone)]
pub(crate) struct Activity(pub(crate) Instant);

/// Nearest rank; zero of nothing.
#[must_use]
pub fn percentile(samples: &[Duration], percent: usize) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = sorted.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}
