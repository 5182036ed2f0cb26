//! `meshwright replay`: the guide's example, and the exit codes.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "tests fail by panicking")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Blocks of a guide.
fn blocks(guide: &str, language: &str) -> Vec<String> {
    let guide = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(guide)).unwrap();
    guide.split(&format!("```{language}\n")).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The guide's meshes and log, on disk.
fn guide() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let own = blocks("replay.md", "yaml");
    let mesh = format!("{}---\n{}", blocks("explain.md", "yaml")[0], own[0]);
    let (before, rules) = mesh.split_once("  rules:\n").unwrap();
    let (_, after) = rules.split_once("---\n").unwrap();
    for (name, text) in [("mesh", mesh.clone()), ("new", format!("{before}{}---\n{after}", own[1]))] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name).join("mesh.yaml"), text).unwrap();
    }
    std::fs::write(folder.path().join("access.log"), &blocks("replay.md", "jsonl")[0]).unwrap();
    folder
}

fn replay(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meshwright")).arg("replay").args(arguments).current_dir(folder).output().unwrap()
}

#[test]
fn the_guides_example_prints_what_the_guide_says() {
    let folder = guide();
    let command = blocks("replay.md", "sh");
    let words: Vec<&str> = command[0].trim().strip_prefix("meshwright replay ").unwrap().split(' ').collect();
    let output = replay(folder.path(), &words);
    assert_eq!(text(&output.stdout), blocks("replay.md", "text")[0], "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(3));
    let json: Value = serde_json::from_slice(&replay(folder.path(), &[&words[..], &["--output", "json"]].concat()).stdout).unwrap();
    assert_eq!((&json["flipped"], &json["flips"][0]["first"]["line"]), (&1.into(), &2.into()));
    assert_eq!(json["missing"][0]["attribute"], "request.headers[x-tenant]");
    let named = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/replay.md")).unwrap();
    for field in json.as_object().unwrap().keys().filter(|field| *field != "moreFlips") {
        assert!(named.contains(&format!("`{field}`")), "{field}");
    }
}

#[test]
fn a_compressed_log_is_the_same_log() {
    let folder = guide();
    let mut gzip = Command::new("gzip").args(["-k", "access.log"]).current_dir(folder.path()).spawn().unwrap();
    assert!(gzip.wait().unwrap().success());
    let of = |log: &str| replay(folder.path(), &["--log", log, "--policy", "new", "--against", "mesh"]).stdout;
    assert_eq!(text(&of("access.log.gz")), text(&of("access.log")));
    let cut = std::fs::read(folder.path().join("access.log.gz")).unwrap();
    std::fs::write(folder.path().join("access.log.gz"), &cut[..cut.len() / 2]).unwrap();
    let output = replay(folder.path(), &["--log", "access.log.gz", "--policy", "new"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("the log cannot be read"), "{}", text(&output.stderr));
}

#[test]
fn exit_codes_tell_what_was_found() {
    let folder = guide();
    let (log, mesh) = (blocks("replay.md", "jsonl")[0].clone(), ["--policy", "mesh", "--against", "mesh"]);
    std::fs::write(folder.path().join("torn.log"), &log[..log.len() - 9]).unwrap();
    std::fs::write(folder.path().join("last.log"), log.lines().last().unwrap()).unwrap();
    std::fs::create_dir(folder.path().join("broken")).unwrap();
    std::fs::write(folder.path().join("broken/mesh.yaml"), "kind: Teapot\n").unwrap();
    let both = |log: &'static str| [&["--log", log][..], &mesh].concat();
    for (arguments, code, said) in [
        (both("access.log"), 0, "3 records: 0 flip, 3 stay, 0 undecided"),
        (both("torn.log"), 4, "line 3 is no record: the last line breaks off: "),
        (vec!["--log", "last.log", "--policy", "new"], 0, "1 undecided"),
        (vec!["--log", "last.log", "--policy", "new", "--require-decided"], 4, "1 undecided"),
        (vec!["--log", "last.log", "--policy", "new"], 0, "taken for granted without --against: pathNormalization"),
        (both("nowhere.log"), 1, "`nowhere.log` cannot be read"),
        (vec!["--log", "access.log", "--policy", "broken"], 2, "Teapot"),
        (vec!["--log", "access.log", "--policy", "nowhere"], 2, "nowhere"),
        (vec!["--log", "access.log"], 2, "--policy"),
        ([&both("access.log")[..], &["--same-tokens"]].concat(), 2, "cannot be used with"),
    ] {
        let output = replay(folder.path(), &arguments);
        let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{all}");
        assert!(all.contains(said), "{arguments:?}\n{all}");
    }
}

#[test]
fn standard_input_is_a_log() {
    let folder = guide();
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshwright"));
    command.args(["replay", "--log", "-", "--policy", "new"]).current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(blocks("replay.md", "jsonl")[0].as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
}
