use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use crate::error::Outcome;

/// What is known of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceReport {
    /// What is asked for first.
    pub url: String,
    /// Whose tokens its keys verify.
    pub issuers: Vec<String>,
    /// How many keys are in force; none: every token of these issuers is refused.
    pub keys: usize,
    /// When they were fetched, perhaps by an earlier process.
    pub last_success: Option<SystemTime>,
    /// Why the last fetch failed; none: it succeeded, or there was none yet.
    pub last_error: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// None: it is being fetched.
    pub next_attempt: Option<Instant>,
}

impl SourceReport {
    /// How old the keys are. Zero for those from the future of a clock that was set back.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        self.last_success.map(|at| now.duration_since(at).unwrap_or_default())
    }
}

/// What is known of all sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub sources: Vec<SourceReport>,
    /// Fetches since the start of this process.
    pub fetches: BTreeMap<Outcome, u64>,
}
