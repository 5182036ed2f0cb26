//! Finds and reads scenario files.

use std::path::PathBuf;

use meshwright_test_files::{Kind, LoadError};

use crate::scenario::Scenario;

const SCENARIOS: Kind = Kind { what: "scenarios", ends: [".yaml", ".yml"] };

/// Reads every scenario below `paths`: files as they are named, folders with all their `*.yaml` and `*.yml`, in the order of their names.
/// Names that start with a dot are left out.
///
/// # Errors
/// When a file cannot be read or is wrong, and when there is none.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Scenario>, LoadError> {
    meshwright_test_files::load(paths, &SCENARIOS, Scenario::parse)
}
