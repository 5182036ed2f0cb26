//! Rules about files: none dead, none long, every link and path in the documents exists, no machine's own path.

#![expect(clippy::expect_used, reason = "a rule that cannot be checked has failed")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: usize = 70;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository's root")
}

/// Every file that git tracks or would track, relative to the root.
fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("file names are UTF-8");
    let paths: BTreeSet<PathBuf> = names.lines().map(PathBuf::from).filter(|p| root().join(p).is_file()).collect();
    assert!(!paths.is_empty(), "git lists no file");
    paths.into_iter().collect()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(root().join(path)).expect("a listed file can be read")).into_owned()
}

fn rust_files() -> impl Iterator<Item = PathBuf> {
    files().into_iter().filter(|p| p.extension().is_some_and(|e| e == "rs"))
}

#[track_caller]
fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_source_file_is_a_module_of_its_crate() {
    let is_root = |p: &Path| {
        let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let folder = p.parent().and_then(Path::file_name).and_then(|n| n.to_str()).unwrap_or_default();
        ["lib.rs", "main.rs", "build.rs"].contains(&name) || ["tests", "benches", "examples", "fuzz_targets", "bin"].contains(&folder)
    };
    let declared = |path: &Path| {
        let module = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_owned();
        let folder = path.parent().expect("a file has a folder");
        let beside = |name: &str| folder.join(name);
        let parents = [folder.with_extension("rs"), beside("lib.rs"), beside("main.rs"), beside("mod.rs")];
        let in_tests = std::fs::read_dir(root().join(folder)).into_iter().flatten().flatten().map(|e| folder.join(e.file_name()));
        let above = folder
            .parent()
            .map(|f| std::fs::read_dir(root().join(f)).into_iter().flatten().flatten().map(|e| f.join(e.file_name())).collect::<Vec<_>>());
        parents
            .into_iter()
            .chain(in_tests)
            .chain(above.unwrap_or_default())
            .filter(|p| p.extension().is_some_and(|e| e == "rs") && root().join(p).is_file())
            .any(|p| {
                let text = read(&p);
                text.contains(&format!("mod {module};")) || text.contains(&format!("mod {module} {{"))
            })
    };
    none(
        &rust_files()
            .filter(|p| !is_root(p) && !declared(p))
            .map(|p| format!("{}: no file says `mod` for it", p.display()))
            .collect::<Vec<_>>(),
    );
}

/// Only reading compiled modules back needs it, and the calls of every request.
#[test]
fn unsafe_code_is_where_it_is_expected() {
    let unsafe_word = ["expect(unsafe", "_code"].concat();
    let found: Vec<PathBuf> = rust_files().filter(|p| read(p).contains(&unsafe_word)).collect();
    assert_eq!(found, ["filters/authz/src/raw.rs", "wasm-host/src/engine/cache.rs"].map(Path::new));
}

#[test]
fn source_files_are_short() {
    let long = |p: &PathBuf| {
        let lines = read(p).lines().count();
        (lines > LONGEST_FILE).then(|| format!("{}: {lines} lines, at most {LONGEST_FILE}", p.display()))
    };
    none(&rust_files().filter_map(|p| long(&p)).collect::<Vec<_>>());
}

/// Formatted code closes a function with a brace in the column of its `fn`, which is all this needs to know.
#[test]
fn functions_are_short() {
    let mut wrong = Vec::new();
    for path in rust_files() {
        let text = read(&path);
        let lines: Vec<&str> = text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let words = line.trim_start();
            let is_function = words
                .split_whitespace()
                .take_while(|w| ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe", "fn"].contains(w))
                .any(|w| w == "fn");
            if !is_function || words.ends_with(';') || words.ends_with('}') {
                continue;
            }
            let closing = format!("{}}}", " ".repeat(indent));
            if let Some(length) = lines.iter().skip(start).position(|l| *l == closing)
                && length + 1 > LONGEST_FUNCTION
            {
                wrong.push(format!("{}:{}: {} lines, at most {LONGEST_FUNCTION}", path.display(), start + 1, length + 1));
            }
        }
    }
    none(&wrong);
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    for path in files().into_iter().filter(|p| p.extension().is_some_and(|e| e == "md")) {
        let text = read(&path);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let folder = path.parent().expect("a file has a folder");
            if !root().join(folder).join(file).exists() {
                wrong.push(format!("{}: `{target}` leads nowhere", path.display()));
            }
        }
    }
    none(&wrong);
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let folders: Vec<String> = ["work", "root", "home"].iter().map(|folder| format!("/{folder}/")).collect();
    let mut wrong = Vec::new();
    for path in files()
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| ["rs", "md", "py", "toml", "yaml", "sh", "json"].iter().any(|k| e == *k)))
    {
        for (number, line) in read(&path).lines().enumerate() {
            if let Some(found) =
                folders.iter().find(|f| line.split([' ', '"', '`', '\'', '(', '=']).any(|word| word.starts_with(f.as_str())))
            {
                wrong.push(format!("{}:{}: names `{found}…`", path.display(), number + 1));
            }
        }
    }
    none(&wrong);
}

#[test]
fn every_package_takes_the_workspace_lints() {
    let lacks = |p: &PathBuf| {
        p.file_name().is_some_and(|n| n == "Cargo.toml")
            && p.parent() != Some(Path::new(""))
            && !read(p).contains("[lints]\nworkspace = true")
    };
    // fuzz targets are a workspace of their own
    none(
        &files()
            .into_iter()
            .filter(|p| !p.starts_with("tests/fuzz/libfuzzer"))
            .filter(lacks)
            .map(|p| format!("{}: no `[lints] workspace = true`", p.display()))
            .collect::<Vec<_>>(),
    );
}
