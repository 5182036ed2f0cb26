//! How routes compare texts: exact, prefix, or a regular expression that must take all of it.

use crate::reader::Reader;

/// RE2 in Envoy refuses programs larger than this many bytes of pattern long before; what is longer is a mistake.
const LONGEST_REGEX: usize = 1024;

/// Istio's `StringMatch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StringMatch {
    Exact(String),
    Prefix(String),
    /// RE2, and must match the whole text.
    Regex(String),
}

impl StringMatch {
    /// Exactly one of `exact`, `prefix`, `regex`.
    pub(crate) fn read(field: &Reader<'_>) -> Option<Self> {
        let read = |name: &str| field.get(name).text();
        match (read("exact"), read("prefix"), read("regex")) {
            (Some(text), None, None) => Some(Self::Exact(text)),
            (None, Some(text), None) if text.is_empty() => {
                field.get("prefix").fail("an empty prefix matches everything: leave the match out to mean that");
                None
            }
            (None, Some(text), None) => Some(Self::Prefix(text)),
            (None, None, Some(text)) => {
                check_regex(&field.get("regex"), &text);
                Some(Self::Regex(text))
            }
            _ => {
                field.fail("exactly one of `exact`, `prefix`, `regex` is allowed");
                None
            }
        }
    }
}

/// Envoy would refuse a whole route table for one bad expression. What this parser and RE2 both know is accepted.
fn check_regex(field: &Reader<'_>, pattern: &str) {
    if pattern.is_empty() || pattern.len() > LONGEST_REGEX {
        field.fail(format!("a regular expression has 1 to {LONGEST_REGEX} bytes, found {}", pattern.len()));
    } else if let Err(error) = regex_syntax::Parser::new().parse(pattern) {
        let reason = error.to_string();
        field.fail(format!(
            "`{pattern}` is not a regular expression: {}",
            reason.lines().last().unwrap_or_default().trim_start_matches("error: ")
        ));
    }
}
