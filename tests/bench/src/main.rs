//! meshwright-bench
//! `make bench`: what policy costs in one Envoy worker, beside Envoy's own jwt_authn and rbac in the same run. Writes docs/benchmarks.md
//! when all cases were measured in full, and target/bench/filters.json with the ratios of the cases that were.

mod bench;
mod bootstrap;
mod cases;
mod envoy;
mod filters;
mod floor;
mod latency;
mod load;
mod measured;
mod policies;
mod report;
mod rounds;
mod tokens;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Parser, ValueEnum as _};
use meshwright_test_support as support;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::bench::{Bench, CONNECTIONS};
use crate::cases::Case;

/// Envoy has the other one.
const LOAD_CORE: usize = 1;

/// Measures our filter beside Envoy's own, in one Envoy worker
#[derive(Debug, Parser)]
#[command(
    name = "meshwright-bench",
    after_help = "Example:\n  cargo run --release -p meshwright-bench -- --case warm-token-cpu-per-request --quick\n\n\
                  Needs two cores, Envoy ($ENVOY, or `make setup`) and the module ($MESHWRIGHT_FILTERS_WASM, or `make module`)."
)]
struct Arguments {
    /// Measure only this case; may be given several times
    #[arg(long = "case", value_name = "NAME", value_enum)]
    cases: Vec<Case>,
    /// Short rounds, to see that everything runs; the numbers mean little
    #[arg(long)]
    quick: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    support::install_crypto();
    pin(LOAD_CORE)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&arguments))
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let bench = Bench::new(arguments.quick)?;
    let all = arguments.cases.is_empty();
    let cases = if all { Case::value_variants() } else { arguments.cases.as_slice() };
    let mut sections = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        eprintln!("bench: case {} of {}: {}", index.saturating_add(1), cases.len(), case.name());
        sections.push(case.run(&bench).await.with_context(|| case.name())?);
    }
    if sections.iter().any(|section| !section.rows.is_empty()) {
        write(&target().join("bench/filters.json"), &report::filters_json(&sections)?)?;
    }
    let text = report::document(&sections, &envoy::version(bench.binary())?, bench.rounds(), CONNECTIONS)?;
    eprint!("\n{text}\n");
    if all && !arguments.quick {
        write(&root().join("docs/benchmarks.md"), &text)?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, text).with_context(|| format!("`{}` cannot be written", file.display()))?;
    eprintln!("bench: written: {}", file.display());
    Ok(())
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Where cargo builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn pin(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &set).context("a benchmark needs two cores")
}
