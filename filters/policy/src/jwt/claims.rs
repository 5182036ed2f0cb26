use std::sync::Arc;

use serde_json::{Map, Value};

/// Claims whose one string is a list, in any token (RFC 8693 section 4.2 and Istio).
const SPACE_DELIMITED: [&str; 2] = ["scope", "permission"];

/// The claims of a verified token.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    issuer: String,
    subject: Option<String>,
    payload: Arc<Map<String, Value>>,
    space_delimited: SpaceDelimited,
}

/// The claims of whose strings each word is a value; one set for all tokens of a rule.
pub(super) type SpaceDelimited = Arc<[String]>;

/// Those of any token, and `names`.
pub(super) fn space_delimited(names: &[String]) -> SpaceDelimited {
    SPACE_DELIMITED.iter().map(|name| (*name).to_owned()).chain(names.iter().cloned()).collect()
}

impl Claims {
    pub(super) fn new(issuer: String, subject: Option<String>, payload: Arc<Map<String, Value>>, space_delimited: SpaceDelimited) -> Self {
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

    /// What they take in memory, in bytes; rather too much than too little.
    pub(super) fn weight(&self) -> usize {
        let names: usize = self.space_delimited.iter().map(|name| name.len().saturating_add(64)).sum();
        let own = self.issuer.len().saturating_add(self.subject.as_ref().map_or(0, String::len));
        own.saturating_add(names).saturating_add(members_weight(&self.payload))
    }

    /// The strings that [`Claims::any_string`] looks at.
    pub(crate) fn strings<'c>(&'c self, path: &[String]) -> Box<dyn Iterator<Item = &'c str> + 'c> {
        let split = path.len() == 1 && path.first().is_some_and(|name| self.space_delimited.contains(name));
        match self.get(path) {
            Some(Value::String(text)) if split => Box::new(text.split(' ').filter(|part| !part.is_empty())),
            Some(Value::String(text)) => Box::new(std::iter::once(text.as_str())),
            Some(Value::Array(list)) => Box::new(list.iter().filter_map(Value::as_str)),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// Whether the claim is a string, or a list with a string in it, that `holds`. Numbers and booleans never match, as in Istio.
    pub(crate) fn any_string(&self, path: &[String], holds: impl Fn(&str) -> bool) -> bool {
        let split = path.len() == 1 && path.first().is_some_and(|name| self.space_delimited.contains(name));
        match self.get(path) {
            Some(Value::String(text)) if split => text.split(' ').filter(|part| !part.is_empty()).any(holds),
            Some(Value::String(text)) => holds(text),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(holds),
            _ => false,
        }
    }
}

/// A node of a map has room for eleven members.
const NODE: usize = 11 * (24 + size_of::<Value>()) + 128;

fn members_weight(members: &Map<String, Value>) -> usize {
    // All but the root are at least half full.
    let nodes = members.len().div_ceil(5).saturating_mul(NODE);
    members.iter().map(|(name, value)| name.len().saturating_add(value_weight(value))).fold(nodes, usize::saturating_add)
}

/// Beyond the value itself, which is part of what holds it.
fn value_weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.capacity(),
        Value::Array(list) => {
            let slots = list.capacity().saturating_mul(size_of::<Value>());
            list.iter().map(value_weight).fold(slots, usize::saturating_add)
        }
        Value::Object(members) => members_weight(members),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(payload: Value) -> Claims {
        let Value::Object(payload) = payload else { panic!("not an object") };
        Claims::new("i".to_owned(), Some(String::new()), Arc::new(payload), space_delimited(&["roles".to_owned()]))
    }

    fn holds(claims: &Claims, path: &[&str], wanted: &str) -> bool {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        claims.any_string(&path, |found| found == wanted)
    }

    #[test]
    fn strings_and_lists_of_strings_match() {
        let claims = claims(json!({
            "a": "x", "list": ["x", 1, ["y"]], "number": 1, "flag": true, "none": null,
            "deep": {"er": {"est": ["z"]}, "a.b/c": "dotted"}, "a.b": "literal",
            "scope": "read  write", "permission": "p q", "roles": "r s", "other": "o p", "nested": {"scope": "n m"},
        }));
        for (path, wanted, expected) in [
            (vec!["a"], "x", true),
            (vec!["a"], "y", false),
            (vec!["list"], "x", true),
            (vec!["list"], "y", false),
            (vec!["list"], "1", false),
            (vec!["number"], "1", false),
            (vec!["flag"], "true", false),
            (vec!["none"], "null", false),
            (vec!["absent"], "x", false),
            (vec!["deep", "er", "est"], "z", true),
            (vec!["deep", "er"], "z", false),
            (vec!["deep", "a.b/c"], "dotted", true),
            (vec!["a.b"], "literal", true),
            (vec!["a", "b"], "literal", false),
            (vec!["list", "0"], "x", false),
            (vec!["scope"], "write", true),
            (vec!["scope"], "read  write", false),
            (vec!["scope"], "", false),
            (vec!["permission"], "q", true),
            (vec!["roles"], "s", true),
            (vec!["other"], "p", false),
            (vec!["other"], "o p", true),
            (vec!["nested", "scope"], "n", false),
            (vec!["nested", "scope"], "n m", true),
        ] {
            assert_eq!(holds(&claims, &path, wanted), expected, "{path:?} {wanted}");
        }
        assert_eq!(claims.subject(), None);
    }

    #[test]
    fn claims_weigh_more_than_their_text() {
        for payload in [json!({"a": "x".repeat(1000)}), json!({"a": vec![json!({"b": 1}); 100]}), json!({"a": vec![json!([[]]); 100]})] {
            let text = payload.to_string().len();
            assert!(claims(payload).weight() > text, "{text}");
        }
    }
}
