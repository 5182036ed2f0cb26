//! Scenarios in a real Envoy: what is the same, what differs, what cannot be asked for.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use meshwright_filter_test::{CaseResult, Compile, EnvoyOptions, LogLevel, Scenario, human, load, load_module, read_module, run_against};

/// Resumes a response in its headers and lets them go on: Envoy sends them twice, which our host only tells.
const TWICE: &str = include_str!("against_envoy/twice.wat");

const SCENARIOS: &str = include_str!("against_envoy/twice.yaml");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn against(module: &Path, scenarios: &[Scenario]) -> Vec<CaseResult> {
    let envoy = std::env::var_os("ENVOY").map_or_else(|| root().join(".tools/envoy/1.40.0/envoy"), PathBuf::from);
    let options = EnvoyOptions { envoy, log_level: LogLevel::Info, pace: Duration::from_millis(25) };
    let host = load_module(module, &Compile::default()).unwrap();
    run_against(&host, &read_module(module).unwrap(), scenarios, &options, &|_| {}).unwrap()
}

#[test]
fn the_example_is_the_same_in_envoy() {
    let folder = root().join("examples/filters/hello");
    let results = against(&folder.join("hello.wat"), &load(std::slice::from_ref(&folder)).unwrap());
    let text = human(&results, Duration::ZERO);
    let compared = results.iter().filter(|result| result.skipped.is_none()).count();
    assert!(compared >= 2 && results.iter().all(CaseResult::passed), "{text}");
}

#[test]
fn a_difference_fails_and_what_cannot_be_asked_for_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("twice.wat");
    std::fs::write(&module, TWICE).unwrap();
    let results = against(&module, &Scenario::parse(Path::new("twice.yaml"), SCENARIOS).unwrap());
    let text = human(&results, Duration::ZERO);
    for part in [
        "FAILED twice.yaml::twice\n",
        "the stream: expected \"ends\", found \"hangs\"",
        "+(cut short)",
        "twice.yaml::a clock: `world.now` sets the clock\n",
        "twice.yaml::by hand: `request.properties` sets attributes by hand\n",
        "0 passed, 1 failed, 2 skipped in ",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}
