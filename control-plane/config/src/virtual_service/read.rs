//! From the document's `spec` to a `VirtualService`.

use super::{
    Destination, GatewayRef, HeaderEdits, HeaderMatch, HeaderOperations, HttpAction, HttpMatch, HttpRoute, Redirect, Retries, Rewrite,
    VirtualService, WeightedDestination, tls,
};
use crate::host::Host;
use crate::key::DocumentKey;
use crate::reader::Reader;
use crate::string_match::StringMatch;

/// What Envoy knows in `retry_on`, over HTTP and gRPC.
const RETRY_CONDITIONS: &[&str] = &[
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];
/// Headers that routes may not write: Envoy refuses them, or they would contradict the route.
const PROTECTED_HEADERS: &[&str] = &["host", "content-length", "transfer-encoding", "connection"];

impl VirtualService {
    pub(crate) fn read(spec: &Reader<'_>, key: DocumentKey) -> Option<Self> {
        let hosts: Vec<Host> = spec.get("hosts").required_items().iter().filter_map(Reader::host).collect();
        let mut gateways: Vec<GatewayRef> =
            spec.get("gateways").items().iter().filter_map(|field| read_gateway(field, key.namespace())).collect();
        if gateways.is_empty() {
            gateways.push(GatewayRef::Mesh);
        }
        let (http, passed) = (spec.get("http"), spec.get("tls"));
        let routes = if passed.is_present() && !http.is_present() { Vec::new() } else { http.required_items() };
        let http = routes.iter().filter_map(read_route).collect();
        let tls = tls::read(&passed, &hosts, &gateways);
        Some(Self { key, hosts, gateways, http, tls })
    }
}

fn read_gateway(field: &Reader<'_>, own: &str) -> Option<GatewayRef> {
    let text = field.text()?;
    let (namespace, name) = match text.split_once('/') {
        None if text == "mesh" => return Some(GatewayRef::Mesh),
        None => (own, text.as_str()),
        Some((namespace, name)) => (namespace, name),
    };
    if namespace.is_empty() || name.is_empty() || name.contains('/') {
        field.fail(format!("found `{text}`, expected `mesh`, `name` or `namespace/name`"));
    }
    Some(GatewayRef::Gateway { namespace: namespace.to_owned(), name: name.to_owned() })
}

fn read_route(field: &Reader<'_>) -> Option<HttpRoute> {
    let (route, redirect, rewrite, retries) = (field.get("route"), field.get("redirect"), field.get("rewrite"), field.get("retries"));
    let action = match (route.is_present(), redirect.is_present()) {
        (true, false) => Some(HttpAction::Route(read_destinations(&route))),
        (false, true) => {
            for (name, other) in [("rewrite", &rewrite), ("retries", &retries), ("timeout", &field.get("timeout"))] {
                if other.is_present() {
                    other.fail(format!("a `redirect` has no `{name}`"));
                }
            }
            Some(HttpAction::Redirect(read_redirect(&redirect)))
        }
        (true, true) => {
            redirect.fail("`route` and `redirect` exclude each other");
            None
        }
        (false, false) => {
            field.fail("one of `route`, `redirect` is required");
            None
        }
    };
    let route = HttpRoute {
        name: field.get("name").non_empty_text(),
        matches: field.get("match").items().iter().map(read_match).collect(),
        action: action?,
        rewrite: rewrite.is_present().then(|| read_rewrite(&rewrite)),
        timeout: field.get("timeout").duration(),
        retries: retries.is_present().then(|| read_retries(&retries)),
        headers: read_headers(&field.get("headers")),
    };
    if let (Some(_), true) =
        (route.rewrite.as_ref().and_then(Rewrite::uri), route.matches.iter().any(|m| matches!(m.uri, Some(StringMatch::Regex(_)))))
    {
        rewrite.get("uri").fail("cannot replace what a regular expression matched: `uriRegexRewrite` would, and is not supported yet");
    }
    Some(route)
}

pub(super) fn read_destinations(field: &Reader<'_>) -> Vec<WeightedDestination> {
    let fields = field.required_items();
    let alone = fields.len() == 1;
    let destinations: Vec<WeightedDestination> = fields.iter().filter_map(|field| read_destination(field, alone)).collect();
    let sum: u64 = destinations.iter().map(|destination| u64::from(destination.weight)).sum();
    if destinations.len() == fields.len() && !fields.is_empty() {
        if sum == 0 {
            field.fail("the weights are 0 in sum: one of them must be above 0");
        }
        if sum > u64::from(u32::MAX) {
            field.fail(format!("the weights are {sum} in sum, at most {} is allowed", u32::MAX));
        }
    }
    destinations
}

fn read_destination(field: &Reader<'_>, alone: bool) -> Option<WeightedDestination> {
    let destination = field.get("destination").required()?;
    let host = destination.get("host").required().and_then(|host| host.host());
    if host.as_ref().is_some_and(Host::is_wildcard) {
        destination.get("host").fail("a destination has no wildcard");
    }
    let port = destination.get("port");
    if port.is_present() {
        port.get("number").required();
    }
    let weight = field.get("weight").integer(0..=i64::from(u32::MAX));
    Some(WeightedDestination {
        destination: Destination { host: host?, subset: destination.get("subset").non_empty_text(), port: port.get("number").port() },
        // Istio: a single destination gets everything, whatever its weight says; of several, one without a weight gets nothing.
        weight: if alone { 1 } else { weight.unwrap_or(0) },
        headers: read_headers(&field.get("headers")),
    })
}

fn read_match(field: &Reader<'_>) -> HttpMatch {
    let string = |name: &str| Some(field.get(name)).filter(Reader::is_present).and_then(|field| StringMatch::read(&field));
    let headers = |name: &str| -> Vec<(String, HeaderMatch)> {
        field
            .get(name)
            .entries()
            .into_iter()
            .filter_map(|(header, field)| Some((check_header_name(header, &field), read_header_match(&field)?)))
            .collect()
    };
    let query = field.get("queryParams").entries();
    HttpMatch {
        name: field.get("name").non_empty_text(),
        uri: string("uri"),
        ignore_uri_case: field.get("ignoreUriCase").flag().unwrap_or(false),
        scheme: string("scheme"),
        method: string("method"),
        authority: string("authority"),
        headers: headers("headers"),
        without_headers: headers("withoutHeaders"),
        query_params: query.into_iter().filter_map(|(name, field)| Some((name, StringMatch::read(&field)?))).collect(),
        port: field.get("port").port(),
    }
}

fn read_header_match(field: &Reader<'_>) -> Option<HeaderMatch> {
    if field.is_empty_object() { Some(HeaderMatch::Present) } else { StringMatch::read(field).map(HeaderMatch::Value) }
}

/// Istio asks for lower case here, and so does HTTP/2 (RFC 9113, section 8.2.1).
fn check_header_name(name: String, field: &Reader<'_>) -> String {
    let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    let plain = name.strip_prefix(':').unwrap_or(&name);
    if plain.is_empty() || !plain.bytes().all(token) {
        field.fail(format!("`{name}` is not the name of a header in lower case"));
    }
    name
}

fn read_redirect(field: &Reader<'_>) -> Redirect {
    let code = field.get("redirectCode");
    let number = code.integer(100..=999).unwrap_or(301);
    if ![301, 302, 303, 307, 308].contains(&number) {
        code.fail(format!("found `{number}`, allowed: `301`, `302`, `303`, `307`, `308`"));
    }
    let redirect = Redirect {
        uri: field.get("uri").non_empty_text(),
        authority: field.get("authority").non_empty_text(),
        scheme: field.get("scheme").non_empty_text(),
        port: field.get("port").port(),
        code: number,
    };
    if redirect.scheme.as_deref().is_some_and(|scheme| scheme != "http" && scheme != "https") {
        field.get("scheme").fail("allowed: `http`, `https`");
    }
    if redirect.uri.is_none() && redirect.authority.is_none() && redirect.scheme.is_none() && redirect.port.is_none() {
        field.fail("at least one of `uri`, `authority`, `scheme`, `port` is required: a redirect to the same place never ends");
    }
    redirect
}

fn read_rewrite(field: &Reader<'_>) -> Rewrite {
    let rewrite = Rewrite { uri: field.get("uri").non_empty_text(), authority: field.get("authority").non_empty_text() };
    if rewrite.uri.is_none() && rewrite.authority.is_none() {
        field.fail("one of `uri`, `authority` is required");
    }
    if rewrite.uri.as_deref().is_some_and(|uri| !uri.starts_with('/')) {
        field.get("uri").fail("a path starts with `/`");
    }
    rewrite
}

fn read_retries(field: &Reader<'_>) -> Retries {
    let conditions = field.get("retryOn");
    let retry_on: Vec<String> =
        conditions.text().unwrap_or_default().split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect();
    for condition in &retry_on {
        let status = condition.len() == 3 && condition.parse::<u16>().is_ok_and(|status| (100..600).contains(&status));
        if !status && !RETRY_CONDITIONS.contains(&condition.as_str()) {
            conditions.fail(format!("found `{condition}`, allowed: status codes and `{}`", RETRY_CONDITIONS.join("`, `")));
        }
    }
    Retries {
        attempts: field.get("attempts").required().and_then(|attempts| attempts.integer(0..=100)).unwrap_or(0),
        per_try_timeout: field.get("perTryTimeout").duration(),
        retry_on,
    }
}

fn read_headers(field: &Reader<'_>) -> HeaderOperations {
    HeaderOperations { request: read_edits(&field.get("request")), response: read_edits(&field.get("response")) }
}

fn read_edits(field: &Reader<'_>) -> HeaderEdits {
    let pairs = |name: &str| -> Vec<(String, String)> {
        field
            .get(name)
            .entries()
            .into_iter()
            .filter_map(|(header, value)| Some((check_written(header, &value), checked_value(&value)?)))
            .collect()
    };
    let remove = field.get("remove").items();
    let removed = remove.iter().filter_map(|item| Some(check_written(item.text()?, item))).collect();
    HeaderEdits { set: pairs("set"), add: pairs("add"), remove: removed }
}

fn check_written(name: String, field: &Reader<'_>) -> String {
    let lower = name.to_ascii_lowercase();
    if lower.starts_with(':') || PROTECTED_HEADERS.contains(&lower.as_str()) {
        field.fail(format!("`{name}` may not be changed here; `rewrite.authority` changes the host"));
        return lower;
    }
    check_header_name(lower, field)
}

fn checked_value(field: &Reader<'_>) -> Option<String> {
    let value = field.text()?;
    if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
        field.fail("the value of a header has no control characters");
    }
    // Envoy would replace what stands between percent signs.
    if value.contains('%') {
        field.fail("`%` in the value of a header is not supported yet: Envoy would read a command there");
    }
    Some(value)
}
