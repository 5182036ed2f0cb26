//! `make bench-host`: what the filter host costs for one isolated run, and where the time goes. Writes docs/host-benchmarks.md when all was
//! measured in full, and target/bench/host.json.
//!
//! `cargo bench -p meshwright-filter-test --bench host -- --case NAME` measures one case. One thread measures; numbers are medians of rounds that take turns, so that what else runs on the machine meets all cases alike.

mod cases;
mod measure;
mod report;

use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo bench` says `--bench`; `cargo test --benches` does not, and only sees that everything runs.
    let arguments: Vec<String> = std::env::args().collect();
    let quick = arguments.iter().any(|argument| argument == "--quick") || !arguments.iter().any(|argument| argument == "--bench");
    let wanted = arguments.iter().position(|argument| argument == "--case").and_then(|place| arguments.get(place + 1));
    let folder = tempfile::tempdir()?;
    let mut cases = cases::all(folder.path())?;
    cases.retain(|case| wanted.is_none_or(|wanted| case.name == wanted));
    let rounds = if quick { 1 } else { 9 };
    let mut measured = Vec::new();
    for round in 1..=rounds {
        eprintln!("bench: round {round} of {rounds}");
        for (index, case) in cases.iter_mut().enumerate() {
            let found = measure::round(case, quick)?;
            match measured.get_mut(index) {
                None => measured.push(vec![found]),
                Some(rounds) => rounds.push(found),
            }
        }
    }
    let rows: Vec<report::Row> = cases.iter().zip(&measured).map(|(case, rounds)| report::Row::new(case, rounds)).collect();
    let text = report::document(&rows, rounds)?;
    eprint!("\n{text}\n");
    if wanted.is_none() {
        write(&target().join("bench/host.json"), &report::json(&rows)?)?;
    }
    if !quick && wanted.is_none() {
        write(&root().join("docs/host-benchmarks.md"), &text)?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, text)?;
    eprintln!("bench: written: {}", file.display());
    Ok(())
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where cargo builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
