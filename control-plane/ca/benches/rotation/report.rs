//! The results as docs/identity-benchmarks.md and as target/bench/ca.json.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::measure::Measured;

pub(crate) struct Row {
    case: String,
    value: f64,
    unit: &'static str,
    /// The most that it should be.
    target: Option<f64>,
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// All numbers of all kinds of keys.
pub(crate) fn rows(results: &[(&str, Measured)]) -> Vec<Row> {
    results.iter().flat_map(|(name, measured)| rows_of(name, measured)).collect()
}

fn rows_of(name: &str, measured: &Measured) -> Vec<Row> {
    let Measured { identities, within, bare, issue, control_plane, sidecar, wall, p50, p99 } = measured;
    let row = |case: &str, value, unit| Row { case: format!("{name}: {case}"), value, unit, target: None };
    let ratio = |time: &Duration| time.as_secs_f64() / bare.as_secs_f64();
    let cores = control_plane.as_secs_f64() * f64::from(*identities) / within.as_secs_f64();
    // What was due last is not over when it is due.
    let late = within.as_secs_f64() + 1.0;
    vec![
        row("a signature alone", microseconds(*bare), "µs CPU"),
        row("a request checked and a leaf signed", microseconds(*issue), "µs CPU"),
        row("the same, in signatures", ratio(issue), "times"),
        row("a renewal, the control plane", microseconds(*control_plane), "µs CPU"),
        row("the same, in signatures", ratio(control_plane), "times"),
        row("a renewal, the sidecar", microseconds(*sidecar), "µs CPU"),
        Row { target: Some(late), ..row(&format!("{identities} renewals"), wall.as_secs_f64(), "s") },
        Row { target: Some(1.0), ..row("cores that the control plane has to itself, to do that", cores, "cores") },
        row("latency of a renewal, p50", p50.as_secs_f64() * 1e3, "ms"),
        row("latency of a renewal, p99", p99.as_secs_f64() * 1e3, "ms"),
    ]
}

pub(crate) fn json(rows: &[Row]) -> String {
    let rows: Vec<Value> = rows.iter().map(|row| json!({"case": row.case, "value": row.value, "unit": row.unit})).collect();
    format!("{}\n", serde_json::to_string_pretty(&rows).unwrap())
}

pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from("| case | value | unit | target | met |\n|---|---|---|---|---|\n");
    for Row { case, value, unit, target } in rows {
        let met = target.map_or("", |target| if *value <= target { "yes" } else { "no" });
        let target = target.map_or_else(String::new, |target| format!("≤ {target}"));
        writeln!(text, "| {case} | {} | {unit} | {target} | {met} |", number(*value)).unwrap();
    }
    text
}

/// `load`: of the machine, when it began.
pub(crate) fn document(rows: &[Row], load: &str) -> String {
    format!(
        "# Benchmarks of identity\n\n\
         Written by `make bench-ca`; every number below is from one run of it.\n\n\
         An authority and its clients on one machine, two threads each. A renewal is what a sidecar does: a new connection of mutual TLS 1.3, a new\n\
         key, a signing request over gRPC, an answer whose chain is verified; the control plane verifies the client's chain and the request, signs, and\n\
         writes the audit record. All renewals of a case are due at an even pace, 10 000 in 60 seconds and 2 000 in 12; a latency counts from when it\n\
         was due. Keys of workloads are P-256, the case's name is the authority's key. CPU is processor time of the threads of that side; beside it the\n\
         library's signature alone, measured in turns with it.\n\n\
         Machine: {}. Load average when it began: {load}. Where others use the machine, times of day say little and CPU says more.\n\n{}",
        machine(),
        table(rows)
    )
}

fn number(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") }
}

/// Of the last minute.
pub(crate) fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap().split(' ').next().unwrap().to_owned()
}

/// Processor, cores, kernel: what a reader needs to compare.
fn machine() -> String {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = information.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    let cores = information.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    format!("{}, {cores} cores, Linux {}", model.map_or("an unknown processor", |(_, name)| name.trim()), kernel.trim())
}
