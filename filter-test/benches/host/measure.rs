//! Takes the time of one thing, again and again.

use std::time::{Duration, Instant};

/// How long one round of a case goes on.
const ROUND: Duration = Duration::from_millis(400);

/// Something to measure.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) unit: Unit,
    pub(crate) target: Option<f64>,
    pub(crate) run: Box<dyn FnMut()>,
}

/// In what a case is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Microseconds,
    Milliseconds,
    /// Runs a second on one core.
    PerSecond,
}

/// What a run took in one round, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// Wall-clock time of the median run.
    pub(crate) median: f64,
    /// CPU time of this thread, kernel's work included: that of all runs by their number.
    pub(crate) cpu: f64,
}

/// Runs a case for a while.
pub(crate) fn round(case: &mut Case, quick: bool) -> std::io::Result<Round> {
    let time = if quick { Duration::from_millis(1) } else { ROUND };
    (case.run)();
    let cpu = cpu_nanoseconds()?;
    let start = Instant::now();
    let mut before = start;
    let mut taken = Vec::new();
    while before - start < time {
        (case.run)();
        let now = Instant::now();
        taken.push((now - before).as_secs_f64() * 1e6);
        before = now;
    }
    let cpu = (cpu_nanoseconds()? - cpu) / 1e3 / f64::from(u32::try_from(taken.len()).unwrap_or(u32::MAX));
    Ok(Round { median: median(&mut taken), cpu })
}

/// What the kernel counted for this thread.
fn cpu_nanoseconds() -> std::io::Result<f64> {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    counted.split_ascii_whitespace().next().and_then(|number| number.parse().ok()).ok_or_else(|| std::io::Error::other("no schedstat"))
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Unit {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::PerSecond => "runs/s on one core",
        }
    }

    /// How many runs a core can do is of all the time that it worked, not of a median run.
    pub(crate) fn of(self, round: Round) -> f64 {
        match self {
            Self::Microseconds => round.median,
            Self::Milliseconds => round.median / 1e3,
            Self::PerSecond => 1e6 / round.cpu,
        }
    }

    pub(crate) fn met(self, value: f64, target: f64) -> bool {
        match self {
            Self::Microseconds | Self::Milliseconds => value <= target,
            Self::PerSecond => value >= target,
        }
    }
}
