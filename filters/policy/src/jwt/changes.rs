//! What a verified token changes in the request on its way to the app.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::claims::Claims;
use super::location::Found;
use super::rule::JwtRule;
use crate::request::HttpRequest;

/// One change to the request's headers, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderChange {
    Set(String, String),
    Remove(String),
}

pub(super) fn of(rule: &JwtRule, claims: &Claims, found: &[Found], request: &HttpRequest<'_>) -> Vec<HeaderChange> {
    let mut changes = Vec::new();
    if !rule.forwards_original_token() {
        // Each goes on from what the one before has left of the header.
        let (mut target, mut cookie) = (None, None);
        for location in found {
            match location {
                Found::Header(name) => changes.push(HeaderChange::Remove(name.clone())),
                Found::Parameter(name) => target = Some(without_parameter(target.as_deref().unwrap_or(&text(request.target())), name)),
                Found::Cookie(name) => {
                    let before = cookie.take().unwrap_or_else(|| cookies(request));
                    cookie = Some(without_cookie(&before, name));
                }
            }
        }
        changes.extend(target.map(|target| HeaderChange::Set(":path".to_owned(), target)));
        changes.extend(cookie.map(|rest| match rest.is_empty() {
            true => HeaderChange::Remove("cookie".to_owned()),
            false => HeaderChange::Set("cookie".to_owned(), rest),
        }));
    }
    if let Some(header) = rule.output_payload_to_header() {
        let payload = Value::Object(claims.payload().clone()).to_string();
        changes.push(HeaderChange::Set(header.to_owned(), URL_SAFE_NO_PAD.encode(payload)));
    }
    for (header, path) in rule.output_claims() {
        changes.extend(claims.get(path).and_then(printable).map(|value| HeaderChange::Set(header.clone(), value)));
    }
    changes
}

/// Strings, integers and booleans; anything else, and what no header may hold (RFC 9110 section 5.5), is not passed on.
fn printable(claim: &Value) -> Option<String> {
    let text = match claim {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    (!text.chars().any(|c| c.is_control())).then_some(text)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn cookies(request: &HttpRequest<'_>) -> String {
    // HTTP/2 may split a cookie header into several, which join with `; ` (RFC 9113 section 8.2.3).
    request.headers().all("cookie").map(text).collect::<Vec<_>>().join("; ")
}

fn without_parameter(target: &str, name: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let kept: Vec<&str> = query.split('&').filter(|pair| pair.split('=').next() != Some(name)).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

fn without_cookie(header: &str, name: &str) -> String {
    let kept = header.split(';').map(str::trim).filter(|pair| !pair.is_empty() && pair.split('=').next() != Some(name));
    kept.collect::<Vec<_>>().join("; ")
}
