//! When a certificate is renewed: pure arithmetic on times. What is done then is `identity`'s.

use std::time::{Duration, SystemTime};

/// Shares of a certificate's life, in thousandths.
const EARLIEST: u32 = 450;
const LATEST: u32 = 550;
const WHOLE: u32 = 1000;

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
    /// Half of the life, give or take a tenth of that, so that certificates that were made together are not renewed together. Any moment of
    /// that time is as likely as another: with steps, thousands of them would be renewed at the same one.
    pub(crate) fn renew_at(&self, random: u64) -> SystemTime {
        let (from, until) = (self.at(EARLIEST), self.at(LATEST));
        let window = until.duration_since(from).unwrap_or_default().as_nanos();
        let offset = (window >> 32).saturating_mul(u128::from(random)) >> 32;
        let offset = offset.saturating_add(((window & 0xffff_ffff) * u128::from(random)) >> 64);
        from + Duration::from_nanos(u64::try_from(offset).unwrap_or(u64::MAX))
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
            now if now >= self.at(900) => Urgency::Last,
            now if now >= self.at(750) => Urgency::High,
            _ => Urgency::Low,
        }
    }

    fn at(&self, thousandths: u32) -> SystemTime {
        let whole = self.until.duration_since(self.from).unwrap_or_default();
        self.from + (whole / WHOLE).saturating_mul(thousandths)
    }
}

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
        assert_eq!(life().renew_at(0), second(LIFE * 45 / 100));
        assert_eq!(life().renew_at(1 << 63), second(LIFE / 2));
        let last = life().renew_at(u64::MAX);
        assert!(last <= second(LIFE * 55 / 100) && last > second(LIFE * 55 / 100 - 1), "{last:?}");
        let decades = Life { until: second(30 * 365 * 86_400), ..life() };
        assert_eq!(decades.renew_at(1 << 63), second(15 * 365 * 86_400));
    }

    /// By the Kolmogorov-Smirnov distance from an even spread, and by the busiest minute.
    #[test]
    fn ten_thousand_certificates_of_one_moment_are_renewed_evenly() {
        const COUNT: u64 = 10_000;
        let window = LIFE / 10;
        let mut offsets: Vec<Duration> =
            (0..COUNT).map(|_| life().renew_at(crate::identity::random()).duration_since(second(LIFE * 45 / 100)).unwrap()).collect();
        offsets.sort_unstable();
        let distance = |(rank, offset): (usize, &Duration)| {
            let share = offset.as_secs_f64() / Duration::from_secs(window).as_secs_f64();
            (share - f64::from(u32::try_from(rank).unwrap()) / 10_000.0).abs()
        };
        let worst = offsets.iter().enumerate().map(distance).fold(0.0, f64::max);
        // Exceeded once in a hundred million runs: sqrt(ln(2e8) / 2 / 10000).
        assert!(worst < 0.031, "{worst}");
        let mut minutes = vec![0_u64; usize::try_from(window / 60 + 1).unwrap()];
        for offset in offsets {
            *minutes.get_mut(usize::try_from(offset.as_secs() / 60).unwrap()).unwrap() += 1;
        }
        let mean = COUNT * 60 / window;
        assert!(minutes.iter().all(|&count| count < 3 * mean), "{minutes:?}");
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
