//! The results as docs/benchmarks-xds.md and as target/bench/xds.json.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::{Value, json};

/// One number.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub case: String,
    pub value: f64,
    pub unit: &'static str,
    /// The most that it should be.
    pub target: Option<f64>,
}

impl Row {
    #[must_use]
    pub fn new(case: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { case: case.into(), value, unit, target: None }
    }

    #[must_use]
    pub fn at_most(self, target: f64) -> Self {
        Self { target: Some(target), ..self }
    }

    fn json(&self) -> Value {
        json!({"case": self.case, "value": self.value, "unit": self.unit})
    }

    fn cells(&self) -> String {
        let (target, met) = match self.target {
            Some(target) => (format!("≤ {target}"), if self.value <= target { "yes" } else { "no" }),
            None => (String::new(), ""),
        };
        format!("| {} | {} | {} | {target} | {met} |", self.case, number(self.value), self.unit)
    }
}

/// What one case found.
#[derive(Debug, Clone, Default)]
pub struct Section {
    pub title: String,
    pub text: String,
    pub rows: Vec<Row>,
}

/// `[{"case", "value", "unit"}]` of all sections.
///
/// # Errors
/// When a number is none.
pub fn rows_json(sections: &[Section]) -> anyhow::Result<String> {
    let rows: Vec<Value> = sections.iter().flat_map(|section| &section.rows).map(Row::json).collect();
    Ok(format!("{}\n", serde_json::to_string_pretty(&rows)?))
}

/// The whole document.
///
/// # Errors
/// When the machine does not say what it is.
pub fn document(sections: &[Section]) -> anyhow::Result<String> {
    let mut text =
        String::from("# Benchmarks of the control plane\n\nWritten by `make bench-xds`; every number below is from one run of it.\n\n");
    writeln!(
        text,
        "`meshwright control-plane` has one core for itself; `xds-load` plays its proxies from another one: delta ADS clients that ask, wait and\n\
         acknowledge as Envoy 1.40 does, over plaintext or, where it says so, mutual TLS. The meshes are what `meshwright bench generate` writes. CPU is user and system time of the server's\n\
         process, RSS its peak, bytes are those of gRPC messages. An edit's time is from the save of the file to the ACK, for each edit and each client.\n\
         `make bench-xds CASE=w2` measures one case.\n\nMachine: {}.",
        machine()?
    )?;
    for section in sections {
        write!(text, "\n## {}\n\n{}\n\n| case | value | unit | target | met |\n|---|---|---|---|---|\n", section.title, section.text)?;
        for row in &section.rows {
            writeln!(text, "{}", row.cells())?;
        }
    }
    Ok(text)
}

/// Three digits or more.
fn number(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if value < 1.0 {
        format!("{value:.4}")
    } else if value < 100.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

/// Processor, cores, memory, kernel.
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
