use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Claims whose one string is a list, in any token (RFC 8693 section 4.2 and Istio).
const SPACE_DELIMITED: [&str; 2] = ["scope", "permission"];

/// The claims of a verified token.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    issuer: String,
    subject: Option<String>,
    payload: Map<String, Value>,
    space_delimited: BTreeSet<String>,
}

impl Claims {
    pub(super) fn new(issuer: String, subject: Option<String>, payload: Map<String, Value>, space_delimited: &[String]) -> Self {
        let space_delimited = SPACE_DELIMITED.iter().map(|name| (*name).to_owned()).chain(space_delimited.iter().cloned()).collect();
        Self { issuer, subject, payload, space_delimited }
    }

    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// None when the token has none, or an empty one.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref().filter(|subject| !subject.is_empty())
    }

    #[must_use]
    pub fn payload(&self) -> &Map<String, Value> {
        &self.payload
    }

    /// The claim at `path`, each part a literal member name.
    #[must_use]
    pub fn get(&self, path: &[String]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.payload.get(first)?, |value, key| value.get(key))
    }

    /// Whether the claim is a string, or a list with a string in it, that `holds`. Numbers and booleans never match, as in Istio.
    pub(crate) fn any_string(&self, path: &[String], holds: impl Fn(&str) -> bool) -> bool {
        let split = path.len() == 1 && path.first().is_some_and(|name| self.space_delimited.contains(name));
        match self.get(path) {
            Some(Value::String(text)) if split => text.split_ascii_whitespace().any(holds),
            Some(Value::String(text)) => holds(text),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(holds),
            _ => false,
        }
    }
}
