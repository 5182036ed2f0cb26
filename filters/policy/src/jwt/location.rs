//! Where a rule looks for its tokens.

use std::borrow::Cow;

use crate::request::HttpRequest;
use crate::wire;

/// What a token is made of: base64url (RFC 4648 section 5), and the dots between its parts.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// One place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    Header { name: String, prefix: String },
    Parameter(String),
    Cookie(String),
}

/// A token, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found<'a, 'r> {
    pub(super) token: Cow<'a, [u8]>,
    pub(super) location: &'r Location,
}

/// The places that a rule names; with none named, `Authorization: Bearer` and then the parameter `access_token` (Istio, JWTRule).
pub(super) fn of(rule: &wire::JwtRule) -> Vec<Location> {
    let headers = rule.from_headers.iter().flatten();
    let headers = headers
        .map(|header| Location::Header { name: header.name.to_ascii_lowercase(), prefix: header.prefix.clone().unwrap_or_default() });
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
    /// The header that holds tokens; none for a parameter.
    pub(super) fn header(&self) -> Option<&str> {
        match self {
            Self::Header { name, .. } => Some(name),
            Self::Cookie(_) => Some("cookie"),
            Self::Parameter(_) => None,
        }
    }

    /// Every token here, an empty one too: what is presented has to be good. Envoy's jwt_authn looks at the first of several parameters or
    /// cookies of one name; here all count, for nobody knows which of them the app reads.
    #[inline(never)]
    pub(super) fn tokens<'a, 'r>(&'r self, request: &HttpRequest<'a>, found: &mut Vec<Found<'a, 'r>>) {
        let mut add = |token| found.push(Found { token, location: self });
        match self {
            Self::Header { name, prefix } => {
                request.headers().all(name).filter_map(|value| behind_prefix(value, prefix)).for_each(|token| add(Cow::Borrowed(token)));
            }
            Self::Parameter(_) if request.query().is_empty() => {}
            Self::Parameter(name) => {
                parameters(request.query()).filter_map(|pair| value_of(pair, name)).for_each(|value| add(decode(value)))
            }
            Self::Cookie(name) => {
                let pairs = request.headers().all("cookie").flat_map(|value| value.split(|byte| *byte == b';'));
                for pair in pairs {
                    let (found, value) = split_pair(pair.trim_ascii());
                    if found == name.as_bytes() {
                        add(Cow::Borrowed(value.unwrap_or_default()));
                    }
                }
            }
        }
    }
}

/// As Envoy's jwt_authn finds it: the prefix, in its case, anywhere in the value, and behind it the first character that a token can have.
/// A value without the prefix holds no token; one with nothing behind it holds a bad one.
fn behind_prefix<'a>(value: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    if prefix.is_empty() {
        return Some(value);
    }
    // It mostly stands at the start.
    let is_first = value.starts_with(prefix.as_bytes());
    let start = if is_first { 0 } else { value.windows(prefix.len()).position(|part| part == prefix.as_bytes())? };
    let behind = value.get(start.saturating_add(prefix.len())..).unwrap_or_default();
    let first = behind.iter().position(|byte| is_token_byte(*byte));
    Some(first.and_then(|first| behind.get(first..)).unwrap_or(value))
}

/// The pairs of a query, as they are.
pub(super) fn parameters(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.split(|byte| *byte == b'&')
}

/// The value of a parameter, still encoded, if the pair is of that name.
pub(super) fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (found, value) = split_pair(pair);
    (*decode(found) == *name.as_bytes()).then(|| value.unwrap_or_default())
}

/// Name and value; no value when there is no `=`.
pub(super) fn split_pair(pair: &[u8]) -> (&[u8], Option<&[u8]>) {
    match pair.iter().position(|byte| *byte == b'=').and_then(|end| pair.split_at_checked(end)) {
        Some((name, value)) => (name, value.get(1..)),
        None => (pair, None),
    }
}

/// Percent-decoded (RFC 3986 section 2.1); what is no encoding stays.
fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let encoded = (*first == b'%').then(|| behind.split_first_chunk::<2>()).flatten().and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (byte, after) = encoded.unwrap_or((*first, behind));
        decoded.push(byte);
        rest = after;
    }
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Headers;

    fn tokens(rule: &wire::JwtRule, headers: &[(&str, &str)]) -> Vec<String> {
        let request = HttpRequest::new(Headers::from_pairs(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))));
        let locations = of(rule);
        let mut found = Vec::new();
        locations.iter().for_each(|location| location.tokens(&request, &mut found));
        found.iter().map(|found| String::from_utf8(found.token.to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_usual_places() {
        let rule = wire::JwtRule::default();
        for (headers, expected) in [
            (vec![("authorization", "Bearer a.b.c")], vec!["a.b.c"]),
            (vec![("authorization", "Bearer   a.b.c")], vec!["a.b.c"]),
            (vec![("authorization", "bearer a.b.c")], vec![]),
            (vec![("authorization", "Bearer")], vec![]),
            (vec![("authorization", "Basic x")], vec![]),
            (vec![("authorization", "Basic x, Bearer a.b.c, y")], vec!["a.b.c, y"]),
            (vec![("authorization", "Bearer \"")], vec!["Bearer \""]),
            (vec![("authorization", "Bearer a"), ("Authorization", "Bearer b")], vec!["a", "b"]),
            (vec![(":path", "/x?access_token=a.b.c&access_token=d#f")], vec!["a.b.c", "d"]),
            (vec![(":path", "/x?access%5Ftoken=a%2Eb&y")], vec!["a.b"]),
            (vec![(":path", "/x?access_token")], vec![""]),
            (vec![(":path", "/x?a=1&access_token=")], vec![""]),
            (vec![(":path", "/x#?access_token=a")], vec![]),
            (vec![(":path", "/x?xaccess_token=a&access_tokens=b")], vec![]),
            (vec![("cookie", "access_token=a")], vec![]),
            (vec![("authorization", "Bearer a"), (":path", "/?access_token=b")], vec!["a", "b"]),
        ] {
            assert_eq!(tokens(&rule, &headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn only_the_named_places() {
        let rule: wire::JwtRule = serde_json::from_str(
            r#"{"issuer": "i", "fromHeaders": [{"name": "X-Token"}, {"name": "x-auth", "prefix": "Key="}], "fromParams": ["t"], "fromCookies": ["c"]}"#,
        )
        .unwrap();
        let headers = [
            ("authorization", "Bearer no"),
            ("x-token", "1"),
            ("x-auth", "Key=2"),
            ("x-auth", "no"),
            (":path", "/?t=3&access_token=no"),
            ("cookie", "a=b; c=4;c=5; cc=no"),
        ];
        assert_eq!(tokens(&rule, &headers), ["1", "2", "3", "4", "5"]);
        assert_eq!(tokens(&rule, &[("x-token", ""), ("cookie", "c")]), ["", ""]);
    }

    #[test]
    fn percent_encoding_is_undone_once() {
        for (text, expected) in [("a%2Eb", "a.b"), ("%252E", "%2E"), ("%", "%"), ("%2", "%2"), ("%zz%41", "%zzA"), ("%+1", "%+1")] {
            assert_eq!(*decode(text.as_bytes()), *expected.as_bytes(), "{text}");
        }
    }
}
