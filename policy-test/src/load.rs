//! Finds and reads test files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use meshwright_test_files::{FileError, Kind, LoadError, Wrong, parse};

use crate::case::{Case, Setting};
use crate::keys::Keys;
use crate::mesh::{Mesh, Meshes};
use crate::table;
use crate::wire::FileWire;

const TESTS: Kind = Kind { what: "tests", ends: ["_test.yaml", "_test.yml"] };

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
    let mut meshes = Meshes::default();
    meshwright_test_files::load(paths, &TESTS, |file, text| Ok(vec![suite(file, text, &mut meshes)?]))
}

fn suite(path: &Path, text: &str, meshes: &mut Meshes) -> Result<Suite, FileError> {
    let file = path.display().to_string();
    // A place that knows its line is a map of its own to the reader.
    let in_place = |error: FileError| FileError { path: error.path.replace("].value", "]"), ..error };
    let mut wire: FileWire = parse(&file, text).map_err(in_place)?;
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
