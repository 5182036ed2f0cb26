//! Until when the newest leaf of each identity lives, of those that this process has issued. In memory alone: it is for `status`, metrics
//! and the gates of a rollover, which do not believe that it is complete.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use meshwright_identity::SpiffeId;

/// From when until when a leaf lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub from: SystemTime,
    pub until: SystemTime,
}

impl Lease {
    /// How much of its life is over at `now`, in percent.
    #[must_use]
    pub fn percent_over(&self, now: SystemTime) -> u64 {
        let whole = self.until.duration_since(self.from).unwrap_or_default().as_millis().max(1);
        let over = now.duration_since(self.from).unwrap_or_default().as_millis();
        u64::try_from(over.saturating_mul(100) / whole).unwrap_or(u64::MAX)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<BTreeMap<SpiffeId, Lease>>);

impl Leases {
    pub(crate) fn note(&self, identity: &SpiffeId, lease: Lease) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(identity.clone(), lease);
    }

    /// Of the living ones; those that ended are forgotten.
    pub(crate) fn living(&self, now: SystemTime) -> BTreeMap<SpiffeId, Lease> {
        let mut leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        leases.retain(|_, lease| now <= lease.until);
        leases.clone()
    }
}
