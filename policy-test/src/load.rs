//! Finds and reads test files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::case::{Case, Setting};
use crate::keys::Keys;
use crate::mesh::{Mesh, Meshes};
use crate::read::{self, TestFileError, Wrong};
use crate::table;
use crate::wire::FileWire;

/// A larger file is no test.
const LARGEST_FILE: u64 = 16 << 20;

/// Why no tests can be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file or folder cannot be read.
    #[error("`{}` cannot be read: {reason}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// There are no files.
    #[error("no tests: {} holds no `*_test.yaml` or `*_test.yml`", paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", "))]
    NoTests {
        /// Where they were looked for.
        paths: Vec<PathBuf>,
    },
    /// Files are wrong: the first error of each.
    #[error("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Wrong {
        /// One for each file that is wrong.
        errors: Vec<TestFileError>,
    },
}

/// The tests of one file, ready to run.
#[derive(Debug)]
pub struct Suite {
    pub(crate) file: String,
    pub(crate) mesh: Arc<Mesh>,
    /// By issuer.
    pub(crate) keys: BTreeMap<String, String>,
    pub(crate) cases: Vec<Case>,
}

impl Suite {
    /// How many cases it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// Keeps the cases whose name, `FILE::TEST`, has `part` in it.
    pub fn retain(&mut self, part: &str) {
        let file = self.file.clone();
        self.cases.retain(|case| format!("{file}::{}", case.name).contains(part));
    }
}

/// Reads every test below `paths`: files as they are named, folders with all their `*_test.yaml` and `*_test.yml`, in the order of their names.
///
/// # Errors
/// When a file or a document of a mesh cannot be read or is wrong, and when there is none.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Suite>, LoadError> {
    let mut files = Vec::new();
    for path in paths {
        find(path, true, &mut files).map_err(|(path, error)| LoadError::Unreadable { path, reason: error.to_string() })?;
    }
    if files.is_empty() {
        return Err(LoadError::NoTests { paths: paths.to_vec() });
    }
    let mut meshes = Meshes::default();
    let (mut suites, mut errors) = (Vec::new(), Vec::new());
    for file in files {
        let text = read_file(&file).map_err(|reason| LoadError::Unreadable { path: file.clone(), reason })?;
        match suite(&file, &text, &mut meshes) {
            Ok(suite) => suites.push(suite),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(suites) } else { Err(LoadError::Wrong { errors }) }
}

fn read_file(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > LARGEST_FILE {
        return Err(format!("it has {length} bytes, at most {LARGEST_FILE} are read"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn find(path: &Path, named: bool, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, std::io::Error)> {
    let at = |error| (path.to_owned(), error);
    if !std::fs::metadata(path).map_err(at)?.is_dir() {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        if named || name.ends_with("_test.yaml") || name.ends_with("_test.yml") {
            files.push(path.to_owned());
        }
        return Ok(());
    }
    let entries: Result<Vec<_>, _> = std::fs::read_dir(path).map_err(at)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut entries = entries.map_err(at)?;
    entries.sort();
    let hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    for entry in entries.iter().filter(|entry| !hidden(entry)) {
        find(entry, false, files)?;
    }
    Ok(())
}

fn suite(path: &Path, text: &str, meshes: &mut Meshes) -> Result<Suite, TestFileError> {
    let file = path.display().to_string();
    let mut wire: FileWire = read::parse(&file, text)?;
    let unplaced = |wrong: Wrong| wrong.at(&file, None);
    if wire.tests.is_empty() {
        return Err(unplaced(Wrong::new("tests", "missing; at least one test is needed")));
    }
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let documents = wire.documents.take().unwrap_or_else(|| vec![".".to_owned()]);
    let documents = documents.iter().map(|name| if name == "." { folder.to_owned() } else { folder.join(name) }).collect();
    let mesh = meshes.get(documents).map_err(|error| unplaced(Wrong::new("documents", error)))?;
    let keys = Keys::new(&wire.keys, std::mem::take(&mut wire.issuers)).map_err(unplaced)?;
    let sets = keys.sets();
    check_issuers(sets.keys(), &mesh).map_err(unplaced)?;
    let tests = std::mem::take(&mut wire.tests);
    let setting = Setting { file: &wire, keys: &keys, state: &mesh.state };
    let (mut cases, mut names) = (Vec::new(), BTreeSet::new());
    for (index, test) in tests.into_iter().enumerate() {
        let (place, line) = (format!("tests[{index}]"), test.defined.line());
        let name = test.value.name.clone().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Wrong::new("name", "missing; every test has one").below(&place).at(&file, Some(line)))?;
        if !names.insert(name.clone()) {
            return Err(Wrong::new("name", format!("found `{name}` twice")).below(&place).at(&file, Some(line)));
        }
        for row in table::rows(test.value, line).map_err(|(line, wrong)| wrong.below(&place).at(&file, Some(line)))? {
            let line = row.line;
            cases.push(setting.case(&name, row).map_err(|wrong| wrong.below(&place).at(&file, Some(line)))?);
        }
    }
    Ok(Suite { file, mesh, keys: sets, cases })
}

/// Keys for an issuer whom no policy trusts would test nothing.
fn check_issuers<'a>(mut issuers: impl Iterator<Item = &'a String>, mesh: &Mesh) -> Result<(), Wrong> {
    let documents = mesh.state.request_authentications().iter();
    let trusted: BTreeSet<&str> = documents.flat_map(|document| &document.wire().jwt_rules).map(|rule| rule.issuer.as_str()).collect();
    match issuers.find(|issuer| !trusted.contains(issuer.as_str())) {
        Some(unknown) => {
            let known = trusted.into_iter().collect::<Vec<_>>().join(", ");
            Err(Wrong::new(format!("issuers.{unknown}"), format!("no RequestAuthentication has this issuer (they have: {known})")))
        }
        None => Ok(()),
    }
}
