//! How often certificates are issued, to each identity and in all: the generic cell rate algorithm, on the clock it is given.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use meshwright_identity::SpiffeId;

/// So many in a second over time, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub per_second: u32,
    pub burst: u32,
}

/// What is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// To one identity, which may be a service account of many workloads.
    pub each: Rate,
    pub all: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Self { each: Rate { per_second: 10, burst: 200 }, all: Rate { per_second: 1000, burst: 10_000 } }
    }
}

/// Whose limit is reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Limited {
    #[error("more than {0} certificates a second are asked for")]
    All(u32),
    #[error("`{0}` asks for more than {1} certificates a second")]
    Each(SpiffeId, u32),
}

#[derive(Debug)]
pub(crate) struct RateLimits {
    rates: Rates,
    /// When each will have paid for what it had: in the past for those that rest.
    paid: Mutex<(Option<SystemTime>, HashMap<SpiffeId, SystemTime>)>,
}

impl RateLimits {
    pub(crate) fn new(rates: Rates) -> Self {
        Self { rates, paid: Mutex::default() }
    }

    /// Before anything is looked at.
    pub(crate) fn admit(&self, now: SystemTime) -> Result<(), Limited> {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        paid.0 = Some(self.rates.all.admit(paid.0, now).ok_or(Limited::All(self.rates.all.per_second))?);
        Ok(())
    }

    /// Once it is known who asks.
    pub(crate) fn admit_identity(&self, identity: &SpiffeId, now: SystemTime) -> Result<(), Limited> {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever rests need not be remembered.
        if paid.1.len() > 20_000 {
            paid.1.retain(|_, until| *until > now);
        }
        let limited = || Limited::Each(identity.clone(), self.rates.each.per_second);
        let until = self.rates.each.admit(paid.1.get(identity).copied(), now).ok_or_else(limited)?;
        paid.1.insert(identity.clone(), until);
        Ok(())
    }
}

impl Rate {
    fn admit(&self, paid: Option<SystemTime>, now: SystemTime) -> Option<SystemTime> {
        let interval = Duration::from_secs(1) / self.per_second.max(1);
        let whole = interval.saturating_mul(self.burst.max(1));
        // A clock that went back must not keep anybody out for as long as that.
        let paid = paid.filter(|paid| *paid <= now + whole).unwrap_or(now).max(now);
        (paid + interval <= now + whole).then(|| paid + interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_trickle_and_a_clock_that_goes_back() {
        let rates = Rates { each: Rate { per_second: 2, burst: 3 }, all: Rate { per_second: 4, burst: 5 } };
        let limits = RateLimits::new(rates);
        let (one, two) = ("spiffe://td/a".parse().unwrap(), "spiffe://td/b".parse().unwrap());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let taken = |id: &SpiffeId, now| (0..10).take_while(|_| limits.admit_identity(id, now).is_ok()).count();
        assert_eq!((taken(&one, now), taken(&two, now)), (3, 3));
        assert_eq!(taken(&one, now + Duration::from_secs(1)), 2);
        assert_eq!(taken(&one, now + Duration::from_secs(100)), 3);
        assert_eq!(taken(&one, now), 3, "the clock went back");
        assert_eq!(limits.admit_identity(&one, now), Err(Limited::Each(one, 2)));
        assert_eq!((0..10).take_while(|_| limits.admit(now).is_ok()).count(), 5);
        assert_eq!(limits.admit(now), Err(Limited::All(4)));
    }
}
