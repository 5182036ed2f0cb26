//! Medians, ranges and ratios, as the Markdown of docs/benchmarks.md.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;

use crate::load::{Round, to_f64};

/// One round of one configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    per_second: f64,
    cpu_microseconds: f64,
    p50: f64,
    p99: f64,
}

impl Sample {
    pub(crate) fn new(round: &Round, cpu: Duration) -> Self {
        Self {
            per_second: round.per_second(),
            cpu_microseconds: cpu.as_secs_f64() * 1e6 / to_f64(round.requests.max(1)),
            p50: round.quantile(0.5),
            p99: round.quantile(0.99),
        }
    }
}

/// Every round of one configuration.
#[derive(Debug)]
pub(crate) struct Measured {
    name: &'static str,
    samples: Vec<Sample>,
}

impl Measured {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, samples: Vec::new() }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// Lowest, median, highest.
    fn range(&self, of: impl Fn(&Sample) -> f64) -> anyhow::Result<(f64, f64, f64)> {
        let mut values: Vec<f64> = self.samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.get(values.len() / 2).copied().context("no round was measured")?;
        Ok((values.first().copied().unwrap_or(middle), middle, values.last().copied().unwrap_or(middle)))
    }
}

pub(crate) fn markdown(measured: &[Measured], envoy: &str, rounds: usize, time: Duration, connections: usize) -> anyhow::Result<String> {
    let mut text = String::from(
        "# Benchmarks\n\nWritten by `make bench`; every number below is from one run of it.\n\n## One Envoy worker, one token, one policy\n\n",
    );
    writeln!(
        text,
        "Envoy {envoy}, one worker on a core of its own, {connections} kept-alive connections from another core, a direct response; {rounds} rounds of {} s for each\nconfiguration in turn. Median, and lowest to highest in brackets. Each request carries the same ES256 token, which both jwt_authn (with its\ntoken cache) and our module have seen before.\n\nMachine: {}.\n",
        time.as_secs(),
        machine()?,
    )?;
    text.push_str("| configuration | requests/s | CPU per request, µs | p50, µs | p99, µs |\n|---|---|---|---|---|\n");
    for case in measured {
        let cell = |of: fn(&Sample) -> f64, digits: usize| -> anyhow::Result<String> {
            let (low, middle, high) = case.range(of)?;
            Ok(format!("{middle:.digits$} ({low:.digits$} to {high:.digits$})"))
        };
        let cells = [cell(|s| s.per_second, 0)?, cell(|s| s.cpu_microseconds, 1)?, cell(|s| s.p50, 0)?, cell(|s| s.p99, 0)?];
        writeln!(text, "| {} | {} |", case.name, cells.join(" | "))?;
    }
    let (Some(bare), Some(native), Some(ours)) = (measured.first(), measured.get(1), measured.get(2)) else {
        anyhow::bail!("three configurations are compared, found {}", measured.len());
    };
    let ratio = |a: &Measured, b: &Measured, of: fn(&Sample) -> f64| -> anyhow::Result<f64> { Ok(a.range(of)?.1 / b.range(of)?.1) };
    text.push_str("\n| ratio of medians | requests/s | CPU per request | p99 |\n|---|---|---|---|\n");
    for (name, a, b) in [("meshwright / (jwt_authn + rbac)", ours, native), ("meshwright / no filter", ours, bare)] {
        let (rate, cpu, p99) = (ratio(a, b, |s| s.per_second)?, ratio(a, b, |s| s.cpu_microseconds)?, ratio(a, b, |s| s.p99)?);
        writeln!(text, "| {name} | {rate:.2} | {cpu:.2} | {p99:.2} |")?;
    }
    Ok(text)
}

/// Processor, cores, memory, kernel: what a reader needs to compare.
fn machine() -> anyhow::Result<String> {
    let field = |file: &str, key: &str| -> anyhow::Result<String> {
        let text = std::fs::read_to_string(file)?;
        let line = text.lines().find(|line| line.starts_with(key)).with_context(|| format!("{file} has no {key}"))?;
        Ok(line.split_once(':').map_or("", |(_, value)| value).trim().to_owned())
    };
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cores = std::fs::read_to_string("/proc/cpuinfo")?.lines().filter(|line| line.starts_with("processor")).count();
    let memory: u64 = field("/proc/meminfo", "MemTotal")?.trim_end_matches(" kB").parse()?;
    Ok(format!("{}, {cores} cores, {} GiB, Linux {}", field("/proc/cpuinfo", "model name")?, memory >> 20, kernel.trim()))
}
