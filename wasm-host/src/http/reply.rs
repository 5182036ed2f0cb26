//! Responses that are made by the filter or by Envoy, with the headers that Envoy gives them.

use crate::calls;
use crate::message::{Message, Response};
use crate::report::LocalReply;

/// Details of the 503 that ends a stream whose filter trapped, or that comes to a VM that is lost.
pub(super) const FAILED: &str = "wasm_fail_stream";

/// The response that `reply` becomes. To a gRPC request that is one of trailers only.
pub(super) fn response(reply: &LocalReply, grpc: bool) -> Response {
    if grpc {
        return grpc_response(reply);
    }
    let mut response = Response { headers: crate::Headers::new(), chunks: Vec::new(), trailers: crate::Headers::new() };
    response.headers.add(":status", reply.status.to_string());
    // The status is not to be had this way.
    for (name, value) in reply.headers.iter().filter(|(name, _)| !name.starts_with(b":")) {
        response.headers.add(name, value);
    }
    if !reply.body.is_empty() {
        response.headers.set("content-length", reply.body.len().to_string());
        if response.headers.get("content-type").is_none() {
            response.headers.add("content-type", "text/plain");
        }
        response.chunks.push(reply.body.clone());
    }
    response
}

pub(super) fn message(response: Response) -> Message {
    let Response { headers, chunks, trailers } = response;
    calls::message(headers, &chunks, trailers)
}

/// A response of Envoy's own.
pub(super) fn own(status: u16, body: &str) -> Message {
    message(Response::new(status).body(body))
}

fn grpc_response(reply: &LocalReply) -> Response {
    let status = reply.grpc_status.unwrap_or_else(|| grpc_status(reply.status));
    let mut response = Response::new(200).header("content-type", "application/grpc").header("grpc-status", status.to_string());
    if !reply.body.is_empty() {
        response = response.header("grpc-message", percent_encoded(&reply.body));
    }
    for (name, value) in reply.headers.iter() {
        response.headers.add(name, value);
    }
    response
}

/// gRPC, "HTTP to gRPC Status Code Mapping".
pub(crate) const fn grpc_status(http: u32) -> u32 {
    match http {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// gRPC over HTTP/2, "Percent-Byte-Unencoded": space to tilde without the percent sign.
fn percent_encoded(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b' '..=b'~' if *byte != b'%' => out.push(char::from(*byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
