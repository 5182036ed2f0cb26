//! When a certificate is renewed: pure arithmetic on times. What is done then is `identity`'s.

pub(crate) mod retry;

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, SystemTime};

/// Shares of a certificate's life, in hundredths.
const EARLIEST: u32 = 45;
const SPREAD: u32 = 10;
const ALARM: u32 = 75;
const LAST_ALARM: u32 = 90;

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(150);

/// From when until when a certificate is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) from: SystemTime,
    pub(crate) until: SystemTime,
}

/// How loudly to say that a renewal failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Less than three quarters of its life are over.
    Low,
    High,
    /// Nine tenths are over.
    Last,
    Expired,
}

impl Life {
    /// Half of the life, give or take a tenth of that, so that certificates that were made together are not renewed together.
    /// `random` is spread over all of it, to the nanosecond: were there steps, all that take the same one would come at once.
    pub(crate) fn renew_at(&self, random: u64) -> SystemTime {
        let spread = self.share(SPREAD).as_nanos().saturating_mul(u128::from(random)) >> u64::BITS;
        self.at(EARLIEST) + Duration::from_nanos(u64::try_from(spread).unwrap_or(u64::MAX))
    }

    /// How long to wait after `failures` failures in a row: twice as long each time, and often enough to have ten tries left.
    pub(crate) fn retry_after(&self, failures: u32, now: SystemTime) -> Duration {
        let doubled = FIRST_RETRY.saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        let Ok(left) = self.until.duration_since(now) else { return LONGEST_RETRY };
        doubled.min(LONGEST_RETRY).min((left / 10).max(FIRST_RETRY))
    }

    pub(crate) fn urgency(&self, now: SystemTime) -> Urgency {
        match now {
            now if now >= self.until => Urgency::Expired,
            now if now >= self.at(LAST_ALARM) => Urgency::Last,
            now if now >= self.at(ALARM) => Urgency::High,
            _ => Urgency::Low,
        }
    }

    fn at(&self, hundredths: u32) -> SystemTime {
        self.from + self.share(hundredths)
    }

    fn share(&self, hundredths: u32) -> Duration {
        (self.until.duration_since(self.from).unwrap_or_default() / 100).saturating_mul(hundredths)
    }
}

/// Not for secrets.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod spread;

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(n)
    }

    const LIFE: u64 = 43_200;

    fn life() -> Life {
        Life { from: second(0), until: second(LIFE) }
    }

    #[test]
    fn renewal_is_at_half_of_the_life_give_or_take_a_tenth() {
        let hundredth = u64::MAX / 10;
        let times = [0, hundredth, 5 * hundredth, u64::MAX].map(|random| life().renew_at(random));
        let percent = |n: u64| second(LIFE * n / 100);
        for (at, expected) in times.into_iter().zip([percent(45), percent(46), percent(50), percent(55)]) {
            let early = expected.duration_since(at).unwrap();
            assert!(early < Duration::from_micros(1), "{early:?}");
        }
    }

    #[test]
    fn retries_are_spaced_out_and_closer_when_little_is_left() {
        let early: Vec<u64> = (1..12).map(|failures| life().retry_after(failures, second(0)).as_secs()).collect();
        assert_eq!(early, [1, 2, 4, 8, 16, 32, 64, 128, 150, 150, 150]);
        assert_eq!(life().retry_after(40, second(LIFE - 100)).as_secs(), 10);
        assert_eq!(life().retry_after(40, second(LIFE)).as_secs(), 1);
        assert_eq!(life().retry_after(1, second(LIFE + 1)).as_secs(), 150);
        assert_eq!(life().retry_after(u32::MAX, second(0)).as_secs(), 150);
    }

    #[test]
    fn a_failure_is_said_louder_as_time_runs_out() {
        let urgencies = [0, 74, 75, 89, 90, 99, 100, 101].map(|percent| life().urgency(second(LIFE * percent / 100)));
        use Urgency::{Expired, High, Last, Low};
        assert_eq!(urgencies, [Low, Low, High, High, Last, Last, Expired, Expired]);
    }

    #[test]
    fn a_life_that_ends_before_it_starts_is_over() {
        let life = Life { from: second(10), until: second(5) };
        assert_eq!((life.renew_at(7), life.urgency(second(10))), (second(10), Urgency::Expired));
    }
}
