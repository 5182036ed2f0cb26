//! SARIF 2.1.0 (OASIS), for code scanning: each failure at its line, each rule that the tests leave open at its policy.

use serde::Serialize;
use serde_json::{Value, json};

use crate::run::Outcome;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
const FAILED: &str = "policy-test-failed";
const GAP: &str = "policy-rule-untested";

/// `result` (section 3.27), with one location.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult {
    rule_id: &'static str,
    level: &'static str,
    message: Value,
    locations: [Value; 1],
}

impl SarifResult {
    fn new(rule_id: &'static str, level: &'static str, text: &str, file: &str, line: u64) -> Self {
        let location = json!({"physicalLocation": {"artifactLocation": {"uri": uri(file)}, "region": {"startLine": line.max(1)}}});
        Self { rule_id, level, message: json!({"text": text}), locations: [location] }
    }
}

/// A path as a relative reference (RFC 3986 section 4.2), in the form in which code scanning knows files.
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let mut uri = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

/// The log of one run.
#[must_use]
pub fn sarif(outcome: &Outcome) -> Value {
    let mut results = Vec::new();
    for result in outcome.results.iter().filter(|result| !result.passed()) {
        let text: Vec<String> = result.failures.iter().map(ToString::to_string).collect();
        let text = format!("{}: {}\n{}", result.name, result.summary, text.join("\n"));
        results.push(SarifResult::new(FAILED, "error", &text, &result.file, result.line));
    }
    for rule in &outcome.coverage.rules {
        if let Some(gap) = rule.gap() {
            results.push(SarifResult::new(GAP, "note", &format!("{} rule {} {gap}", rule.policy, rule.rule), &rule.file, rule.line));
        }
    }
    let rules = json!([
        {"id": FAILED, "shortDescription": {"text": "A policy test is not as expected"}},
        {"id": GAP, "shortDescription": {"text": "No test shows that the rule matches, or that it can fail to match"}},
    ]);
    json!({
        "$schema": SCHEMA, "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "meshwright test", "semanticVersion": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "results": results,
        }],
    })
}
