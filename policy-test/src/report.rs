//! Results for people, for scripts and for CI.

mod sarif;

use std::time::Duration;

use meshwright_test_files::{JunitError, Tested, Verdict};
use serde_json::{Value, json};

pub use sarif::sarif;

use crate::coverage::Coverage;
use crate::run::{CaseResult, Outcome};

/// What failed, with how it came about; the rules that the tests leave open; a summary.
#[must_use]
pub fn human(outcome: &Outcome, took: Duration) -> String {
    let mut out = String::new();
    for result in outcome.results.iter().filter(|result| !result.passed()) {
        out.push_str(&format!("FAILED {}:{}: {}: {}\n", result.file, result.line, result.name, result.summary));
        result.failures.iter().for_each(|failure| out.push_str(&format!("  {failure}\n")));
        result.story.iter().flat_map(|story| story.lines()).for_each(|line| out.push_str(&format!("    | {line}\n")));
    }
    for rule in &outcome.coverage.rules {
        if let Some(gap) = rule.gap() {
            out.push_str(&format!("{}:{}: {} rule {} {gap}\n", rule.file, rule.line, rule.policy, rule.rule));
        }
    }
    out.push_str(&coverage_line(&outcome.coverage));
    let failed = failed(outcome);
    let passed = outcome.results.len().saturating_sub(failed);
    out.push_str(&format!("{passed} passed, {failed} failed in {:.2} s\n", took.as_secs_f64()));
    out
}

fn coverage_line(coverage: &Coverage) -> String {
    let gaps = coverage.rules.iter().filter(|rule| rule.gap().is_some()).count();
    format!(
        "coverage {:.1} %: {} of {} rules were seen to match and not to match\n",
        coverage.percent(),
        coverage.rules.len().saturating_sub(gaps),
        coverage.rules.len()
    )
}

/// How many cases did not pass.
#[must_use]
pub fn failed(outcome: &Outcome) -> usize {
    outcome.results.iter().filter(|result| !result.passed()).count()
}

/// `{"passed", "failed", "cases": [{"file", "line", "name", "passed", "seconds", "failures": [{"path", "expected", "found"}]}], "coverage":
/// {"percent", "rules": [{"policy", "rule", "file", "line", "matched", "not_matched", "always", "gap"}]}}`
#[must_use]
pub fn json(outcome: &Outcome) -> Value {
    let case = |result: &CaseResult| {
        json!({
            "file": result.file, "line": result.line, "name": result.name, "passed": result.passed(),
            "seconds": result.duration.as_secs_f64(), "failures": result.failures,
        })
    };
    let rules = outcome.coverage.rules.iter().map(|rule| {
        json!({
            "policy": rule.policy, "rule": rule.rule, "file": rule.file, "line": rule.line, "matched": rule.matched,
            "not_matched": rule.not_matched, "always": rule.always, "gap": rule.gap(),
        })
    });
    let failed = failed(outcome);
    json!({
        "passed": outcome.results.len().saturating_sub(failed), "failed": failed,
        "cases": outcome.results.iter().map(case).collect::<Vec<_>>(),
        "coverage": {"percent": outcome.coverage.percent(), "rules": rules.collect::<Vec<_>>()},
    })
}

/// Workflow commands of GitHub Actions, which show each failure at its line, then the summary.
#[must_use]
pub fn github(outcome: &Outcome, took: Duration) -> String {
    let mut out = String::new();
    for result in outcome.results.iter().filter(|result| !result.passed()) {
        let text: Vec<String> = result.failures.iter().map(ToString::to_string).collect();
        let (file, title, text) = (property(&result.file), property(&result.name), message(&text.join("\n")));
        out.push_str(&format!("::error file={file},line={},title={title}::{text}\n", result.line));
    }
    for rule in &outcome.coverage.rules {
        if let Some(gap) = rule.gap() {
            let text = message(&format!("{} rule {} {gap}", rule.policy, rule.rule));
            out.push_str(&format!("::notice file={},line={},title=policy coverage::{text}\n", property(&rule.file), rule.line));
        }
    }
    let failed = failed(outcome);
    let passed = outcome.results.len().saturating_sub(failed);
    out + &coverage_line(&outcome.coverage) + &format!("{passed} passed, {failed} failed in {:.2} s\n", took.as_secs_f64())
}

/// As the runner undoes it.
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text.strip_prefix("./").unwrap_or(text)).replace(':', "%3A").replace(',', "%2C")
}

/// JUnit XML: a test suite for each file.
///
/// # Errors
/// Should the XML not be writable.
pub fn junit(outcome: &Outcome) -> Result<String, JunitError> {
    let tests = outcome.results.iter().map(|result| {
        let text: Vec<String> = result.failures.iter().map(ToString::to_string).collect();
        let verdict = match text.first() {
            None => Verdict::Passed,
            Some(first) => {
                let story = result.story.as_deref().unwrap_or_default();
                Verdict::Failed { message: first.clone(), text: format!("{}:{}\n{}\n{story}", result.file, result.line, text.join("\n")) }
            }
        };
        Tested { file: &result.file, name: &result.name, took: result.duration, verdict }
    });
    meshwright_test_files::junit("meshwright test", tests)
}
