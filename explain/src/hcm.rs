//! What Envoy's HTTP connection manager, as `envoy/config` sets it up for inbound listeners, makes of a request of HTTP/1.1 before the first
//! filter sees it. Pure. Measured on Envoy 1.40, and compared with it by `tests/envoy`.
//!
//! It does not add what Envoy adds to every request (`x-request-id`, `x-forwarded-proto`, this hop's element of
//! `x-forwarded-client-cert`): nobody can know these beforehand.

mod headers;
mod path;

use std::net::IpAddr;

use meshwright_config::PathNormalization;

use crate::case::Request;

/// A request as the first filter sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) authority: String,
    /// Normalised, with the query, without the fragment.
    pub(crate) target: String,
    /// In order, names in lower case, without pseudo headers.
    pub(crate) headers: Vec<(String, String)>,
    /// What `x-forwarded-for` says, where it is believed.
    pub(crate) forwarded_for: Option<IpAddr>,
}

/// Envoy answers itself, and no filter sees the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// `None`: one that an answer's `status` does not have (403 of no policy, 431, 501).
    pub(crate) status: Option<u16>,
    pub(crate) reason: &'static str,
}

impl Refused {
    const fn bad_request(reason: &'static str) -> Self {
        Self { status: Some(400), reason }
    }

    const fn otherwise(reason: &'static str) -> Self {
        Self { status: None, reason }
    }
}

/// Those that Envoy's parser of HTTP/1 knows, in upper case only.
const METHODS: &[&str] = &[
    "ACL",
    "BIND",
    "CHECKOUT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "MSEARCH",
    "NOTIFY",
    "OPTIONS",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "TRACE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
];

/// As the inbound listener sets it: beyond it Envoy answers 431.
const MOST_BYTES: usize = 60 * 1024;

/// `secure`: over mutual TLS.
pub(crate) fn admit(request: &Request, normalization: PathNormalization, secure: bool) -> Result<Head, Refused> {
    if !METHODS.contains(&request.method.as_str()) {
        return Err(Refused::bad_request("invalid_method"));
    }
    if size(request) > MOST_BYTES {
        return Err(Refused::otherwise("headers_too_large"));
    }
    let Received { authority, path } = split_target(&request.path)?;
    let (host, headers) = headers::received(&request.host, &request.headers, secure)?;
    let authority = authority.unwrap_or(host);
    if !authority.bytes().all(is_of_authority) {
        return Err(Refused::bad_request("invalid_host"));
    }
    let path = path.split('#').next().unwrap_or_default();
    let target = path::normalized(path, normalization).ok_or(Refused::bad_request("invalid_path"))?;
    let forwarded_for = headers.iter().find(|(name, _)| name == "x-forwarded-for").and_then(|(_, value)| last_address(value));
    Ok(Head { method: request.method.clone(), authority, target, headers, forwarded_for })
}

/// Of the request line and the headers as they are on the wire.
fn size(request: &Request) -> usize {
    const FRAME: usize = "  HTTP/1.1\r\nHost: \r\n\r\n".len();
    const OF_HEADER: usize = ": \r\n".len();
    let headers = request.headers.iter().map(|(name, value)| name.len().saturating_add(value.len()).saturating_add(OF_HEADER));
    [FRAME, request.method.len(), request.path.len(), request.host.len()].into_iter().chain(headers).fold(0, usize::saturating_add)
}

/// The parts of a request line's target (RFC 9112 section 3.2).
struct Received<'a> {
    /// Of the absolute form; it counts instead of the `Host` header then.
    authority: Option<String>,
    path: &'a str,
}

fn split_target(target: &str) -> Result<Received<'_>, Refused> {
    let invalid = Refused::bad_request("invalid_path");
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid);
    }
    if target.starts_with('/') {
        return Ok(Received { authority: None, path: target });
    }
    let rest = ["http://", "https://"].into_iter().find_map(|scheme| {
        let (found, rest) = target.split_at_checked(scheme.len())?;
        found.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let rest = rest.ok_or(invalid)?;
    let (authority, path) = match rest.find('/').and_then(|at| rest.split_at_checked(at)) {
        Some(parts) => parts,
        None => (rest, "/"),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if is_host_and_port(host) { Ok(Received { authority: Some(host.to_owned()), path }) } else { Err(invalid) }
}

fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    let is_v6 = |host: &str| {
        host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (is_name(host) || is_v6(host)) && port.is_none_or(is_port)
}

/// RFC 3986 section 3.2, without what must be percent-encoded.
fn is_of_authority(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=@[]_~".contains(&byte)
}

/// With `use_remote_address: false` and no trusted hops the last address is believed; what is not just an address is not.
fn last_address(value: &str) -> Option<IpAddr> {
    value.rsplit(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str, host: &str, headers: &[(&str, &str)]) -> Request {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Request { method: method.to_owned(), path: path.to_owned(), host: host.to_owned(), headers, remote_ip: None }
    }

    fn refused(method: &str, path: &str, host: &str) -> &'static str {
        admit(&request(method, path, host, &[]), PathNormalization::Base, false).unwrap_err().reason
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for method in ["get", "Get", "FOO", "", "G ET", "CONNECT", "M-SEARCH"] {
            assert_eq!(refused(method, "/", "h"), "invalid_method", "{method}");
        }
        for path in ["", "a", "*", "?x", "#", "/a b", "/\u{e9}", "/a\tb", "/%00", "ftp://h/", "http:///x", "http://h:99999/", "http://h?x"]
        {
            assert_eq!(refused("GET", path, "h"), "invalid_path", "{path}");
        }
        for host in ["a b", "a/b", "a\"b", "h?x", "h#x", "a\\b", "ex\u{e4}mple"] {
            assert_eq!(refused("GET", "/", host), "invalid_host", "{host}");
        }
    }

    #[test]
    fn a_head_has_at_most_sixty_kibibytes() {
        let value = "y".repeat(61_407);
        let admitted = |path: &str| admit(&request("GET", path, "h", &[("x", &value)]), PathNormalization::Base, false).map(|_| ());
        assert_eq!(admitted("/p"), Ok(()));
        assert_eq!(admitted("/pp"), Err(Refused::otherwise("headers_too_large")));
    }

    #[test]
    fn an_absolute_target_names_the_host() {
        for (path, target, authority) in [
            ("http://Evil:80/A/../b?c", "/b?c", "Evil:80"),
            ("HTTPS://u:p@evil", "/", "evil"),
            ("http://[::1]:80/x#y", "/x", "[::1]:80"),
            ("/x#y?z", "/x", "h"),
            ("//evil/x", "//evil/x", "h"),
        ] {
            let head = admit(&request("GET", path, "h", &[]), PathNormalization::Base, false).unwrap();
            assert_eq!((head.target.as_str(), head.authority.as_str()), (target, authority), "{path}");
        }
    }

    #[test]
    fn the_last_forwarded_address_is_believed_if_it_is_one() {
        for (value, expected) in [
            ("1.2.3.4, 5.6.7.8", Some("5.6.7.8")),
            (" 10.0.0.1 ", Some("10.0.0.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("1.2.3.4,bad", None),
            ("10.0.0.1,", None),
            ("1.2.3.4:55", None),
            ("01.2.3.4", None),
            ("", None),
        ] {
            let head = admit(&request("GET", "/", "h", &[("X-Forwarded-For", value)]), PathNormalization::Base, false).unwrap();
            assert_eq!(head.forwarded_for, expected.map(|ip| ip.parse().unwrap()), "{value}");
        }
    }
}
