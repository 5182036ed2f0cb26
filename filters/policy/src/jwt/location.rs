//! Where a rule looks for its tokens.

use crate::request::HttpRequest;
use crate::wire;

/// One place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    Header { name: String, prefix: String },
    Parameter(String),
    Cookie(String),
}

/// Where a token was found, so that it can be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Header(String),
    Parameter(String),
    Cookie(String),
}

/// The places that a rule names; with none named, `Authorization: Bearer` and then the parameter `access_token` (Istio, JWTRule).
pub(super) fn of(rule: &wire::JwtRule) -> Vec<Location> {
    let headers = rule.from_headers.iter().flatten();
    let headers = headers.map(|header| Location::Header { name: header.name.clone(), prefix: header.prefix.clone().unwrap_or_default() });
    let parameters = rule.from_params.iter().flatten().cloned().map(Location::Parameter);
    let cookies = rule.from_cookies.iter().flatten().cloned().map(Location::Cookie);
    let named: Vec<Location> = headers.chain(parameters).chain(cookies).collect();
    if !named.is_empty() {
        return named;
    }
    let bearer = Location::Header { name: "authorization".to_owned(), prefix: "Bearer ".to_owned() };
    vec![bearer, Location::Parameter("access_token".to_owned())]
}

impl Location {
    /// The tokens here; a header without the prefix holds none.
    pub(super) fn tokens<'a>(&self, request: &HttpRequest<'a>) -> Vec<(&'a [u8], Found)> {
        match self {
            Self::Header { name, prefix } => {
                let values = request.headers().all(name).filter_map(|value| strip_prefix(value, prefix));
                values.map(|token| (token, Found::Header(name.clone()))).collect()
            }
            Self::Parameter(name) => {
                let values = request.query().split(|byte| *byte == b'&').filter_map(|pair| value_of(pair, name));
                values.map(|token| (token, Found::Parameter(name.clone()))).collect()
            }
            Self::Cookie(name) => {
                let pairs = request.headers().all("cookie").flat_map(|value| value.split(|byte| *byte == b';'));
                let values = pairs.filter_map(|pair| value_of(pair.trim_ascii(), name));
                values.map(|token| (token, Found::Cookie(name.clone()))).collect()
            }
        }
    }
}

/// The scheme `Bearer` compares without regard to case (RFC 9110 section 11.1), and so does every prefix.
fn strip_prefix<'a>(value: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let (start, rest) = value.split_at_checked(prefix.len())?;
    (start.eq_ignore_ascii_case(prefix.as_bytes()) && !rest.is_empty()).then(|| rest.trim_ascii())
}

fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    (!value.is_empty()).then_some(value)
}
