//! Latencies and their quantiles.

/// Sorted, in nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Vec<u64>);

impl FromIterator<u64> for Latencies {
    fn from_iter<I: IntoIterator<Item = u64>>(nanoseconds: I) -> Self {
        let mut all: Vec<u64> = nanoseconds.into_iter().collect();
        all.sort_unstable();
        Self(all)
    }
}

impl Latencies {
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The latency in microseconds that `percent` of the requests did not exceed; 0 when there were none.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = self.0.len().saturating_mul(percent).div_ceil(100).max(1);
        self.0.get(rank.saturating_sub(1)).map_or(0.0, |nanoseconds| microseconds(*nanoseconds))
    }

    pub(crate) fn slowest(&self) -> f64 {
        self.0.last().map_or(0.0, |nanoseconds| microseconds(*nanoseconds))
    }
}

fn microseconds(nanoseconds: u64) -> f64 {
    std::time::Duration::from_nanos(nanoseconds).as_secs_f64() * 1e6
}

/// Exact below 2^53, which no count here reaches.
pub(crate) fn to_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let latencies: Latencies = (1..=200).rev().map(|n| n * 1000).collect();
        assert_eq!((latencies.percentile(50), latencies.percentile(99), latencies.slowest()), (100.0, 198.0, 200.0));
        let one: Latencies = [7000].into_iter().collect();
        assert_eq!((one.percentile(0), one.percentile(50), one.percentile(100)), (7.0, 7.0, 7.0));
        assert_eq!(Latencies::from_iter([]).percentile(99).to_bits(), 0.0_f64.to_bits());
    }
}
