use std::sync::Arc;

use super::object::{Object, Span, Value};

/// Claims whose one string is a list, in any token (RFC 8693 section 4.2 and Istio).
const SPACE_DELIMITED: [&str; 2] = ["scope", "permission"];

/// The claims of a verified token.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    payload: Object,
    issuer: Span,
    subject: Span,
    space_delimited: SpaceDelimited,
}

/// The claims of whose strings each word is a value; one set for all tokens of a rule.
pub(super) type SpaceDelimited = Arc<[String]>;

/// Those of any token, and `names`.
pub(super) fn space_delimited(names: &[String]) -> SpaceDelimited {
    SPACE_DELIMITED.iter().map(|name| (*name).to_owned()).chain(names.iter().cloned()).collect()
}

impl Claims {
    /// `issuer` and `subject` are strings of the payload; an empty one is none.
    pub(super) fn new(payload: Object, issuer: Span, subject: Span, space_delimited: SpaceDelimited) -> Self {
        Self { payload, issuer, subject, space_delimited }
    }

    fn of(payload: Object, space_delimited: SpaceDelimited) -> Self {
        let (issuer, subject) = (payload.string("iss").unwrap_or_default(), payload.string("sub").unwrap_or_default());
        Self::new(payload, issuer, subject, space_delimited)
    }

    /// Of any JSON.
    #[cfg(test)]
    pub(super) fn from_json(payload: &serde_json::Value, space_delimited: SpaceDelimited) -> Self {
        Self::of(super::strict_json::object(payload.to_string().into_bytes()).unwrap(), space_delimited)
    }

    /// Of a token that says no more than this.
    pub(super) fn recorded(issuer: &str, subject: Option<&str>) -> Self {
        let known = [("iss", Some(issuer)), ("sub", subject)];
        let payload = Object::of_strings(known.into_iter().filter_map(|(name, value)| Some((name, value?))));
        Self::of(payload, space_delimited(&[]))
    }

    #[must_use]
    pub fn issuer(&self) -> &str {
        self.issuer.of(self.payload.text())
    }

    /// None when the token has none, or an empty one.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        Some(self.subject.of(self.payload.text())).filter(|subject| !subject.is_empty())
    }

    /// The claim at `path`, each part a literal member name.
    pub(super) fn get(&self, path: &[String]) -> Option<Value<'_>> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.payload.get(first)?, |value, name| value.as_object()?.get(name))
    }

    /// What they take in memory, in bytes; the names are the rule's.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>().saturating_add(self.payload.weight())
    }

    /// The strings that [`Claims::any_string`] looks at.
    pub(crate) fn strings<'c>(&'c self, path: &[String]) -> Box<dyn Iterator<Item = &'c str> + 'c> {
        let split = path.len() == 1 && path.first().is_some_and(|name| self.space_delimited.contains(name));
        match self.get(path) {
            Some(Value::String(text)) if split => Box::new(text.split(' ').filter(|part| !part.is_empty())),
            Some(Value::String(text)) => Box::new(std::iter::once(text)),
            Some(Value::List(list)) => Box::new(list.iter().filter_map(Value::as_str)),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// Whether the claim is a string, or a list with a string in it, that `holds`. Numbers and booleans never match, as in Istio.
    pub(crate) fn any_string(&self, path: &[String], holds: impl Fn(&str) -> bool) -> bool {
        let split = path.len() == 1 && path.first().is_some_and(|name| self.space_delimited.contains(name));
        match self.get(path) {
            Some(Value::String(text)) if split => text.split(' ').filter(|part| !part.is_empty()).any(holds),
            Some(Value::String(text)) => holds(text),
            Some(Value::List(list)) => list.iter().filter_map(Value::as_str).any(holds),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(payload: serde_json::Value) -> Claims {
        Claims::from_json(&payload, space_delimited(&["roles".to_owned()]))
    }

    fn holds(claims: &Claims, path: &[&str], wanted: &str) -> bool {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        claims.any_string(&path, |found| found == wanted)
    }

    #[test]
    fn strings_and_lists_of_strings_match() {
        let claims = claims(json!({
            "iss": "i", "sub": "", "a": "x", "list": ["x", 1, ["y"]], "number": 1, "flag": true, "none": null,
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
        assert_eq!((claims.issuer(), claims.subject()), ("i", None));
    }

    #[test]
    fn what_a_log_knows_is_all_that_is_said() {
        for subject in [Some("s"), None] {
            let claims = Claims::recorded("i", subject);
            assert_eq!((claims.issuer(), claims.subject()), ("i", subject));
            assert!(holds(&claims, &["iss"], "i") && subject.is_none_or(|subject| holds(&claims, &["sub"], subject)));
        }
    }

    #[test]
    fn claims_weigh_more_than_their_text() {
        for payload in [json!({"a": "x".repeat(1000)}), json!({"a": vec![json!({"b": 1}); 100]}), json!({"a": vec![json!([[]]); 100]})] {
            let text = payload.to_string().len();
            assert!(claims(payload).weight() > text, "{text}");
        }
    }
}
