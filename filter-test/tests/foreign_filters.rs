//! Filters that know nothing of Meshwright, in three languages and on two public SDKs, run unchanged. `make test-filters` builds them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meshwright_filter_test::{CaseResult, Compile, failed, human, load, load_module, run_all};
use meshwright_wasm_host::{Host, LogLevel};

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/filters/scenarios");

/// As `make test-filters` built them.
fn modules() -> PathBuf {
    let target = std::env::var("CARGO_TARGET_DIR").map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    std::env::var("MESHWRIGHT_TEST_FILTERS").map_or_else(|_| target.join("test-filters"), PathBuf::from)
}

fn module(name: &str) -> Host {
    let file = modules().join(format!("{name}.wasm"));
    let host = load_module(&file, &Compile { metered: false, cache: Some(modules().join("cache")) });
    host.unwrap_or_else(|error| panic!("{error}; `make test-filters` builds it"))
}

fn names(folder: &Path, extension: &str) -> BTreeSet<String> {
    let files = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = files.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|found| found == extension));
    files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_filter_does_what_its_scenarios_say() {
    let scenarios = names(Path::new(SCENARIOS), "yaml");
    assert_eq!(scenarios, names(&modules(), "wasm"), "each module has scenarios; `make test-filters` builds the modules");
    for name in &scenarios {
        let cases = load(&[Path::new(SCENARIOS).join(format!("{name}.yaml"))]).unwrap();
        let results: Vec<CaseResult> = run_all(&module(name), &cases, false, &|_| {});
        assert_eq!(failed(&results), 0, "{name}\n{}", human(&results, Duration::ZERO));
    }
}

#[test]
fn the_greeting_filter_ticks_on_the_virtual_clock() {
    let mut worker = module("hello_world").plugin("", "").now(Duration::from_secs(1_000)).start().unwrap();
    let logged = |report: meshwright_wasm_host::Report| report.logged(LogLevel::Info).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(logged(worker.take_report()), ["Hello, World!"]);
    let first = logged(worker.advance(Duration::from_secs(11)));
    let [five, ten] = first.as_slice() else { panic!("{first:?}") };
    assert!(five.starts_with("It is 1005, your lucky number is "), "{five}");
    assert!(ten.starts_with("It is 1010, your lucky number is "), "{ten}");
}
