use std::time::{Duration, Instant, SystemTime};

use meshwright_identity::TrustDomain;

/// What is known of one trust domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainReport {
    pub name: TrustDomain,
    /// None: the document's bundle is all there is.
    pub url: Option<String>,
    /// How many roots are in force; none: nobody of the domain is believed.
    pub roots: usize,
    pub sequence: Option<u64>,
    /// When the bundle was last fetched, perhaps by an earlier process.
    pub last_success: Option<SystemTime>,
    /// Why the last fetch brought nothing; none: it did, or there was none yet.
    pub last_error: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// None: it is being fetched, or never is.
    pub next_attempt: Option<Instant>,
}

impl DomainReport {
    /// How long ago the endpoint last answered. Zero for the future of a clock that was set back.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        self.last_success.map(|at| now.duration_since(at).unwrap_or_default())
    }
}
