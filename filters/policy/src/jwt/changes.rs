//! What a verified token changes in the request on its way to the app.

use super::claims::Claims;
use super::location::{Found, Location, parameters, split_pair, value_of};
use super::object::Value;
use super::rule::JwtRule;
use crate::request::HttpRequest;
use crate::wire::json::Number;

/// One change to the request's headers, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderChange {
    Set(String, HeaderValue),
    Remove(String),
}

/// The bytes of a header's value; they need not be UTF-8.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderValue(Vec<u8>);

impl HeaderValue {
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for HeaderValue {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl std::fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// `found` are the rule's tokens, all verified; the claims are those of the first.
#[inline(never)]
pub(super) fn of(rule: &JwtRule, claims: &Claims, found: &[Found<'_, '_>], request: &HttpRequest<'_>) -> Vec<HeaderChange> {
    let mut changes = Vec::new();
    if !rule.forwards_original_token() {
        remove_tokens(found, request, &mut changes);
    }
    if let (Some(header), Some(first)) = (rule.output_payload_to_header(), found.first()) {
        // As it is in the token, so that what the app reads is what was signed.
        let payload = first.token.split(|byte| *byte == b'.').nth(1).unwrap_or_default();
        changes.push(HeaderChange::Set(header.to_owned(), HeaderValue(payload.to_vec())));
    }
    for (header, path) in rule.output_claims() {
        let value = claims.get(path).and_then(printable);
        changes.extend(value.map(|value| HeaderChange::Set(header.clone(), HeaderValue(value.into_bytes()))));
    }
    changes
}

#[inline(never)]
fn remove_tokens(found: &[Found<'_, '_>], request: &HttpRequest<'_>, changes: &mut Vec<HeaderChange>) {
    // Each goes on from what the one before has left of the header.
    let (mut target, mut cookie) = (None, None);
    for Found { location, .. } in found {
        match location {
            Location::Header { name, .. } => {
                let removal = HeaderChange::Remove(name.clone());
                if !changes.contains(&removal) {
                    changes.push(removal);
                }
            }
            Location::Parameter(name) => target = Some(without_parameter(target.as_deref().unwrap_or(request.target()), name)),
            Location::Cookie(name) => cookie = Some(without_cookie(&cookie.take().unwrap_or_else(|| cookies(request)), name)),
        }
    }
    changes.extend(target.map(|target| HeaderChange::Set(":path".to_owned(), HeaderValue(target))));
    changes.extend(cookie.map(|rest| match rest.is_empty() {
        true => HeaderChange::Remove("cookie".to_owned()),
        false => HeaderChange::Set("cookie".to_owned(), HeaderValue(rest)),
    }));
}

/// Strings, integers and booleans; anything else, and what no header may hold (RFC 9110 section 5.5), is not passed on.
#[inline(never)]
fn printable(claim: Value<'_>) -> Option<String> {
    let text = match claim {
        Value::String(text) => text.to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(Number::Unsigned(number)) => number.to_string(),
        Value::Number(Number::Negative(number)) => number.to_string(),
        Value::Null | Value::Number(Number::Float(_)) | Value::List(_) | Value::Object(_) => return None,
    };
    (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
}

#[inline(never)]
fn cookies(request: &HttpRequest<'_>) -> Vec<u8> {
    // HTTP/2 may split a cookie header into several, which join with `; ` (RFC 9113 section 8.2.3).
    request.headers().all("cookie").collect::<Vec<_>>().join(b"; ".as_slice())
}

#[inline(never)]
fn without_parameter(target: &[u8], name: &str) -> Vec<u8> {
    let end = target.iter().position(|byte| *byte == b'#').unwrap_or(target.len());
    let (target, fragment) = target.split_at_checked(end).unwrap_or((target, &[]));
    let Some(start) = target.iter().position(|byte| *byte == b'?') else { return [target, fragment].concat() };
    let (path, query) = target.split_at_checked(start).unwrap_or((target, &[]));
    let query = query.get(1..).unwrap_or_default();
    let kept: Vec<&[u8]> = parameters(query).filter(|pair| value_of(pair, name).is_none()).collect();
    if kept.is_empty() { [path, fragment].concat() } else { [path, b"?", &kept.join(b"&".as_slice()), fragment].concat() }
}

#[inline(never)]
fn without_cookie(header: &[u8], name: &str) -> Vec<u8> {
    let pairs = header.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let kept: Vec<&[u8]> = pairs.filter(|pair| !pair.is_empty() && split_pair(pair).0 != name.as_bytes()).collect();
    kept.join(b"; ".as_slice())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::strict_json;
    use super::*;

    #[test]
    fn a_parameter_leaves_no_trace() {
        for (target, expected) in [
            ("/a?t=x", "/a"),
            ("/a?b=1&t=x&c=2", "/a?b=1&c=2"),
            ("/a?t=x&t=y", "/a"),
            ("/a?%74=x&b", "/a?b"),
            ("/a?t=x#f", "/a#f"),
            ("/a?tt=x&=t", "/a?tt=x&=t"),
            ("/a?b=1&t", "/a?b=1"),
            ("/a", "/a"),
        ] {
            assert_eq!(without_parameter(target.as_bytes(), "t"), expected.as_bytes(), "{target}");
        }
        assert_eq!(without_parameter(b"/\xff?t=x&\xfe=1", "t"), b"/\xff?\xfe=1");
    }

    #[test]
    fn a_cookie_leaves_no_trace() {
        for (header, expected) in
            [("c=x", ""), ("a=1; c=x; b=2", "a=1; b=2"), ("a=1;c=x;c=y", "a=1"), ("cc=1; c", "cc=1"), ("a=\"c=1\"", "a=\"c=1\"")]
        {
            assert_eq!(without_cookie(header.as_bytes(), "c"), expected.as_bytes(), "{header}");
        }
    }

    #[test]
    fn only_simple_claims_are_printed() {
        for (claim, expected) in [
            (json!("a"), Some("a")),
            (json!(7), Some("7")),
            (json!(-7), Some("-7")),
            (json!(u64::MAX), Some("18446744073709551615")),
            (json!(true), Some("true")),
            (json!(1.5), None),
            (json!(""), None),
            (json!("a\r\nx-admin: 1"), None),
            (json!("a\u{0}"), None),
            (json!(["a"]), None),
            (json!({"a": 1}), None),
            (json!(null), None),
        ] {
            let object = strict_json::object(json!({"claim": claim}).to_string().into_bytes()).unwrap();
            assert_eq!(object.get("claim").and_then(printable).as_deref(), expected, "{claim}");
        }
    }
}
