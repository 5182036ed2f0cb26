//! Results for people, for scripts and for CI.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
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
pub fn junit(results: &[CaseResult]) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("meshwright filter test");
    let mut suites: Vec<(String, TestSuite)> = Vec::new();
    for result in results {
        let (file, case) = result.name.split_once("::").unwrap_or((&result.name, &result.name));
        let status = if let Some(why) = &result.skipped {
            let mut status = TestCaseStatus::skipped();
            status.set_message(why.clone());
            status
        } else if result.passed() {
            TestCaseStatus::success()
        } else {
            let text: Vec<String> = result.failures.iter().map(ToString::to_string).collect();
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(text.first().cloned().unwrap_or_default()).set_description(text.join("\n"));
            status
        };
        let mut test = TestCase::new(case, status);
        test.set_classname(file).set_time(result.duration);
        match suites.last_mut().filter(|(name, _)| name == file) {
            Some((_, suite)) => {
                suite.add_test_case(test);
            }
            None => {
                let mut suite = TestSuite::new(file);
                suite.add_test_case(test);
                suites.push((file.to_owned(), suite));
            }
        }
    }
    report.add_test_suites(suites.into_iter().map(|(_, suite)| suite));
    report.to_string()
}
