//! What Envoy itself answers: to messages that a filter left without what they need, and when an upstream does not answer.

use crate::headers::Headers;
use crate::report::LocalReply;

/// The upstream closed the connection instead of answering.
pub(crate) fn reset() -> LocalReply {
    let body = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
    answer(503, "upstream_reset_before_response_started{connection_termination}", body)
}

/// What a filter can leave of a request that is not sent on. `forwarded`: it had `x-forwarded-proto`, without which Envoy finds no route.
pub(super) fn to_request(headers: &Headers, forwarded: bool) -> Option<LocalReply> {
    if headers.get(":path").is_none() || forwarded && headers.get("x-forwarded-proto").is_none() {
        return Some(answer(404, "route_not_found", ""));
    }
    let refused = |what: String| {
        let details = format!("filter_removed_required_request_headers{{{}}}", what.replace(' ', "_"));
        Some(answer(503, &details, &what))
    };
    if headers.get(":method").is_none() {
        return refused("missing required header: :method".to_owned());
    }
    for (name, value) in headers.iter() {
        if name.iter().any(|byte| byte.is_ascii_control()) {
            return refused(format!("invalid header name: {}", name.escape_ascii()));
        }
        if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return refused(format!("invalid header value for: {}", String::from_utf8_lossy(name)));
        }
    }
    None
}

/// A response needs a status that is a number; in what else it has, Envoy looks for nothing.
pub(super) fn to_response(headers: &Headers) -> Option<LocalReply> {
    let status = headers.text(":status").and_then(|status| status.parse::<u32>().ok());
    let body = "missing required header: :status";
    status.is_none().then(|| answer(502, "filter_removed_required_response_headers{missing_required_header:_:status}", body))
}

fn answer(status: u32, details: &str, body: &str) -> LocalReply {
    LocalReply { status, details: details.to_owned(), body: body.as_bytes().to_vec(), headers: Headers::new(), grpc_status: None }
}
