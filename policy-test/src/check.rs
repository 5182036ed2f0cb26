//! What was expected against what became of it.

use std::collections::BTreeMap;

use meshwright_explain::{Answer, Story, Verdict};
use serde::Serialize;

use crate::wire::{DecisionWire, ExpectWire, HeaderValues};

/// One expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Which: `expect.status`.
    pub path: String,
    /// In words.
    pub expected: String,
    /// In words.
    pub found: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: expected {}, found {}", self.path, self.expected, self.found)
    }
}

/// Every expectation that was not met. What has no answer for another reason than an external authorizer meets none.
pub(crate) fn failures(expected: &ExpectWire, story: &Story) -> Vec<Failure> {
    let answer = story.answer();
    if let (Verdict::Error, Some(error), false) = (answer.decision, &answer.error, is_question(answer)) {
        return vec![Failure { path: "expect".to_owned(), expected: "an answer".to_owned(), found: format!("{}: {error}", answer.reason) }];
    }
    let ExpectWire { decision, status, policy, rule, reason, path, request_principal, headers } = expected;
    let mut failures = Vec::new();
    let mut compare = |field: &str, expected: Option<String>, found: Option<String>| {
        if let Some(expected) = expected.filter(|expected| found.as_ref() != Some(expected)) {
            let found = found.unwrap_or_else(|| "none".to_owned());
            failures.push(Failure { path: format!("expect.{field}"), expected, found });
        }
    };
    let by = |text: &str| format!("{text}{}", told(answer));
    if *decision != Some(decided(answer)) {
        compare("decision", decision.map(|decision| decision.as_str().to_owned()), Some(by(decided(answer).as_str())));
    }
    compare("status", status.map(|status| status.to_string()), answer.status.map(|status| status.to_string()));
    compare("policy", policy.clone(), answer.policy.clone());
    compare("rule", rule.map(|rule| rule.to_string()), answer.rule.map(|rule| rule.to_string()));
    compare("reason", reason.clone(), Some(answer.reason.clone()));
    compare("path", path.clone(), Some(answer.path.clone()));
    compare("requestPrincipal", request_principal.clone(), answer.request_principal.clone());
    failures.extend(header_failures(headers, answer));
    failures
}

fn is_question(answer: &Answer) -> bool {
    answer.reason == "external_authorizer"
}

fn decided(answer: &Answer) -> DecisionWire {
    match answer.decision {
        Verdict::Allow => DecisionWire::Allow,
        Verdict::Deny => DecisionWire::Deny,
        Verdict::Error => DecisionWire::Ask,
    }
}

fn told(answer: &Answer) -> String {
    let by = answer.policy.as_ref().zip(answer.rule).map(|(policy, rule)| format!(", {policy} rule {rule}")).unwrap_or_default();
    format!(" ({}{by})", answer.reason)
}

fn header_failures(headers: &BTreeMap<String, Option<HeaderValues>>, answer: &Answer) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (name, expected) in headers {
        let received = answer.request_headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let found: Vec<&str> = received.map(|(_, value)| value.as_str()).collect();
        let wanted: Vec<&str> = expected.iter().flat_map(|HeaderValues(values)| values).map(String::as_str).collect();
        if found != wanted {
            failures.push(Failure { path: format!("expect.headers.{name}"), expected: quoted(&wanted), found: quoted(&found) });
        }
    }
    failures
}

fn quoted(values: &[&str]) -> String {
    if values.is_empty() {
        "that the app does not receive it".to_owned()
    } else {
        values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ")
    }
}
