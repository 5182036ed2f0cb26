//! The results as docs/host-benchmarks.md and as target/bench/host.json.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::measure::{Case, Round, Unit, median};

/// One number, with the lowest and highest of its rounds.
pub(crate) struct Row {
    name: &'static str,
    what: &'static str,
    unit: Unit,
    target: Option<f64>,
    value: f64,
    lowest: f64,
    highest: f64,
}

impl Row {
    pub(crate) fn new(case: &Case, rounds: &[Round]) -> Self {
        let Case { name, what, unit, target, run: _ } = case;
        let mut values: Vec<f64> = rounds.iter().map(|round| unit.of(*round)).collect();
        let value = median(&mut values);
        let [lowest, highest] = [values.first(), values.last()].map(|value| value.copied().unwrap_or(f64::NAN));
        Self { name, what, unit: *unit, target: *target, value, lowest, highest }
    }
}

pub(crate) fn json(rows: &[Row]) -> serde_json::Result<String> {
    let rows: Vec<Value> = rows.iter().map(|row| json!({"case": row.name, "value": row.value, "unit": row.unit.name()})).collect();
    Ok(format!("{}\n", serde_json::to_string_pretty(&rows)?))
}

pub(crate) fn document(rows: &[Row], rounds: usize) -> std::io::Result<String> {
    let mut text = format!(
        "# Benchmarks of the filter host\n\n\
         Written by `make bench-host`; every number below is from one run of it.\n\n\
         One thread. Every run has a fresh VM where the table does not say otherwise. Cases take turns in {rounds} rounds; numbers are the median\n\
         of the rounds, and lowest to highest in brackets.\n\n\
         Machine: {}.\n\n\
         | case | what one run is | unit | measured | target | met |\n|---|---|---|---|---|---|\n",
        machine()?,
    );
    for row in rows {
        let Row { name, what, unit, target, value, lowest, highest } = row;
        let (sign, met) = match unit {
            Unit::Microseconds | Unit::Milliseconds => ("≤", target.map(|target| unit.met(*value, target))),
            Unit::PerSecond => ("≥", target.map(|target| unit.met(*value, target))),
        };
        let target = target.map_or_else(String::new, |target| format!("{sign} {target}"));
        let met = met.map_or("", |met| if met { "yes" } else { "no" });
        let numbers = format!("{} ({} to {})", number(*value), number(*lowest), number(*highest));
        // Writing to a text cannot fail.
        let _ = writeln!(text, "| {name} | {what} | {} | {numbers} | {target} | {met} |", unit.name());
    }
    text.push_str(
        "\nThe public framework for such tests, `proxy-wasm-test-framework`, is not measured beside it: it is not published as a crate\n\
         (`cargo info proxy-wasm-test-framework`: could not find it in the registry).\n",
    );
    Ok(text)
}

fn number(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.2}")
    } else if value < 1000.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// Processor, cores, kernel: what a reader needs to compare.
fn machine() -> std::io::Result<String> {
    let information = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = information.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    let cores = information.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!("{}, {cores} cores, Linux {}", model.map_or("an unknown processor", |(_, name)| name.trim()), kernel.trim()))
}
