//! Attributes, and what filters set themselves.

use crate::probe::{Probe, on};
use crate::row::{Row, ok, row};

/// Reads each and says its name; text is shown.
fn texts(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("($say {{{name}}}) (i32.store #4 #0) ($get_property {{{}}} #0 #4) ($out)", name.replace('.', "\0")))
        .collect()
}

/// The same in hexadecimal: numbers, truth values, maps.
fn numbers(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("($say {{{name}}}) (i32.store #4 #0) ($get_property {{{}}} #0 #4) ($hex)", name.replace('.', "\0")))
        .collect()
}

/// What cannot be the same twice: only whether it is there, and how long it is.
fn there(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| {
            format!(
                "($say {{{name}}}) (i32.store #4 #0) ($get_property {{{}}} #0 #4) (i32.store #0 (i32.load #4)) ($u32)",
                name.replace('.', "\0")
            )
        })
        .collect()
}

const REQUEST: [&str; 12] = [
    "request.path",
    "request.url_path",
    "request.query",
    "request.host",
    "request.scheme",
    "request.method",
    "request.headers.x-one",
    "request.headers.none",
    "request.referer",
    "request.useragent",
    "request.id",
    "request.protocol",
];
const RESPONSE: [&str; 4] = ["response.code_details", "response.headers.y", "response.headers.none", "response.trailers.u"];
const NUMBERS: [&str; 6] = ["request.size", "response.code", "response.flags", "response.size", "response.grpc_status", "connection.mtls"];
const THERE: [&str; 12] = [
    "request.time",
    "request.duration",
    "request.total_size",
    "request.headers_bytes",
    "response.total_size",
    "connection.id",
    "connection_id",
    "source.address",
    "source.port",
    "destination.address",
    "destination.port",
    "response.backend_latency",
];
const PLAIN: [&str; 10] = [
    "connection.requested_server_name",
    "connection.tls_version",
    "connection.subject_peer_certificate",
    "connection.uri_san_peer_certificate",
    "connection.dns_san_local_certificate",
    "connection.sha256_peer_certificate_digest",
    "connection.transport_failure_reason",
    "connection.termination_details",
    "upstream.tls_version",
    "nobody.knows",
];
/// Only the `xds` forms of these are there.
const FLAT: [&str; 5] = ["node", "cluster_name", "route_name", "listener_direction", "cluster_metadata"];

fn all() -> String {
    // Of a whole map the order is anybody's.
    [texts(&REQUEST), texts(&RESPONSE), numbers(&NUMBERS), there(&["request.headers"]), texts(&["plugin_name", "plugin_root_id"])].concat()
}

fn full(name: &'static str, probe: Probe) -> Row {
    row(name, probe)
        .request(
            "POST",
            "/a/b?c=d",
            &[("x-one", "1"), ("x-one", "2"), ("referer", "r"), ("user-agent", "u"), ("x-request-id", "id")],
            &["body"],
        )
        .trailers(&[("t", "1")])
        .upstream(ok(&[("y", "2")], &["answer"], &[("u", "3")]))
        .configured("root", "", "")
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![
        full("properties: whether there in request headers", on("proxy_on_request_headers", &format!("{} #0", there(&THERE)))),
        full("properties: whether there in log", on("proxy_on_log", &there(&["request.time", "connection.id", "connection_id", "request.duration"]))),
        full("properties: of a plaintext connection", on("proxy_on_request_headers", &format!("{} #0", texts(&PLAIN)))),
        row("properties: nothing of a stream in a root", on("proxy_on_configure", &format!("{} #1", [texts(&REQUEST[..3]), numbers(&NUMBERS[..3]), texts(&["plugin_name", "plugin_root_id", "connection.id"])].concat())))
            .configured("root", "", ""),
        row("properties: an empty path, odd paths", on("proxy_on_request_headers", "($get_property #0 #0 #0 #4) ($get_property {request} #0 #4) ($get_property {\0} #0 #4) ($get_property {request\0path\0} #0 #4) ($get_property {request\0path\0more} #0 #4) ($get_property {request.path} #0 #4) ($get_property {Request\0path} #0 #4) #0")),
        row("properties: metadata", on("proxy_on_request_headers", &format!("{} #0", numbers(&["metadata", "metadata.filter_metadata", "metadata.typed_filter_metadata", "metadata.filter_metadata.none", "metadata.none"])))),
        row("properties: host is the authority", on("proxy_on_request_headers", &format!("{} #0", texts(&["request.headers.host", "request.headers.:authority", "request.headers.HOST", "request.headers.Host", "request.headers.:path"])))),
        full("properties: latency in log", on("proxy_on_log", &there(&["response.backend_latency"]))),
        row("properties: whole filter state", on("proxy_on_request_headers", "($get_property {filter_state} #0 #4) #0")),
        row("properties: set, and read by both names", on("proxy_on_request_headers", "($set_property {mine} {value}) ($get_property {mine} #0 #4) ($out) ($get_property {filter_state\0wasm.mine} #0 #4) ($out) ($set_property {mine} {other}) ($get_property {mine} #0 #4) ($out) ($set_property {two\0parts} {v}) ($get_property {two\0parts} #0 #4) ($out) ($get_property {filter_state\0wasm.two\0parts} #0 #4) ($set_property {empty} #0 #0) ($get_property {empty} #0 #4) ($u32) ($set_property #0 #0 {v}) #0").and("proxy_on_log", "($get_property {mine} #0 #4) ($out) ($set_property {late} {l}) ($get_property {late} #0 #4) ($out)")),
        row("properties: set in a root", on("proxy_on_configure", "($set_property {mine} {value}) ($get_property {mine} #0 #4) #1")),
        row("properties: filter state of another filter", on("proxy_on_request_headers", "($get_property {filter_state\0a.name} #0 #4) ($out) ($get_property {filter_state\0none} #0 #4) ($get_property {a.name} #0 #4) #0")).filter_state("a.name", "its value"),
        row("properties: declared, once and twice", on("proxy_on_request_headers", "($call_foreign_function {declare_property} {\x0a\x04once\x10\x01} #0 #0) ($call_foreign_function {declare_property} {\x0a\x04once\x10\x01} #0 #0) ($set_property {once} {1}) ($set_property {once} {2}) ($get_property {once} #0 #4) ($out) #0")),
        row("properties: declared read-only by the root", on("proxy_on_configure", "($call_foreign_function {declare_property} {\x0a\x04once\x10\x01} #0 #0) ($call_foreign_function {declare_property} {\x0a\x04once\x10\x01} #0 #0) #1").and("proxy_on_request_headers", "($set_property {once} {1}) ($set_property {once} {2}) ($get_property {once} #0 #4) ($out) #0")),
        row("properties: the flat names of old", on("proxy_on_request_headers", &format!("{} #0", texts(&FLAT)))),
        row("properties: the route after a change of headers", on("proxy_on_request_headers", "($get_property {xds\0route_name} #0 #4) ($out) ($add_header_map_value #0 {a} {b}) (i32.store #4 #0) ($get_property {xds\0route_name} #0 #4) ($out) #0").and("proxy_on_response_headers", "($get_property {xds\0route_name} #0 #4) ($out) #0")).property("xds.route_name", "route"),
        row("properties: the route without its cache", on("proxy_on_request_headers", "($get_property {xds\0route_name} #0 #4) ($call_foreign_function {clear_route_cache} #0 #0 #0 #4) ($get_property {xds\0route_name} #0 #4) ($out) #0")).property("xds.route_name", "route"),
        row("properties: of a local reply in log", on("proxy_on_request_headers", "($send_local_response #403 {no way} #0 #0 #0 #0 #-1) #1").and("proxy_on_log", &format!("{}{}", texts(&["response.code_details"]), numbers(&["response.code", "response.flags"])))),
    ];
    for (name, callback) in [
        ("properties: in request headers", "proxy_on_request_headers"),
        ("properties: in request body", "proxy_on_request_body"),
        ("properties: in request trailers", "proxy_on_request_trailers"),
        ("properties: in response headers", "proxy_on_response_headers"),
        ("properties: in response body", "proxy_on_response_body"),
        ("properties: in response trailers", "proxy_on_response_trailers"),
    ] {
        rows.push(full(name, on(callback, &format!("{} #0", all()))));
    }
    rows.push(full("properties: in log", on("proxy_on_log", &all())));
    rows.push(full("properties: in done", on("proxy_on_done", &format!("{} #1", all()))));
    rows
}
