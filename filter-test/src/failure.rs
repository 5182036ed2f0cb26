//! Expectations that were not met.

use serde::Serialize;
use similar::TextDiff;

/// One expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Failure {
    /// Which: `expect.client.status`.
    pub path: String,
    /// In words.
    pub expected: String,
    /// In words.
    pub found: String,
    /// Line by line, when there is more than one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

impl Failure {
    pub(crate) fn new(path: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { path: path.into(), expected: expected.into(), found: found.into(), diff: None }
    }

    /// Two texts that should be the same.
    pub(crate) fn texts(path: impl Into<String>, expected: &str, found: &str) -> Self {
        let several = expected.contains('\n') || found.contains('\n');
        let diff = several.then(|| diff(expected, found));
        Self { diff, ..Self::new(path, format!("{expected:?}"), format!("{found:?}")) }
    }

    /// Two JSON values that should be the same.
    pub(crate) fn values(path: impl Into<String>, expected: &serde_json::Value, found: &serde_json::Value) -> Self {
        let diff = Some(diff(&format!("{expected:#}\n"), &format!("{found:#}\n")));
        Self { diff, ..Self::new(path, expected.to_string(), found.to_string()) }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.diff {
            None => write!(f, "{}: expected {}, found {}", self.path, self.expected, self.found),
            Some(diff) => write!(f, "{}: expected (-) and found (+) differ\n{}", self.path, diff.trim_end()),
        }
    }
}

/// Lines that differ, with three lines around each.
pub(crate) fn diff(expected: &str, found: &str) -> String {
    TextDiff::from_lines(expected, found).unified_diff().context_radius(3).missing_newline_hint(false).to_string()
}
