//! The results as docs/benchmarks.md and as target/bench/filters.json.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::{Value, json};

/// A Markdown table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: usize,
    text: String,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        let text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
        Self { columns: head.len(), text }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns, "a row has as many cells as the head");
        self.text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
}

/// One number that is compared: ours divided by the peer's.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    pub(crate) peer: f64,
    pub(crate) target: Target,
}

/// What a ratio should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    pub(crate) fn value(&self) -> f64 {
        self.ours / self.peer
    }

    fn json(&self) -> Value {
        json!({"case": self.case, "value": self.value(), "unit": self.unit, "ours": self.ours, "peer": self.peer})
    }
}

impl Target {
    /// The target, and whether it is met.
    pub(crate) fn cells(self, value: f64) -> [String; 2] {
        let (text, met) = match self {
            Self::AtMost(most) => (format!("≤ {most}"), value <= most),
            Self::AtLeast(least) => (format!("≥ {least}"), value >= least),
        };
        [text, if met { "yes" } else { "no" }.to_owned()]
    }
}

/// What one case found.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) title: String,
    /// What was done, and what each side does in it.
    pub(crate) text: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) rows: Vec<Row>,
}

impl Section {
    pub(crate) fn markdown(&self) -> String {
        let tables: Vec<&str> = self.tables.iter().map(|table| table.text.as_str()).collect();
        format!("## {}\n\n{}\n\n{}", self.title, self.text, tables.join("\n"))
    }
}

/// The rows of all sections.
pub(crate) fn filters_json(sections: &[Section]) -> anyhow::Result<String> {
    let rows: Vec<Value> = sections.iter().flat_map(|section| &section.rows).map(Row::json).collect();
    Ok(format!("{}\n", serde_json::to_string_pretty(&rows)?))
}

/// The whole document.
pub(crate) fn document(sections: &[Section], envoy: &str, rounds: usize, connections: usize) -> anyhow::Result<String> {
    let mut text = String::from("# Benchmarks\n\nWritten by `make bench`; every number below is from one run of it.\n\n");
    writeln!(
        text,
        "Envoy {envoy}, one worker. All of Envoy's threads have one core for themselves, {connections} kept-alive connections load it from another core, each with one\n\
         request in flight; the listener answers by itself, so that no app is measured. Configurations take turns in {rounds} rounds, each in an Envoy of\n\
         its own. Numbers are the median, and lowest to highest in brackets; a ratio is the median of the rounds' ratios, and the first table has the two\n\
         numbers of the round that it is of. CPU is what the kernel counted for Envoy's threads (`schedstat`);\n\
         requests/s mean what a core can do where it was busy all the time. The load never sleeps: waking it would cost Envoy up to 10 µs for an answer, and\n\
         the more often the slower Envoy is.\n\
         Our configurations have `set_filter_state` before the module, as a sidecar has. `cargo run --release -p meshwright-bench -- --case NAME` measures one case.\n\n\
         Machine: {}.\n",
        machine()?,
    )?;
    let mut table = Table::new(&["case", "unit", "ours", "Envoy's own", "ours / Envoy's own", "target", "met"]);
    for row in sections.iter().flat_map(|section| &section.rows) {
        let [target, met] = row.target.cells(row.value());
        table.row([row.case.clone(), row.unit.to_owned(), number(row.ours), number(row.peer), format!("{:.2}", row.value()), target, met]);
    }
    text.push_str(&table.text);
    for section in sections {
        text.push('\n');
        text.push_str(&section.markdown());
    }
    Ok(text)
}

/// Three digits or more.
fn number(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> Section {
        let mut table = Table::new(&["a", "b"]);
        table.row(["1".to_owned(), "2".to_owned()]);
        let row = Row { case: "one".to_owned(), unit: "requests/s", ours: 300.0, peer: 100.0, target: Target::AtLeast(4.0) };
        Section { title: "One".to_owned(), text: "Done.".to_owned(), tables: vec![table], rows: vec![row] }
    }

    #[test]
    fn the_document_has_every_row_and_section() {
        let text = document(&[section()], "1.0.0", 5, 16).unwrap();
        assert!(text.contains("| one | requests/s | 300 | 100 | 3.00 | ≥ 4 | no |\n"), "{text}");
        assert!(text.ends_with("\n## One\n\nDone.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"), "{text}");
    }

    #[test]
    fn rows_are_json() {
        let rows: Value = serde_json::from_str(&filters_json(&[section()]).unwrap()).unwrap();
        assert_eq!(rows, json!([{"case": "one", "value": 3.0, "unit": "requests/s", "ours": 300.0, "peer": 100.0}]));
    }

    #[test]
    fn targets_include_their_bound() {
        for (target, value, met) in [
            (Target::AtMost(1.0), 1.0, "yes"),
            (Target::AtMost(1.0), 1.1, "no"),
            (Target::AtLeast(2.0), 2.0, "yes"),
            (Target::AtLeast(2.0), f64::NAN, "no"),
        ] {
            assert_eq!(target.cells(value)[1], met, "{target:?} {value}");
        }
    }
}
