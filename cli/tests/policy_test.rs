//! `meshwright test`: the guide's example and the bookshop's tests pass with the module, and the exit codes are as documented.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn module() -> PathBuf {
    let path =
        std::env::var("MESHWRIGHT_FILTERS_WASM").unwrap_or_else(|_| "target/wasm32-wasip1/filter/meshwright_filters.wasm".to_owned());
    root().join(path)
}

/// Runs `meshwright test` in `folder`.
fn test(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshwright"));
    command
        .arg("test")
        .args(arguments)
        .arg("--module")
        .arg(module())
        .current_dir(folder)
        .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Blocks of the guide.
fn blocks(language: &str) -> Vec<String> {
    let guide = std::fs::read_to_string(root().join("docs/policy-testing.md")).unwrap();
    guide.split(&format!("```{language}\n")).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The guide's mesh and test, on disk.
fn guide() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mesh")).unwrap();
    let files = blocks("yaml");
    assert_eq!(files.len(), 2);
    std::fs::write(folder.path().join("mesh/shop.yaml"), &files[0]).unwrap();
    std::fs::write(folder.path().join("mesh/catalog_test.yaml"), &files[1]).unwrap();
    folder
}

#[test]
fn the_guides_example_does_what_the_guide_says() {
    let folder = guide();
    let commands = blocks("sh");
    let words: Vec<&str> = commands[0].trim().strip_prefix("meshwright test ").unwrap().split(' ').collect();
    let output = test(folder.path(), &words);
    let (printed, expected) = (text(&output.stdout).to_owned(), &blocks("text")[0]);
    assert_eq!(output.status.code(), Some(0), "{printed}{}", text(&output.stderr));
    assert_eq!(printed.split(" in ").next().unwrap(), expected.trim_end(), "{printed}");
    // The failure that the guide shows.
    let file = folder.path().join("mesh/catalog_test.yaml");
    let wrong = std::fs::read_to_string(&file).unwrap().replace("DELETE, /books/1, deny", "DELETE, /books/1, allow");
    std::fs::write(&file, wrong).unwrap();
    let output = test(folder.path(), &["mesh/"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with(&blocks("text")[1]), "{}", text(&output.stdout));
}

#[test]
fn the_test_file_is_no_document() {
    let folder = guide();
    let check = |folder: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_meshwright")).args(["check", "mesh/"]).current_dir(folder).output().unwrap();
        (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    };
    let (code, said) = check(folder.path());
    assert!(code == Some(0) && said.contains("4 documents, 0 errors"), "{said}");
    // A document is one in a file of any name.
    std::fs::write(folder.path().join("mesh/other_test.yaml"), "kind: Teapot\ntests: []\n").unwrap();
    let (code, said) = check(folder.path());
    assert!(code == Some(1) && said.contains("other_test.yaml") && said.contains("Teapot"), "{said}");
}

#[test]
fn the_bookshops_tests_cover_every_rule() {
    let output = test(&root(), &["examples/bookshop", "--coverage-threshold", "100"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn exit_codes_tell_failures_from_wrong_input() {
    let folder = guide();
    let broken = folder.path().join("broken_test.yaml");
    std::fs::write(&broken, "tests: [{nam: x}]\n").unwrap();
    let module = folder.path().join("module.wasm");
    std::fs::write(&module, "not wasm").unwrap();
    for (arguments, code, said) in [
        (&["mesh", "--filter", "#3", "--engine", "native"][..], 0, "2 passed, 0 failed"),
        (&["mesh", "--filter", "nothing"], 2, "no test has `nothing` in its name"),
        (&["mesh", "--filter", "the web", "--coverage-threshold", "1"], 2, "cannot be used with"),
        (&["mesh", "--coverage-threshold", "101"], 2, "expected a number from 0 to 100"),
        (&["broken_test.yaml"], 2, "broken_test.yaml:1: tests[0].nam: unknown field `nam`"),
        (&["nowhere"], 2, "`nowhere` cannot be read"),
    ] {
        let output = test(folder.path(), arguments);
        let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{all}");
        assert!(all.contains(said), "{arguments:?}\n{all}");
    }
    let little = "tests: [{name: a, workload: shop/catalog-1, expect: deny}]\n";
    std::fs::write(folder.path().join("mesh/catalog_test.yaml"), little).unwrap();
    let output = test(folder.path(), &["mesh", "--coverage-threshold", "51", "--engine", "native"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("error: the coverage is 50.0 %, at least 51 % is asked for"), "{}", text(&output.stderr));
}

#[test]
fn answers_have_the_form_that_is_asked_for() {
    let folder = guide();
    let printed = |form: &str| text(&test(folder.path(), &["mesh", "--engine", "native", "--output", form]).stdout).to_owned();
    let json: serde_json::Value = serde_json::from_str(&printed("json")).unwrap();
    assert_eq!((&json["passed"], &json["failed"]), (&9.into(), &0.into()));
    let sarif: serde_json::Value = serde_json::from_str(&printed("sarif")).unwrap();
    assert_eq!((&sarif["version"], &sarif["runs"][0]["results"]), (&"2.1.0".into(), &serde_json::json!([])));
    assert!(printed("junit").contains(r#"<testsuites name="meshwright test" tests="9""#));
    assert!(printed("github").starts_with("coverage 100.0 %"));
    assert!(printed("text").starts_with("coverage 100.0 %"));
    let schema = Command::new(env!("CARGO_BIN_EXE_meshwright")).args(["test", "--schema"]).output().unwrap();
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(
        schema,
        serde_json::from_slice::<serde_json::Value>(&std::fs::read(root().join("policy-test/schema.json")).unwrap()).unwrap()
    );
}
