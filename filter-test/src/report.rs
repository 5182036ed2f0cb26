//! Results for people, for scripts and for CI.

use std::time::Duration;

use meshwright_test_files::{JunitError, Tested, Verdict};
use serde_json::{Value, json};

use crate::run::CaseResult;

/// One line for each failed case, with what failed below it; then a summary.
#[must_use]
pub fn human(results: &[CaseResult], took: Duration) -> String {
    let mut out = String::new();
    for result in results {
        if result.snapshot_written {
            out.push_str(&format!("WROTE  {}\n", result.name));
        }
        if let Some(why) = &result.skipped {
            out.push_str(&format!("SKIPPED {}: {why}\n", result.name));
        }
        if result.passed() {
            continue;
        }
        out.push_str(&format!("FAILED {}\n", result.name));
        for failure in &result.failures {
            out.push_str(&indented(&failure.to_string()));
        }
    }
    let failed = failed(results);
    let skipped = skipped(results);
    let passed = results.len() - failed - skipped;
    let also = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
    out.push_str(&format!("{passed} passed, {failed} failed{also} in {:.2} s\n", took.as_secs_f64()));
    out
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// How many cases did not pass.
#[must_use]
pub fn failed(results: &[CaseResult]) -> usize {
    results.iter().filter(|result| !result.passed()).count()
}

fn skipped(results: &[CaseResult]) -> usize {
    results.iter().filter(|result| result.skipped.is_some()).count()
}

/// `{"passed": N, "failed": N, "skipped": N, "cases": [{"name", "passed", "seconds", "snapshot_written", "skipped", "failures": [{"path", "expected", "found", "diff"?}]}]}`
#[must_use]
pub fn json(results: &[CaseResult]) -> Value {
    let cases: Vec<Value> = results
        .iter()
        .map(|result| {
            json!({
                "name": result.name, "passed": result.passed() && result.skipped.is_none(), "seconds": result.duration.as_secs_f64(),
                "snapshot_written": result.snapshot_written, "skipped": result.skipped, "failures": result.failures,
            })
        })
        .collect();
    let (failed, skipped) = (failed(results), skipped(results));
    json!({"passed": results.len() - failed - skipped, "failed": failed, "skipped": skipped, "cases": cases})
}

/// JUnit XML: a test suite for each file.
///
/// # Errors
/// Should the XML not be writable.
pub fn junit(results: &[CaseResult]) -> Result<String, JunitError> {
    let tests = results.iter().map(|result| {
        let (file, name) = result.name.split_once("::").unwrap_or((&result.name, &result.name));
        let verdict = match &result.skipped {
            Some(why) => Verdict::Skipped(why.clone()),
            None if result.passed() => Verdict::Passed,
            None => {
                let text: Vec<String> = result.failures.iter().map(ToString::to_string).collect();
                Verdict::Failed { message: text.first().cloned().unwrap_or_default(), text: text.join("\n") }
            }
        };
        Tested { file, name, took: result.duration, verdict }
    });
    meshwright_test_files::junit("meshwright filter test", tests)
}
