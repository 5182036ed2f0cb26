//! `make bench-xds`. Writes docs/benchmarks-xds.md when all cases were measured in full, and target/bench/xds.json with the rows of those that
//! were.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Parser, ValueEnum as _};
use meshwright_xds_load::bench::{Case, Floor, Setting, document, rows_json};

/// Measure the control plane under the workloads W1 to W7, at its largest, and how its cost grows
#[derive(Debug, Parser)]
#[command(
    name = "bench-xds",
    after_help = "Example:\n  cargo run --release -p meshwright-xds-load --bin bench-xds -- --case w2 --quick\n\n\
                  Needs two cores, the binary ($MESHWRIGHT_BIN, or `make build`) and the module ($MESHWRIGHT_FILTERS_WASM, or `make module`)."
)]
struct Arguments {
    /// Measure only this case; may be given several times
    #[arg(long = "case", value_name = "NAME", value_enum)]
    cases: Vec<Case>,
    /// Small meshes and short times, to see that everything runs; the numbers mean little
    #[arg(long)]
    quick: bool,
    /// The control plane
    #[arg(long, env = "MESHWRIGHT_BIN", default_value = "target/release/meshwright")]
    binary: PathBuf,
    /// The filter module
    #[arg(long, env = "MESHWRIGHT_FILTERS_WASM", default_value = "target/meshwright_filters.wasm")]
    module: PathBuf,
    /// Be the process that w2 is compared with
    #[arg(long, hide = true)]
    floor: Option<Floor>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(floor) = arguments.floor {
        return floor.serve();
    }
    // The one process-wide choice that rustls asks for; nobody has made another before.
    let _first = rustls::crypto::ring::default_provider().install_default();
    for file in [&arguments.binary, &arguments.module] {
        anyhow::ensure!(file.is_file(), "`{}` is missing: run `make build`", file.display());
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&arguments))
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let setting = Setting { binary: arguments.binary.clone(), module: arguments.module.clone(), quick: arguments.quick, tls: false };
    let all = arguments.cases.is_empty();
    let cases = if all { Case::value_variants() } else { arguments.cases.as_slice() };
    let mut sections = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        eprintln!("bench-xds: case {} of {}: {case:?}", index.saturating_add(1), cases.len());
        sections.push(case.run(&setting).await.with_context(|| format!("{case:?}"))?);
    }
    write(&target().join("bench/xds.json"), &rows_json(&sections)?)?;
    let text = document(&sections)?;
    eprint!("\n{text}\n");
    if all && !arguments.quick {
        write(&root().join("docs/benchmarks-xds.md"), &text)?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, text).with_context(|| format!("`{}` cannot be written", file.display()))?;
    eprintln!("bench-xds: written: {}", file.display());
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
