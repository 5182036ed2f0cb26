//! `meshwright filter test --against-envoy`: what is the same, what differs, what cannot be asked for, in every form.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn against_envoy(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshwright"));
    command.args(["filter", "test", "--against-envoy"]).args(arguments).current_dir(root());
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    if std::env::var_os("ENVOY").is_none() {
        command.env("ENVOY", root().join(".tools/envoy/1.40.0/envoy"));
    }
    command.output().unwrap()
}

/// Resumes a response in its headers and lets them go on: Envoy sends them twice, which our host only tells.
const TWICE: &str = include_str!("../../filter-test/tests/against_envoy/twice.wat");

const SCENARIOS: &str = include_str!("../../filter-test/tests/against_envoy/twice.yaml");

#[test]
fn the_examples_are_the_same_in_envoy() {
    let output = against_envoy(&["examples/filters/hello", "--module", "examples/filters/hello/hello.wat", "--output", "json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{answer:#}");
    let compared = answer.get("passed").and_then(Value::as_u64).unwrap();
    assert!(compared >= 2 && answer.get("failed") == Some(&Value::from(0)), "{answer:#}");
}

#[test]
fn a_difference_fails_and_what_cannot_be_asked_for_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let (module, scenarios) = (folder.path().join("twice.wat"), folder.path().join("twice.yaml"));
    std::fs::write(&module, TWICE).unwrap();
    std::fs::write(&scenarios, SCENARIOS).unwrap();
    let paths = [scenarios.to_str().unwrap(), "--module", module.to_str().unwrap()];
    let output = against_envoy(&paths);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in [
        "FAILED ",
        "twice.yaml::twice\n",
        "+(cut short)",
        "::a clock: `world.now` sets the clock\n",
        "::by hand: `request.properties` sets attributes by hand\n",
        "0 passed, 1 failed, 2 skipped in ",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let junit = against_envoy(&[&paths[..], &["--output", "junit", "--filter", "a clock"]].concat());
    let text = String::from_utf8(junit.stdout).unwrap();
    assert!(text.contains("<skipped") && text.contains("sets the clock"), "{text}");
    let error = String::from_utf8(junit.stderr).unwrap();
    assert!(junit.status.code() == Some(2) && error.contains("nothing was compared"), "{error}");
}

#[test]
fn without_an_envoy_there_is_an_error() {
    let paths = ["examples/filters/hello", "--module", "examples/filters/hello/hello.wat", "--envoy", "/nowhere/envoy"];
    let output = against_envoy(&paths);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("`/nowhere/envoy` cannot be run"), "{error}");
}
