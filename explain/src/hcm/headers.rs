//! Headers on their way through Envoy: which are refused, joined, or not passed on.

use super::Refused;

/// As the inbound listener sets it, with `Host`: beyond it Envoy answers 431.
const MOST_HEADERS: usize = 100;

/// Envoy keeps one value of each: duplicates are joined with a comma. Of all others each duplicate stays a header.
const JOINED: &[&str] = &[
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "authentication",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-type",
    "expect",
    "grpc-accept-encoding",
    "grpc-timeout",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "pragma",
    "referer",
    "te",
    "upgrade",
    "user-agent",
    "via",
    "x-client-trace-id",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-external-address",
    "x-envoy-is-timeout-retry",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

/// What is for Envoy, or for this hop, alone.
const NOT_PASSED_ON: &[&str] = &[
    "keep-alive",
    "proxy-connection",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-force-trace",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-internal",
    "x-envoy-ip-tags",
    "x-envoy-max-retries",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-stream-duration-ms",
];

type Pairs = Vec<(String, String)>;

/// The authority that the `Host` headers say, and the other headers as the first filter sees them.
pub(super) fn received(host: &str, sent: &[(String, String)], secure: bool) -> Result<(String, Pairs), Refused> {
    let mut authority = checked_value(host)?.to_owned();
    let mut headers: Pairs = Vec::with_capacity(sent.len());
    for (name, value) in sent {
        if !is_token(name) {
            return Err(Refused::bad_request("invalid_header_name"));
        }
        let name = name.to_ascii_lowercase();
        let value = checked_value(value)?;
        if name == "host" {
            join(&mut authority, value);
        } else {
            add(&mut headers, name, value)?;
        }
    }
    if sent.len() >= MOST_HEADERS {
        return Err(Refused::otherwise("too_many_headers"));
    }
    check_framing(&headers)?;
    of_this_hop(&mut headers)?;
    headers.retain(|(name, _)| !NOT_PASSED_ON.contains(&name.as_str()) && (secure || name != "x-forwarded-client-cert"));
    Ok((authority, headers))
}

fn add(headers: &mut Pairs, name: String, value: &str) -> Result<(), Refused> {
    if name == "content-length" && headers.iter().any(|(known, _)| *known == name) {
        return Err(Refused::bad_request("invalid_content_length"));
    }
    match headers.iter_mut().find(|(known, _)| *known == name && JOINED.contains(&known.as_str())) {
        Some((_, joined)) => join(joined, value),
        None => headers.push((name, value.to_owned())),
    }
    Ok(())
}

fn join(joined: &mut String, value: &str) {
    if !joined.is_empty() && !value.is_empty() {
        joined.push(',');
    }
    joined.push_str(value);
}

/// Without the white space around it (RFC 9110 section 5.5).
fn checked_value(value: &str) -> Result<&str, Refused> {
    let is_control = |byte: u8| (byte < 0x20 && byte != b'\t') || byte == 0x7f;
    if value.bytes().any(is_control) { Err(Refused::bad_request("invalid_header_value")) } else { Ok(value.trim_matches([' ', '\t'])) }
}

/// How long a body is must be beyond doubt (RFC 9112 section 6.3).
fn check_framing(headers: &Pairs) -> Result<(), Refused> {
    let value = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let length = value("content-length");
    if length.is_some_and(|length| length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) || length.parse::<u64>().is_err())
    {
        return Err(Refused::bad_request("invalid_content_length"));
    }
    let mut codings = headers.iter().filter(|(name, _)| name == "transfer-encoding");
    match (codings.next(), codings.next(), length) {
        (None, ..) => Ok(()),
        (Some(_), None, Some(_)) => Err(Refused::bad_request("invalid_content_length")),
        (Some((_, coding)), None, None) if coding.eq_ignore_ascii_case("chunked") => Ok(()),
        (Some(_), ..) => Err(Refused::otherwise("transfer_encoding_not_supported")),
    }
}

/// What `connection` names is of this hop, as are it and `upgrade` themselves (RFC 9110 section 7.6.1).
fn of_this_hop(headers: &mut Pairs) -> Result<(), Refused> {
    const MOST_NAMED: usize = 10;
    let value = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.to_ascii_lowercase());
    let connection = value("connection").unwrap_or_default();
    let named: Vec<&str> = connection.split(',').map(|token| token.trim_matches([' ', '\t'])).filter(|token| !token.is_empty()).collect();
    let is_protected =
        |token: &&str| token.contains(':') || matches!(*token, "host" | "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto");
    if named.len() >= MOST_NAMED || named.iter().any(is_protected) {
        return Err(Refused::bad_request("invalid_connection_header"));
    }
    let upgrade = value("upgrade").filter(|_| named.contains(&"upgrade"));
    if upgrade.as_deref().is_some_and(|protocol| protocol != "websocket" && protocol != "h2c") {
        return Err(Refused::otherwise("upgrade_not_supported"));
    }
    let upgrades = upgrade.as_deref() == Some("websocket");
    headers.retain_mut(|(name, value)| match name.as_str() {
        "connection" | "upgrade" => upgrades,
        "te" if !value.is_empty() => {
            let trailers = value.split(',').any(|coding| coding.trim() == "trailers");
            "trailers".clone_into(value);
            trailers
        }
        "expect" => !value.eq_ignore_ascii_case("100-continue"),
        "transfer-encoding" => {
            value.make_ascii_lowercase();
            true
        }
        name => !named.contains(&name),
    });
    Ok(())
}

/// RFC 9110 section 5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Pairs {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn duplicates_stay_unless_envoy_keeps_one() {
        let sent = pairs(&[("X-A", "1"), ("Accept", "a"), ("x-a", " 2 "), ("ACCEPT", "b"), ("Host", "i"), ("accept", "")]);
        let (authority, headers) = received("h", &sent, false).unwrap();
        assert_eq!((authority.as_str(), headers), ("h,i", pairs(&[("x-a", "1"), ("accept", "a,b"), ("x-a", "2")])));
    }

    #[test]
    fn what_is_of_this_hop_goes() {
        for (sent, expected) in [
            (vec![("connection", "x-a, keep-alive"), ("x-a", "1"), ("x-b", "2"), ("keep-alive", "5")], vec![("x-b", "2")]),
            (vec![("connection", "te"), ("te", "gzip, trailers")], vec![("te", "trailers")]),
            (vec![("te", "gzip")], vec![]),
            (vec![("upgrade", "websocket")], vec![]),
            (vec![("connection", "Upgrade"), ("upgrade", "websocket")], vec![("connection", "Upgrade"), ("upgrade", "websocket")]),
            (vec![("x-envoy-retry-on", "5xx"), ("x-envoy-other", "1")], vec![("x-envoy-other", "1")]),
            (vec![("x-forwarded-client-cert", "By=1")], vec![]),
            (vec![("expect", "100-continue")], vec![]),
        ] {
            assert_eq!(received("h", &pairs(&sent), false).unwrap().1, pairs(&expected), "{sent:?}");
        }
        let certificate = pairs(&[("x-forwarded-client-cert", "By=1")]);
        assert_eq!(received("h", &certificate, true).unwrap().1, certificate);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for (name, value, reason) in [
            ("x a", "1", "invalid_header_name"),
            ("x ", "1", "invalid_header_name"),
            ("", "1", "invalid_header_name"),
            (":path", "/", "invalid_header_name"),
            ("x\u{e9}", "1", "invalid_header_name"),
            ("x", "a\rb", "invalid_header_value"),
            ("x", "a\r\nb: c", "invalid_header_value"),
            ("x", "a\0b", "invalid_header_value"),
            ("x", "a\u{7f}b", "invalid_header_value"),
            ("content-length", "5x", "invalid_content_length"),
            ("content-length", "-1", "invalid_content_length"),
            ("content-length", "99999999999999999999", "invalid_content_length"),
            ("connection", "x-forwarded-for", "invalid_connection_header"),
            ("connection", "a,b,c,d,e,f,g,h,i,j", "invalid_connection_header"),
        ] {
            assert_eq!(received("h", &pairs(&[(name, value)]), false), Err(Refused::bad_request(reason)), "{name}: {value}");
        }
        let many: Pairs = (0..100).map(|index| (format!("x-{index}"), String::new())).collect();
        assert_eq!(received("h", &many, false).unwrap_err(), Refused::otherwise("too_many_headers"));
        assert_eq!(received("h", &many[..99], false).unwrap().1.len(), 99);
        let twice = pairs(&[("content-length", "0"), ("content-length", "0")]);
        assert_eq!(received("h", &twice, false).unwrap_err(), Refused::bad_request("invalid_content_length"));
    }
}
