//! Attributes in expressions, in each phase.

use super::{each, full, in_request};
use crate::probe::on;
use crate::row::Row;

const OF_STREAM: [&str; 50] = [
    "request.path",
    "request.url_path",
    "request.query",
    "request.host",
    "request.scheme",
    "request.method",
    "request.protocol",
    "request.headers.none",
    "request.headers['x-one']",
    "request.headers['X-One']",
    "request.headers[':path']",
    "request.headers[1]",
    "request['path']",
    "request[1]",
    "'x-one' in request.headers",
    "'none' in request.headers",
    "'path' in request",
    "'none' in request",
    "size(request)",
    "size(connection)",
    "request.all(x, false)",
    "request.headers.exists(x, x == 'x-one')",
    "size(request.headers) > 3",
    "request.size",
    "request.size + 1",
    "type(request.time) == google.protobuf.Timestamp",
    "request.time > timestamp('2020-01-01T00:00:00Z')",
    "request.duration >= duration('0s')",
    "request.path.startsWith('/a')",
    "request.path == '/a/b?c=d' && request.method in ['GET', 'POST']",
    "request.useragent",
    "request.referer",
    "request",
    "request == request",
    "request == response",
    "request.headers == request.headers",
    "request.headers == response.headers",
    "request == {}",
    "response.code",
    "response.code == 200",
    "response.code_details",
    "response.headers.y",
    "response.headers['none']",
    "response.trailers.u",
    "response.grpc_status",
    "response.flags",
    "response.size",
    "has(response.backend_latency)",
    "type(response.headers) == map",
    "size(response.headers) > 0",
];

const OF_CONNECTION: [&str; 34] = [
    "connection.mtls",
    "connection.requested_server_name",
    "connection.tls_version",
    "connection.id > 0u",
    "type(connection.id) == uint",
    "connection_id > 0u",
    "type(connection_id) == uint",
    "connection.nobody",
    "connection",
    "connection.termination_details",
    "source.address.startsWith('127.0.0.1:')",
    "source.port > 0",
    "type(source.port) == int",
    "source.nobody",
    "destination.address.startsWith('127.0.0.1:')",
    "destination.port > 1",
    "plugin_name",
    "plugin_root_id",
    "plugin_vm_id.startsWith('vm-')",
    "plugin_name == 'probe'",
    "node",
    "cluster_name",
    "route_name",
    "metadata.filter_metadata",
    "metadata.filter_metadata.nobody",
    "has(metadata.filter_metadata.nobody)",
    "size(metadata.filter_metadata)",
    "filter_state",
    "filter_state['a.name']",
    "filter_state['a.name'] == b'its value'",
    "filter_state['a.name'] == 'its value'",
    "filter_state.none",
    "upstream_filter_state.none",
    "size(filter_state)",
];

pub(super) fn attributes() -> Vec<Row> {
    let mut rows = vec![
        in_request("expressions: of the connection and the host", &OF_CONNECTION).filter_state("a.name", "its value"),
        full(
            "expressions: what is set is bytes, or a text when declared one",
            on("proxy_on_configure", "($call_foreign_function {declare_property} {\x0a\x04text\x18\x01} #0 #0) #1").and(
                "proxy_on_request_headers",
                &format!(
                    "($set_property {{mine}} {{value}}) ($set_property {{text}} {{value}}) ($get_property {{text}} #0 #4) ($out) {} #0",
                    each(&[
                        "mine",
                        "mine == b'value'",
                        "mine == 'value'",
                        "size(mine)",
                        "mine + mine",
                        "text",
                        "text == 'value'",
                        "text == b'value'",
                        "filter_state['wasm.mine'] == b'value'",
                        "filter_state['wasm.text'] == 'value'",
                        "mine.startsWith('v')",
                        "text.startsWith('v')",
                        "other"
                    ])
                ),
            ),
        ),
        full(
            "expressions: in a root",
            on(
                "proxy_on_configure",
                &format!(
                    "{} #1",
                    each(&[
                        "1",
                        "request.path",
                        "has(request.path)",
                        "plugin_name",
                        "plugin_root_id",
                        "connection.mtls",
                        "xds",
                        "xds.route_name",
                        "source.address",
                        "filter_state",
                        "nobody"
                    ])
                ),
            ),
        ),
    ];
    for (name, callback) in [
        ("expressions: attributes in request headers", "proxy_on_request_headers"),
        ("expressions: attributes in request body", "proxy_on_request_body"),
        ("expressions: attributes in response headers", "proxy_on_response_headers"),
        ("expressions: attributes in response body", "proxy_on_response_body"),
    ] {
        rows.push(full(name, on(callback, &format!("{} #0", each(&OF_STREAM)))));
    }
    rows.push(full("expressions: attributes in log", on("proxy_on_log", &each(&OF_STREAM))));
    rows
}
