//! From the text of a file to its cases: a matrix is merged into what it varies.

use std::collections::BTreeMap;
use std::path::Path;

use meshwright_test_files::{FileError, parse};
use serde_json::Value;

use crate::wire::ScenarioWire;

/// A scenario, or one case of its matrix, with all overrides applied.
#[derive(Debug, Clone)]
pub(crate) struct CaseWire {
    /// `None` for a scenario without a matrix.
    pub(crate) name: Option<String>,
    pub(crate) scenario: ScenarioWire,
}

pub(crate) fn cases(file: &Path, text: &str) -> Result<Vec<CaseWire>, FileError> {
    let name = file.display().to_string();
    // Typed first: what is wrong anywhere in the file, a matrix case included, is found with its line.
    let scenario: ScenarioWire = parse(&name, text)?;
    if scenario.matrix.is_empty() {
        return Ok(vec![CaseWire { name: None, scenario }]);
    }
    if let Some((case, _)) = scenario.matrix.iter().find(|(_, case)| !case.matrix.is_empty()) {
        let path = format!("matrix.{case}.matrix");
        return Err(FileError { file: name, line: None, path, message: "a case has no matrix of its own".to_owned() });
    }
    let mut base: BTreeMap<String, Value> = parse(&name, text)?;
    let Some(Value::Object(overrides)) = base.remove("matrix") else { return Ok(Vec::new()) };
    let base = Value::Object(base.into_iter().collect());
    let mut cases = Vec::new();
    for (case, patch) in overrides {
        let mut merged = base.clone();
        merge(&mut merged, patch, true);
        let scenario = serde_path_to_error::deserialize(merged).map_err(|error| {
            let path = format!("matrix.{case}: with the scenario's own parts, {}", error.path());
            FileError { file: name.clone(), line: None, path, message: error.into_inner().to_string() }
        })?;
        cases.push(CaseWire { name: Some(case), scenario });
    }
    Ok(cases)
}

/// Conditions and contents are replaced as a whole: half of one is none.
const ATOMS: [&str; 9] = ["equals", "contains", "prefix", "regex", "json", "json_subset", "present", "absent", "base64"];
/// What is inside these is the module's own.
const FOREIGN: [&str; 2] = ["configuration", "vm_configuration"];

/// RFC 7396, "JSON Merge Patch", but for the [`ATOMS`].
fn merge(target: &mut Value, patch: Value, ours: bool) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(existing) = target else { return };
    if ours && !patch.is_empty() && patch.keys().all(|key| ATOMS.contains(&key.as_str())) {
        existing.retain(|key, _| !ATOMS.contains(&key.as_str()));
    }
    for (key, value) in patch {
        if value.is_null() {
            existing.remove(&key);
        } else {
            let ours = ours && !FOREIGN.contains(&key.as_str());
            merge(existing.entry(key).or_insert(Value::Null), value, ours);
        }
    }
}
