//! From the text of a file to its cases. Every error has the file, the line where one is known, and the path of the field.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::wire::ScenarioWire;

/// What is wrong with a scenario file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {}{message}", line.map_or_else(String::new, |line| format!(":{line}")), prefix(path))]
pub struct ScenarioError {
    /// As it was named.
    pub file: String,
    /// From 1.
    pub line: Option<u64>,
    /// Where in the document, as `expect.client.status`; empty for the document itself.
    pub path: String,
    /// What was found and what is allowed.
    pub message: String,
}

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

/// A scenario, or one case of its matrix, with all overrides applied.
#[derive(Debug, Clone)]
pub(crate) struct CaseWire {
    /// `None` for a scenario without a matrix.
    pub(crate) name: Option<String>,
    pub(crate) scenario: ScenarioWire,
}

pub(crate) fn cases(file: &Path, text: &str) -> Result<Vec<CaseWire>, ScenarioError> {
    let name = file.display().to_string();
    // Typed first: what is wrong anywhere in the file, a matrix case included, is found with its line.
    let scenario: ScenarioWire = parse(&name, text)?;
    if scenario.matrix.is_empty() {
        return Ok(vec![CaseWire { name: None, scenario }]);
    }
    if let Some((case, _)) = scenario.matrix.iter().find(|(_, case)| !case.matrix.is_empty()) {
        let path = format!("matrix.{case}.matrix");
        return Err(ScenarioError { file: name, line: None, path, message: "a case has no matrix of its own".to_owned() });
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
            ScenarioError { file: name.clone(), line: None, path, message: error.into_inner().to_string() }
        })?;
        cases.push(CaseWire { name: Some(case), scenario });
    }
    Ok(cases)
}

fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, ScenarioError> {
    let mut path = String::new();
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let parsed = serde_saphyr::with_deserializer_from_str_with_options(text, options, |document| {
        serde_path_to_error::deserialize(document).map_err(|error| {
            path = error.path().to_string();
            error.into_inner()
        })
    });
    parsed.map_err(|error| {
        let line = error.location().map(|location| location.line());
        let path = if path == "." { String::new() } else { path.clone() };
        ScenarioError { file: file.to_owned(), line, path, message: without_place(&error.to_string()) }
    })
}

/// The parser ends its messages with the place, which the error has already.
fn without_place(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    message.strip_prefix("error: ").unwrap_or(message).to_owned()
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
