use std::time::{Duration, Instant};

use meshwright_config::KeySource;
use meshwright_fetch::retry_after;

use super::tried::Tried;
use crate::key_set::KeySet;
use crate::report::SourceReport;
use crate::wanted::Want;

/// Istio's.
const REFRESH: Duration = Duration::from_secs(20 * 60);
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// While there are no keys every token is refused: an issuer that starts together with the control plane should not cost a minute.
const FIRST_RETRY_WITHOUT_KEYS: Duration = Duration::from_secs(5);
const LONGEST_RETRY_WITHOUT_KEYS: Duration = Duration::from_secs(60);
/// Between two fetches that tokens caused: anybody can make up names of keys.
const BETWEEN_ASKED: Duration = Duration::from_secs(30);

/// One source.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) want: Want,
    held: Option<KeySet>,
    error: Option<String>,
    failures: u32,
    is_fetching: bool,
    next: Instant,
    /// When to fetch because a token named a key that is not held.
    asked: Option<Instant>,
    last_asked: Option<Instant>,
    tried: Tried,
}

impl Entry {
    pub(super) fn new(want: Want, held: Option<KeySet>, now: Instant) -> Self {
        Self { want, held, error: None, failures: 0, is_fetching: false, next: now, asked: None, last_asked: None, tried: Tried::default() }
    }

    pub(super) fn held(&self) -> Option<&KeySet> {
        self.held.as_ref()
    }

    /// None while it is being fetched.
    pub(super) fn next(&self) -> Option<Instant> {
        (!self.is_fetching).then(|| self.asked.map_or(self.next, |asked| asked.min(self.next)))
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next().is_some_and(|next| next <= now)
    }

    pub(super) fn start(&mut self, now: Instant) -> Duration {
        self.is_fetching = true;
        if self.asked.take().is_some() {
            self.last_asked = Some(now);
        }
        self.want.timeout
    }

    pub(super) fn succeeded(&mut self, set: KeySet, now: Instant) {
        self.is_fetching = false;
        self.failures = 0;
        self.error = None;
        self.next = now + REFRESH;
        self.held = Some(set);
    }

    pub(super) fn failed(&mut self, error: String, now: Instant) {
        self.is_fetching = false;
        let (first, longest) = match self.held {
            Some(_) => (FIRST_RETRY, REFRESH),
            None => (FIRST_RETRY_WITHOUT_KEYS, LONGEST_RETRY_WITHOUT_KEYS),
        };
        self.next = now + retry_after(first, self.failures, longest);
        self.failures = self.failures.saturating_add(1);
        self.error = Some(error);
        // Nothing was found out about any name.
        self.tried.clear();
    }

    pub(super) fn unknown_key(&mut self, kid: &str, now: Instant) {
        // The proxy is behind, or has not had time to load what it was sent.
        let is_known = self.held.as_ref().is_some_and(|held| held.has(kid));
        if !is_known && self.tried.insert(kid, now) {
            let earliest = self.last_asked.map_or(now, |last| now.max(last + BETWEEN_ASKED));
            self.asked.get_or_insert(earliest);
        }
    }

    pub(super) fn report(&self, source: &KeySource) -> SourceReport {
        SourceReport {
            url: source.url(),
            issuers: self.want.issuers.iter().cloned().collect(),
            keys: self.held.as_ref().map_or(0, KeySet::len),
            last_success: self.held.as_ref().map(KeySet::fetched),
            last_error: self.error.clone(),
            failures: self.failures,
            next_attempt: self.next(),
        }
    }
}
