//! Local replies.

use crate::probe::{map, on};
use crate::row::{Row, ok, row};

const DENY: &str = "($send_local_response #403 {no such luck} {denied} #0 #0 #-1)";
const AFTER: &str = "($get_header_map_pairs #2 #0 #4) ($hex) ($get_header_map_value #0 {:path} #0 #4) ($out) #0";
const DETAILS: &str = "($get_property {response\0code_details} #0 #4) ($out)";

pub(crate) fn rows() -> Vec<Row> {
    [first_part(), second_part()].concat()
}

fn first_part() -> Vec<Row> {
    let more = map(&[("X-More", "1"), ("content-type", "text/html")]);
    let many = map(&[("set-cookie", "a"), ("set-cookie", "b"), (":status", "299")]);
    let broken = map(&[("x", "a\r\nb: c")]);
    vec![
        row(
            "replies: in request headers, whatever is returned",
            on("proxy_on_request_headers", &format!("{DENY} #0"))
                .and("proxy_on_request_body", "#0")
                .and("proxy_on_response_headers", AFTER)
                .and("proxy_on_response_body", "($get_buffer_bytes #1 #0 #99 #0 #4) ($out) #0")
                .and("proxy_on_log", DETAILS),
        )
        .request("POST", "/p", &[], &["x"]),
        row(
            "replies: without a body",
            on("proxy_on_request_headers", "($send_local_response #204 #0 #0 #0 #0 #0 #0 #-1) #1")
                .and("proxy_on_response_headers", AFTER)
                .and("proxy_on_log", DETAILS),
        ),
        row(
            "replies: the first wins",
            on("proxy_on_request_headers", &format!("{DENY} ($send_local_response #401 #0 #0 #0 #0 #0 #0 #-1) #1")),
        ),
        row(
            "replies: with headers",
            on("proxy_on_request_headers", &format!("($send_local_response #403 #0 #0 {{body}} {{{more}}} #-1) #1"))
                .and("proxy_on_response_headers", AFTER),
        ),
        row(
            "replies: with a header twice and a status",
            on("proxy_on_request_headers", &format!("($send_local_response #403 #0 #0 {{body}} {{{many}}} #-1) #1")),
        ),
        row(
            "replies: with a line break in a header",
            on("proxy_on_request_headers", &format!("($send_local_response #403 #0 #0 {{body}} {{{broken}}} #-1) #1"))
                .and("proxy_on_log", DETAILS),
        ),
        row(
            "replies: with a line break in the details",
            on("proxy_on_request_headers", "($send_local_response #403 {a b\nc} {body} #0 #0 #-1) #1").and("proxy_on_log", DETAILS),
        ),
        row("replies: in request body", on("proxy_on_request_body", &format!("{DENY} #1")).and("proxy_on_response_headers", AFTER))
            .request("POST", "/", &[], &["abc"]),
        row("replies: in request trailers", on("proxy_on_request_trailers", &format!("{DENY} #1")).and("proxy_on_response_headers", "#0"))
            .request("POST", "/", &[], &["abc"])
            .trailers(&[("t", "1")]),
        row(
            "replies: in response headers",
            on("proxy_on_response_headers", &format!("{DENY} #0")).and("proxy_on_response_body", "#0").and("proxy_on_log", DETAILS),
        )
        .upstream(ok(&[], &["secret"], &[])),
        row("replies: in response body", on("proxy_on_response_body", &format!("{DENY} #0")).and("proxy_on_log", DETAILS)).upstream(ok(
            &[],
            &["secret"],
            &[],
        )),
        row(
            "replies: in response body that is held",
            on("proxy_on_response_headers", "#1").and("proxy_on_response_body", &format!("{DENY} #1")).and("proxy_on_log", DETAILS),
        )
        .upstream(ok(&[], &["secret"], &[])),
        row("replies: from a root are nothing", on("proxy_on_configure", &format!("{DENY} #1"))),
    ]
}

fn second_part() -> Vec<Row> {
    vec![
        row(
            "replies: to gRPC",
            on("proxy_on_request_headers", "($send_local_response #403 #0 #0 {50% no} #0 #0 #-1) #1")
                .and("proxy_on_response_headers", AFTER),
        )
        .request("POST", "/s/m", &[("content-type", "application/grpc")], &[]),
        row("replies: to gRPC with a status", on("proxy_on_request_headers", "($send_local_response #403 #0 #0 #0 #0 #0 #0 #5) #1"))
            .request("POST", "/s/m", &[("content-type", "application/grpc")], &[]),
        row("replies: to HTTP with a gRPC status", on("proxy_on_request_headers", "($send_local_response #403 #0 #0 {body} #0 #0 #5) #1")),
        row(
            "replies: to HEAD",
            on("proxy_on_request_headers", &format!("{DENY} #1"))
                .and("proxy_on_response_headers", AFTER)
                .and("proxy_on_response_body", "#0"),
        )
        .request("HEAD", "/", &[], &[]),
        row(
            "replies: status 999",
            on("proxy_on_request_headers", "($send_local_response #999 #0 #0 {body} #0 #0 #-1) #1").and("proxy_on_log", DETAILS),
        ),
        row(
            "replies: changed in response headers",
            on("proxy_on_request_headers", &format!("{DENY} #1"))
                .and("proxy_on_response_headers", "($add_header_map_value #2 {x} {1}) ($replace_header_map_value #2 {:status} {418}) #0"),
        ),
        row(
            "replies: after a pause, from a tick",
            on("proxy_on_request_headers", "($set_tick_period_milliseconds #5) #1")
                .and("proxy_on_tick", &format!("($set_tick_period_milliseconds #0) ($set_effective_context #2) {DENY}"))
                .and("proxy_on_response_headers", AFTER),
        ),
        row("replies: and continue", on("proxy_on_request_headers", &format!("{DENY} ($continue_stream #0) #0"))),
        row("replies: and close", on("proxy_on_request_headers", &format!("{DENY} ($close_stream #0) #0")).and("proxy_on_log", DETAILS)),
    ]
}
