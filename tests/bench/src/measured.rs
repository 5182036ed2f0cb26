//! Rounds of one configuration, and their medians and ranges.

use std::time::Duration;

use crate::latency::to_f64;
use crate::load::Round;
use crate::report::Table;

/// One round of one configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) per_second: f64,
    /// Of all of Envoy's threads.
    pub(crate) cpu_microseconds: f64,
    /// How much of the round Envoy was running, in percent; below 100 something else held requests up.
    pub(crate) busy: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Sample {
    pub(crate) fn new(round: &Round, cpu: Duration) -> Self {
        let latencies = round.latencies();
        Self {
            per_second: to_f64(round.requests()) / round.elapsed.as_secs_f64(),
            cpu_microseconds: cpu.as_secs_f64() * 1e6 / to_f64(round.requests().max(1)),
            busy: cpu.as_secs_f64() * 100.0 / round.elapsed.as_secs_f64(),
            p50: latencies.percentile(50),
            p99: latencies.percentile(99),
        }
    }
}

/// Lowest, median, highest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Range {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Self { low: at(0), median: at(values.len() / 2), high: at(values.len().saturating_sub(1)) }
    }

    pub(crate) fn cell(self, digits: usize) -> String {
        let Self { low, median, high } = self;
        format!("{median:.digits$} ({low:.digits$} to {high:.digits$})")
    }
}

/// Every round of one configuration.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) samples: Vec<Sample>,
}

impl Measured {
    pub(crate) fn range(&self, of: impl Fn(&Sample) -> f64) -> Range {
        Range::of(self.samples.iter().map(of))
    }
}

/// Ours and the peer's of the round in which the one divided by the other is the median: each round has both next to one another, so that the
/// machine's mood is the same for both.
pub(crate) fn middle(ours: &Measured, peer: &Measured, of: impl Fn(&Sample) -> f64) -> (f64, f64) {
    let mut rounds: Vec<(f64, f64)> = ours.samples.iter().zip(&peer.samples).map(|(ours, peer)| (of(ours), of(peer))).collect();
    rounds.sort_by(|one, other| (one.0 / one.1).total_cmp(&(other.0 / other.1)));
    rounds.get(rounds.len() / 2).copied().unwrap_or((f64::NAN, f64::NAN))
}

pub(crate) fn table(measured: &[&Measured]) -> Table {
    let mut table = Table::new(&["configuration", "requests/s", "CPU per request, µs", "core busy, %", "p50, µs", "p99, µs"]);
    for one in measured {
        table.row([
            one.name.clone(),
            one.range(|sample| sample.per_second).cell(0),
            one.range(|sample| sample.cpu_microseconds).cell(1),
            one.range(|sample| sample.busy).cell(0),
            one.range(|sample| sample.p50).cell(0),
            one.range(|sample| sample.p99).cell(0),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_of_one_round() {
        let measured = |values: &[f64]| Measured {
            name: String::new(),
            samples: values
                .iter()
                .map(|per_second| Sample { per_second: *per_second, cpu_microseconds: 0.0, busy: 0.0, p50: 0.0, p99: 0.0 })
                .collect(),
        };
        // Ratios 2, 1 and 4; the second round was a bad one for both.
        let found = middle(&measured(&[200.0, 10.0, 400.0]), &measured(&[100.0, 10.0, 100.0]), |sample| sample.per_second);
        assert_eq!(found, (200.0, 100.0));
        assert!(middle(&measured(&[]), &measured(&[]), |sample| sample.per_second).0.is_nan());
    }

    #[test]
    fn a_range_is_lowest_median_highest() {
        assert_eq!(Range::of([3.0, 1.0, 2.0]).cell(1), "2.0 (1.0 to 3.0)");
        assert_eq!(Range::of([5.0]).cell(0), "5 (5 to 5)");
        assert!(Range::of([]).median.is_nan());
    }
}
