//! `meshwright filter`: its exit codes, the forms of its answers, and that the guide's own examples work.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshwright"));
    command.arg("filter").args(arguments).current_dir(root()).env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    if std::env::var_os("ENVOY").is_none() {
        command.env("ENVOY", root().join(".tools/envoy/1.40.0/envoy"));
    }
    command
}

fn filter(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// The one that Envoy runs: `make module`.
fn module() -> String {
    std::env::var("MESHWRIGHT_FILTERS_WASM").unwrap_or_else(|_| "target/wasm32-wasip1/filter/meshwright_filters.wasm".to_owned())
}

const HELLO: &str = "examples/filters/hello/hello.wat";

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn guide() -> String {
    std::fs::read_to_string(root().join("docs/filter-testing.md")).unwrap()
}

fn blocks(text: &str, language: &str) -> Vec<String> {
    text.split(&format!("```{language}\n")).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_guides_commands_succeed_and_its_scenario_passes() {
    let guide = guide();
    let mut tried = 0;
    for line in blocks(&guide, "sh").iter().flat_map(|block| block.lines()) {
        let line = line.replace("meshwright_filters.wasm", &module());
        let words: Vec<&str> = line.strip_prefix("meshwright filter ").unwrap().split_whitespace().collect();
        let output = filter(&words);
        assert!(output.status.success(), "{line}\n{}{}", text(&output.stdout), text(&output.stderr));
        tried += 1;
    }
    assert_eq!(tried, 6);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guide.yaml");
    std::fs::write(&file, &blocks(&guide, "yaml")[0]).unwrap();
    let output = filter(&["test", file.to_str().unwrap(), "--module", HELLO]);
    assert!(output.status.success() && text(&output.stdout).starts_with("2 passed, 0 failed"), "{}", text(&output.stdout));
}

#[test]
fn the_guide_names_every_field_of_an_answer() {
    let guide = guide();
    let output = filter(&["run", HELLO, "examples/filters/hello/hello.yaml"]);
    let answers: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answers.as_object().unwrap().len(), 5);
    for field in answers["admin"].as_object().unwrap().keys() {
        assert!(guide.contains(&format!("`{field}`")), "{field}");
    }
    assert_eq!(answers["admin"]["local_reply"]["status"], 403);
    assert_eq!(answers["no greeting"]["ended"], Value::Null);
}

#[test]
fn exit_codes_tell_failures_from_wrong_input() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let failing = put("failing.yaml", "module: {configuration: hi}\nrequest: {}\nexpect: {client: {status: 404}}\n");
    let wrong = put("wrong.yaml", "reqest: {}\n");
    let module = put("module.wasm", "not wasm");
    for (arguments, code, said) in [
        (&["test", &failing, "--module", HELLO][..], 1, "expect.client.status: expected 404, found 200"),
        (&["test", &wrong, "--module", HELLO], 2, "wrong.yaml:1: reqest: unknown field `reqest`"),
        (&["test", &failing, "--module", &module], 2, "not a valid WebAssembly module"),
        (&["test", "nowhere", "--module", HELLO], 2, "`nowhere` cannot be read"),
        (&["test", &failing, "--module", HELLO, "--filter", "other"], 2, "no scenario has `other` in its name"),
        (&["test", &failing, "--module", "none.wasm"], 2, "the module `none.wasm` cannot be read"),
        (&["run", HELLO, &wrong], 2, "unknown field `reqest`"),
        (&["run", HELLO, &failing, "--case", "x"], 2, "no case `x`"),
        (&["inspect", &module], 1, "not a valid WebAssembly module"),
        (&["inspect", "none.wasm"], 2, "cannot be read"),
        (&["test"], 2, "required"),
    ] {
        let output = filter(arguments);
        let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{all}");
        assert!(all.contains(said), "{arguments:?}\n{all}");
    }
}

#[test]
fn answers_have_the_form_that_is_asked_for() {
    let test = |form: &str| filter(&["test", "examples/filters/hello", "--module", HELLO, "--output", form, "--filter", "::admin"]);
    let json: Value = serde_json::from_slice(&test("json").stdout).unwrap();
    assert_eq!((&json["passed"], &json["failed"]), (&2.into(), &0.into()));
    assert!(text(&test("junit").stdout).contains(r#"<testsuites name="meshwright filter test" tests="2""#));
    assert!(text(&test("human").stdout).starts_with("2 passed, 0 failed in "));
    let inspected: Value = serde_json::from_slice(&filter(&["inspect", HELLO, "--output", "json"]).stdout).unwrap();
    let schema: Value = serde_json::from_slice(&filter(&["schema"]).stdout).unwrap();
    assert_eq!(schema, serde_json::from_slice::<Value>(&std::fs::read(root().join("filter-test/schema.json")).unwrap()).unwrap());
    assert_eq!((&inspected["abi_versions"][0], &inspected["refused"]), (&"0.2.1".into(), &Value::Null));
}

#[test]
fn watching_runs_again_when_a_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    let write = |status: u32| {
        let text = format!("module: {{configuration: hi}}\nrequest: {{}}\nexpect: {{client: {{status: {status}}}}}\n");
        std::fs::write(&file, text).unwrap();
    };
    write(404);
    let module = folder.path().join("module.wat");
    std::fs::copy(root().join(HELLO), &module).unwrap();
    let mut watching = command(&["test", file.to_str().unwrap(), "--module", module.to_str().unwrap(), "--watch"]);
    let mut child = watching.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("0 passed, 1 failed")));
    write(200);
    assert!(lines.any(|line| line.starts_with("1 passed, 0 failed")));
    // A module that is built anew, by renaming it into its place.
    let built = folder.path().join("built.wat");
    std::fs::write(&built, "(module)").unwrap();
    std::fs::rename(&built, &module).unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(errors.any(|line| line.contains("exports no ABI version that is known")));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_projects_own_module_passes_its_example_scenarios() {
    let output = filter(&["test", "examples/filters/authz", "--module", &module()]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
