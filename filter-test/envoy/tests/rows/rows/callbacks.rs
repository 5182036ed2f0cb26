//! What is left of the callbacks: access loggers, traps, shutting down.

use crate::probe::on;
use crate::row::{Row, ok, row};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row("access log: on the root, with all there was", on("proxy_on_context_create", "").and("proxy_on_log", "($get_header_map_value #0 {:path} #0 #4) ($out) ($get_header_map_value #2 {:status} #0 #4) ($out) ($get_header_map_value #1 {a} #0 #4) ($get_header_map_value #3 {u} #0 #4) ($get_property {request\0path} #0 #4) ($out) ($set_property {a} {b}) ($get_header_map_size #0 #0) ($add_header_map_value #0 {a} {b})").and("proxy_on_done", "#1"))
            .request("GET", "/logged", &[], &[])
            .upstream(ok(&[], &["x"], &[("u", "3")]))
            .access_log(),
        row("trap: in request headers", on("proxy_on_request_headers", "unreachable").and("proxy_on_response_headers", "#0").and("proxy_on_log", "")),
        row("trap: in response headers", on("proxy_on_response_headers", "unreachable").and("proxy_on_log", "")).upstream(ok(&[], &["x"], &[])),
        row("trap: in response body", on("proxy_on_response_body", "unreachable").and("proxy_on_log", "")).upstream(ok(&[], &["x"], &[])),
        row("trap: in log", on("proxy_on_log", "unreachable").and("proxy_on_done", "#1")),
        row("trap: a call inside the allocator", on("malloc", "($set_tick_period_milliseconds #0) #0").and("proxy_on_request_headers", "($get_header_map_pairs #0 #0 #4) #0"))
            .differs("a trap inside the allocator"),
        row("allocator: answers null", on("malloc", "#0").and("proxy_on_request_headers", "($get_header_map_value #0 {:path} #0 #4) ($get_property {plugin_name} #0 #4) #0")),
        row("allocator: answers a place outside memory", on("malloc", "#-8").and("proxy_on_request_headers", "($get_header_map_value #0 {:path} #0 #4) ($get_property {plugin_name} #0 #4) ($get_header_map_pairs #0 #0 #4) #0")),
    ]
}
