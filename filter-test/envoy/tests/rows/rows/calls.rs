//! Calls of other services by HTTP and gRPC, and foreign functions.

use std::time::Duration;

use meshwright_filter_envoy::Reply;

use crate::probe::{Probe, map, on};
use crate::row::{Row, Service, ok, reply, row};

const GET: &[(&str, &str)] = &[(":method", "GET"), (":path", "/p"), (":authority", "a"), ("x-call", "1")];

/// A call of `cluster` with `pairs`; its token is at 64.
fn call(cluster: &str, pairs: &[(&str, &str)], timeout: i32) -> String {
    format!("($http_call {{{cluster}}} {{{}}} {{body}} #0 #0 #{timeout} #64)", map(pairs))
}

const RESUME: &str = "($set_effective_context #2) ($continue_stream #0)";
const ANSWER: &str = "($get_header_map_value #6 {:status} #0 #4) ($out) ($get_buffer_bytes #4 #0 #999 #0 #4) ($out) ($get_buffer_status #4 #0 #4) ($u32) ($get_status #16 #0 #4) ($out)";

fn answered(name: &'static str, cluster: &'static str, service: Service, timeout: i32) -> Row {
    let probe = on("proxy_on_request_headers", &format!("{} #1", call(cluster, GET, timeout)))
        .and("proxy_on_http_call_response", &format!("{ANSWER} {RESUME}"));
    row(name, probe).cluster(cluster, service)
}

pub(crate) fn rows() -> Vec<Row> {
    let slow = |after| {
        Service::Http(Reply::Response {
            headers: [(":status", "200")].into_iter().collect(),
            chunks: Vec::new(),
            trailers: meshwright_wasm_host::Headers::new(),
            after,
        })
    };
    let mut rows = vec![
        row("http_call: what is refused", on("proxy_on_request_headers", &[call("nobody", GET, 100), call("c-refused", &GET[1..], 100), call("c-refused", &[GET[0], GET[2]], 100), call("c-refused", &GET[..2], 100), call("c-refused", GET, -1), "($http_call {c-refused} #0 #0 #0 #0 #0 #0 #100 #64) #0".to_owned()].concat()))
            .cluster("c-refused", Service::Http(ok(&[], &[], &[]))),
        answered("http_call: answered", "c-answered", Service::Http(reply(201, &[("y", "2")], &["answer"], &[])), 5000),
        answered("http_call: no timeout", "c-untimed", Service::Http(ok(&[], &["answer"], &[])), 0),
        answered("http_call: reset", "c-reset", Service::Http(Reply::Reset), 5000),
        answered("http_call: timeout", "c-timeout", Service::Http(Reply::Never), 50),
        answered("http_call: no connection", "c-unconnected", Service::Http(Reply::Refused), 5000),
        answered("http_call: late, but in time", "c-late", slow(Duration::from_millis(30)), 5000),
        row("http_call: every map and buffer of the answer", on("proxy_on_request_headers", &format!("{} #1", call("c-maps", GET, 5000))).and("proxy_on_http_call_response", &format!("($get_header_map_pairs #7 #0 #4) ($hex) ($get_header_map_size #6 #0) ($get_header_map_size #7 #0) ($u32) ($get_header_map_value #6 {{y}} #0 #4) ($out) ($get_header_map_value #6 {{none}} #0 #4) ($get_header_map_value #0 {{:path}} #0 #4) ($add_header_map_value #6 {{a}} {{b}}) ($set_buffer_bytes #4 #0 #0 {{x}}) ($get_buffer_bytes #0 #0 #9 #0 #4) {RESUME} ($get_header_map_value #0 {{:path}} #0 #4)")))
            .cluster("c-maps", Service::Http(ok(&[("y", "2")], &["answer"], &[("u", "3")]))),
        row("http_call: trailers sent", on("proxy_on_request_headers", &format!("($http_call {{c-trailers}} {{{}}} #0 #0 {{{}}} #5000 #64) #1", map(GET), map(&[("t", "1")]))).and("proxy_on_http_call_response", RESUME)).cluster("c-trailers", Service::Http(ok(&[], &[], &[]))),
        row("http_call: no body", on("proxy_on_request_headers", &format!("($http_call {{c-empty}} {{{}}} #0 #0 #0 #0 #5000 #64) #1", map(GET))).and("proxy_on_http_call_response", RESUME)).cluster("c-empty", Service::Http(ok(&[], &[], &[]))),
        row("http_call: replied in its answer", on("proxy_on_request_headers", &format!("{} #1", call("c-deny", GET, 5000))).and("proxy_on_http_call_response", "($set_effective_context #2) ($send_local_response #401 #0 #0 {no} #0 #0 #-1)")).cluster("c-deny", Service::Http(ok(&[], &[], &[]))),
        row("http_call: while the body waits", on("proxy_on_request_headers", "#0").and("proxy_on_request_body", &format!("(if (local.get 2) (then {})) #1", call("c-body", GET, 5000))).and("proxy_on_http_call_response", "($set_effective_context #2) ($get_buffer_bytes #0 #0 #9 #0 #4) ($u32) ($continue_stream #0)")).request("POST", "/", &[], &["abc"]).cluster("c-body", Service::Http(ok(&[], &[], &[]))),
        row("get_status: before any call", on("proxy_on_request_headers", "($get_status #16 #0 #4) ($u32) #0")),
        row("http_call: answers are nowhere else", on("proxy_on_request_headers", "($get_header_map_value #6 {:status} #0 #4) ($get_header_map_pairs #6 #0 #4) ($get_header_map_size #6 #0) ($get_buffer_bytes #4 #0 #9 #0 #4) #0")),
        row("foreign: unknown, and without a result", on("proxy_on_request_headers", "($call_foreign_function {nobody} #0 #0 #0 #4) ($call_foreign_function {inject_encoded_data} {x} #0 #4) ($call_foreign_function #0 #0 #0 #0 #0 #4) ($call_foreign_function {compress} {aaaa} #0 #0) #0")),
        row("foreign: compress and uncompress", on("proxy_on_request_headers", "($call_foreign_function {compress} {aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa} #0 #4) (i32.store #32 (i32.load #0)) (i32.store #36 (i32.load #4)) ($call_foreign_function {uncompress} (i32.load #32) (i32.load #36) #0 #4) ($out) ($call_foreign_function {uncompress} {no zlib} #0 #4) ($call_foreign_function {uncompress} #0 #0 #0 #4) ($call_foreign_function {compress} #0 #0 #0 #4) #0")),
        row("foreign: set_envoy_filter_state", on("proxy_on_request_headers", "($call_foreign_function {set_envoy_filter_state} {\x0a\x17envoy.tcp_proxy.cluster\x12\x01c} #0 #4) ($get_property {filter_state\0envoy.tcp_proxy.cluster} #0 #4) ($out) ($call_foreign_function {set_envoy_filter_state} {\x0a\x07unknown\x12\x01c} #0 #4) ($call_foreign_function {set_envoy_filter_state} {\x0a} #0 #4) #0")),
        row("foreign: verify_signature and sign without keys", on("proxy_on_request_headers", "($call_foreign_function {verify_signature} #0 #0 #0 #4) ($call_foreign_function {verify_signature} {\x0a} #0 #4) ($call_foreign_function {sign} #0 #0 #0 #4) ($hex) ($call_foreign_function {sign} {\x0a} #0 #4) #0")),
        row("foreign: from a root", on("proxy_on_configure", "($call_foreign_function {clear_route_cache} #0 #0 #0 #4) ($call_foreign_function {declare_property} {\x0a\x04once\x10\x01} #0 #0) ($call_foreign_function {declare_property} #0 #0 #0 #0) ($call_foreign_function {set_envoy_filter_state} {\x0a\x17envoy.tcp_proxy.cluster\x12\x01c} #0 #4) #1")),
    ];
    rows.extend(grpc());
    rows
}

const EVERYTHING: [(&str, &str); 4] = [
    (
        "proxy_on_grpc_receive_initial_metadata",
        "($get_header_map_value #4 {:status} #0 #4) ($get_header_map_value #4 {content-type} #0 #4) ($out) ($get_header_map_pairs #5 #0 #4)",
    ),
    ("proxy_on_grpc_receive", "($get_buffer_bytes #5 #0 #99 #0 #4) ($out) ($get_buffer_status #5 #0 #4) ($u32)"),
    (
        "proxy_on_grpc_receive_trailing_metadata",
        "($get_header_map_pairs #5 #0 #4) ($hex) ($get_header_map_value #5 {none} #0 #4) ($get_header_map_pairs #4 #0 #4)",
    ),
    ("proxy_on_grpc_close", "($get_status #16 #0 #4) ($out)"),
];

/// Resumes the stream in the callbacks that end a call.
fn all(probe: Probe, ends: &[&str]) -> Probe {
    EVERYTHING
        .iter()
        .fold(probe, |probe, (name, body)| probe.and(name, &format!("{body} {}", if ends.contains(name) { RESUME } else { "" })))
}

fn grpc() -> Vec<Row> {
    let timed =
        |cluster: &str, timeout: u32| format!("($grpc_call {{{cluster}}} {{the.Service}} {{Method}} #0 #0 {{message}} #{timeout} #64)");
    let unary = |cluster: &str| timed(cluster, 5000);
    let stream = |cluster: &str| format!("($grpc_stream {{{cluster}}} {{the.Service}} {{Method}} #0 #0 #64)");
    let called = |cluster: &str| {
        all(on("proxy_on_request_headers", &format!("{} #1", unary(cluster))), &["proxy_on_grpc_receive", "proxy_on_grpc_close"])
    };
    let ok = || Service::Grpc { messages: vec!["answer"], status: 0, text: "" };
    vec![
        row("grpc_call: answered", called("g-answered")).cluster("g-answered", ok()),
        row("grpc_call: a status", called("g-status")).cluster("g-status", Service::Grpc { messages: vec![], status: 7, text: "no" }),
        row("grpc_call: timeout", all(on("proxy_on_request_headers", &format!("{} #1", timed("g-timeout", 50))), &["proxy_on_grpc_receive", "proxy_on_grpc_close"])).cluster("g-timeout", Service::NoGrpc(Reply::Never)),
        row("grpc_call: an answer that is no gRPC", called("g-http-404")).cluster("g-http-404", Service::NoGrpc(reply(404, &[], &[], &[]))),
        row("grpc_call: a body that is no gRPC", called("g-http-body")).cluster("g-http-body", Service::NoGrpc(reply(200, &[("content-type", "text/plain")], &["hello"], &[]))),
        row("grpc_call: no cluster", on("proxy_on_request_headers", "($grpc_call {nobody} {s} {m} #0 #0 {x} #100 #64) ($grpc_stream {nobody} {s} {m} #0 #0 #64) #0")),
        row("grpc_call: a service that names nothing", on("proxy_on_request_headers", "($grpc_call #0 #0 {s} {m} #0 #0 {x} #100 #64) #0")).alone(),
        row("grpc_call: a service without a cluster that is known", on("proxy_on_request_headers", "($grpc_call {\x0a\x08\x0a\x06nobody} {s} {m} #0 #0 {x} #100 #64) ($grpc_stream {\x0a\x08\x0a\x06nobody} {s} {m} #0 #0 #64) #0")),
        row("grpc_stream: a service that names nothing", on("proxy_on_request_headers", "($grpc_stream #0 #0 {s} {m} #0 #0 #64) #0")).alone(),
        row("grpc: tokens that nobody has", on("proxy_on_request_headers", "($grpc_send #77 {x} #0) ($grpc_cancel #77) ($grpc_close #77) ($grpc_send #76 {x} #0) ($grpc_cancel #76) ($grpc_close #76) ($grpc_send #78 {x} #0) ($grpc_cancel #78) ($grpc_close #78) ($grpc_send #79 {x} #0) ($grpc_cancel #79) ($grpc_close #79) #0")),
        row("grpc: tokens of another kind", on("proxy_on_request_headers", &format!("{} ($grpc_send (i32.load #64) {{x}} #0) ($grpc_close (i32.load #64)) ($grpc_cancel (i32.load #64)) {} ($grpc_send (i32.load #64) {{x}} #0) ($grpc_cancel (i32.load #64)) #0", call("g-http", GET, 5000), unary("g-kind")))).cluster("g-http", Service::Http(Reply::Never)).cluster("g-kind", ok()),
        row("grpc_stream: everything in order", all(on("proxy_on_request_headers", &format!("{} ($grpc_send (i32.load #64) {{one}} #0) ($grpc_send (i32.load #64) {{two}} #1) ($grpc_send (i32.load #64) {{three}} #0) #1", stream("g-stream"))), &["proxy_on_grpc_close"]))
            .cluster("g-stream", Service::Grpc { messages: vec!["first", "second"], status: 0, text: "" }),
        row("grpc_stream: closed by the filter", all(on("proxy_on_request_headers", &format!("{} ($grpc_close (i32.load #64)) ($grpc_send (i32.load #64) {{late}} #0) #1", stream("g-close"))), &["proxy_on_grpc_close"])).cluster("g-close", Service::Grpc { messages: vec!["first"], status: 5, text: "gone" }),
        row("grpc_stream: cancelled", all(on("proxy_on_request_headers", &format!("{} ($grpc_cancel (i32.load #64)) ($grpc_cancel (i32.load #64)) ($grpc_send (i32.load #64) {{late}} #0) #0", stream("g-cancel"))), &[])).cluster("g-cancel", ok()),
    ]
}
