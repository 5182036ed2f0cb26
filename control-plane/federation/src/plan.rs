//! What is held of each trust domain, when it is fetched next, and which answers are taken. Pure: the time is given, fetching is somebody
//! else's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use meshwright_bundle::TrustBundle;
use meshwright_config::{BundleEndpoint, FetchedBundle, FetchedBundles, ForeignDomain};
use meshwright_fetch::retry_after;
use meshwright_identity::TrustDomain;

use crate::report::DomainReport;

/// "If not set, a reasonable default of five minutes" (SPIFFE Trust Domain and Bundle section 4.1.2).
const REFRESH: Duration = Duration::from_secs(300);
/// What an endpoint may ask for: neither a flood nor a root that is learned of too late.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3600);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// Every trust domain that is declared.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    entries: BTreeMap<TrustDomain, Entry>,
}

/// A fetch to make now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Due {
    pub(crate) of: ForeignDomain,
    pub(crate) endpoint: BundleEndpoint,
    /// What the server is authenticated by.
    pub(crate) in_hand: Option<TrustBundle>,
}

/// An answer that was taken.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    pub(crate) bundle: TrustBundle,
    pub(crate) fetched: SystemTime,
}

/// An answer that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an answer with sequence {} is older than the one in hand with {in_hand}; it is ignored", .found.map_or("none".to_owned(), |found| found.to_string()))]
pub(crate) struct Older {
    found: Option<u64>,
    in_hand: u64,
}

#[derive(Debug)]
struct Entry {
    of: ForeignDomain,
    held: Option<(Arc<FetchedBundle>, SystemTime)>,
    error: Option<String>,
    failures: u32,
    is_fetching: bool,
    next: Instant,
}

impl Plan {
    /// Trust domains that are declared from now on. What is known of one holds for that very declaration: under another it is fetched anew, and
    /// starts with what `restored` has of it.
    pub(crate) fn want(&mut self, domains: &[ForeignDomain], mut restored: impl FnMut(&ForeignDomain) -> Option<Held>, now: Instant) {
        let mut before = std::mem::take(&mut self.entries);
        for of in domains {
            let entry = before.remove(of.name()).filter(|entry| entry.of == *of).unwrap_or_else(|| {
                let held = restored(of).map(|Held { bundle, fetched }| (Arc::new(FetchedBundle { of: of.clone(), bundle }), fetched));
                Entry { of: of.clone(), held, error: None, failures: 0, is_fetching: false, next: now }
            });
            self.entries.insert(of.name().clone(), entry);
        }
    }

    /// What is to be fetched now. It is not due again before its outcome is told.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Due> {
        let due = self.entries.values_mut().filter(|entry| entry.next().is_some_and(|next| next <= now));
        due.filter_map(Entry::start).collect()
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.entries.values().filter_map(Entry::next).min()
    }

    /// An answer has come for this declaration; of one that is not there any more it is forgotten.
    pub(crate) fn answered(&mut self, of: &ForeignDomain, held: Held, now: Instant) -> Result<(), Older> {
        match self.entry(of) {
            Some(entry) => entry.answered(held, now),
            None => Ok(()),
        }
    }

    /// No answer has come. What is in hand stays, however old it is.
    pub(crate) fn failed(&mut self, of: &ForeignDomain, error: String, now: Instant) {
        if let Some(entry) = self.entry(of) {
            entry.failed(error, now);
        }
    }

    /// What was fetched.
    pub(crate) fn bundles(&self) -> FetchedBundles {
        self.entries.iter().filter_map(|(name, entry)| Some((name.clone(), Arc::clone(&entry.held.as_ref()?.0)))).collect()
    }

    pub(crate) fn report(&self) -> Vec<DomainReport> {
        self.entries.values().map(Entry::report).collect()
    }

    fn entry(&mut self, of: &ForeignDomain) -> Option<&mut Entry> {
        self.entries.get_mut(of.name()).filter(|entry| entry.of == *of)
    }
}

impl Entry {
    fn in_hand(&self) -> Option<&TrustBundle> {
        self.held.as_ref().map(|(held, _)| &held.bundle).or(self.of.bundle())
    }

    /// None while it is being fetched, and for what never is.
    fn next(&self) -> Option<Instant> {
        (!self.is_fetching && self.of.endpoint().is_some()).then_some(self.next)
    }

    fn start(&mut self) -> Option<Due> {
        let endpoint = self.of.endpoint()?.clone();
        self.is_fetching = true;
        Some(Due { of: self.of.clone(), endpoint, in_hand: self.in_hand().cloned() })
    }

    fn refresh(&self) -> Duration {
        self.in_hand().and_then(TrustBundle::refresh_hint).unwrap_or(REFRESH).clamp(SHORTEST, LONGEST)
    }

    fn answered(&mut self, held: Held, now: Instant) -> Result<(), Older> {
        // Where it was numbered once it must go on being so, or any old answer could come back.
        if let Some(in_hand) = self.in_hand().and_then(TrustBundle::sequence)
            && held.bundle.sequence().is_none_or(|found| found < in_hand)
        {
            let older = Older { found: held.bundle.sequence(), in_hand };
            self.failed(older.to_string(), now);
            return Err(older);
        }
        self.is_fetching = false;
        self.failures = 0;
        self.error = None;
        self.held = Some((Arc::new(FetchedBundle { of: self.of.clone(), bundle: held.bundle }), held.fetched));
        self.next = now + self.refresh();
        Ok(())
    }

    fn failed(&mut self, error: String, now: Instant) {
        self.is_fetching = false;
        self.next = now + retry_after(FIRST_RETRY, self.failures, self.refresh().min(LONGEST_RETRY));
        self.failures = self.failures.saturating_add(1);
        self.error = Some(error);
    }

    fn report(&self) -> DomainReport {
        DomainReport {
            name: self.of.name().clone(),
            url: self.of.endpoint().map(|endpoint| endpoint.url().to_owned()),
            roots: self.in_hand().map_or(0, |bundle| bundle.roots().len()),
            sequence: self.in_hand().and_then(TrustBundle::sequence),
            last_success: self.held.as_ref().map(|(_, fetched)| *fetched),
            last_error: self.error.clone(),
            failures: self.failures,
            next_attempt: self.next(),
        }
    }
}

#[cfg(test)]
mod tests;
