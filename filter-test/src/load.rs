//! Finds and reads scenario files.

use std::path::{Path, PathBuf};

use crate::read::ScenarioError;
use crate::scenario::Scenario;

/// Why no scenarios can be run.
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
    #[error("no scenarios: {} holds no `*.yaml` or `*.yml`", paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", "))]
    NoScenarios {
        /// Where they were looked for.
        paths: Vec<PathBuf>,
    },
    /// Files are wrong: the first error of each.
    #[error("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Wrong {
        /// One for each file that is wrong.
        errors: Vec<ScenarioError>,
    },
}

/// Reads every scenario below `paths`: files as they are named, folders with all their `*.yaml` and `*.yml`, in the order of their names.
/// Names that start with a dot are left out.
///
/// # Errors
/// When a file cannot be read or is wrong, and when there is none.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Scenario>, LoadError> {
    let mut files = Vec::new();
    for path in paths {
        find(path, true, &mut files).map_err(|(path, error)| LoadError::Unreadable { path, reason: error.to_string() })?;
    }
    let (mut scenarios, mut errors) = (Vec::new(), Vec::new());
    for file in files {
        let text =
            std::fs::read_to_string(&file).map_err(|error| LoadError::Unreadable { path: file.clone(), reason: error.to_string() })?;
        match Scenario::parse(&file, &text) {
            Ok(cases) => scenarios.extend(cases),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(LoadError::Wrong { errors });
    }
    if scenarios.is_empty() {
        return Err(LoadError::NoScenarios { paths: paths.to_vec() });
    }
    Ok(scenarios)
}

fn find(path: &Path, named: bool, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, std::io::Error)> {
    let at = |error| (path.to_owned(), error);
    if !std::fs::metadata(path).map_err(at)?.is_dir() {
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if named || is_yaml {
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
