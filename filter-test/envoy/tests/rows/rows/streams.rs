//! Going on, closing, pausing; the order of callbacks.

use crate::probe::{Probe, on};
use crate::row::{Row, ok, row};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = [first_part(), second_part(), third_part()].concat();
    for (name, action) in [
        ("streams: action 3 in headers", 3),
        ("streams: action 4 in headers", 4),
        ("streams: action 5 in headers", 5),
        ("streams: action 9 in headers", 9),
        ("streams: action -1 in headers", -1),
    ] {
        rows.push(row(name, on("proxy_on_request_headers", &format!("#{action}")).and("proxy_on_request_body", "#0")).hangs());
    }
    for (name, action) in [("streams: action 4 in data", 4), ("streams: action 9 in data", 9)] {
        rows.push(row(name, on("proxy_on_request_body", &format!("#{action}"))).request("POST", "/", &[], &["abc"]).hangs());
    }
    rows
}

/// Continues everywhere.
fn order(name: &'static str) -> Row {
    let probe = Probe::new("0_2_1")
        .and("proxy_on_context_create", "")
        .and("proxy_on_vm_start", "#1")
        .and("proxy_on_configure", "#1")
        .and("proxy_on_request_headers", "#0")
        .and("proxy_on_request_body", "#0")
        .and("proxy_on_request_trailers", "#0")
        .and("proxy_on_response_headers", "($get_header_map_value #2 {:status} #0 #4) ($out) #0")
        .and("proxy_on_response_body", "#0")
        .and("proxy_on_response_trailers", "#0")
        .and("proxy_on_log", "($get_property {response\0code_details} #0 #4) ($out)")
        .and("proxy_on_done", "#0")
        .and("proxy_on_delete", "");
    row(name, probe)
}

fn first_part() -> Vec<Row> {
    vec![
        row(
            "streams: numbers that are none",
            on(
                "proxy_on_request_headers",
                "($continue_stream #4) ($continue_stream #-1) ($continue_stream #3) ($close_stream #4) ($close_stream #-1) ($continue_stream #2) ($close_stream #2) ($close_stream #3) #0",
            ),
        ),
        row(
            "streams: from a root",
            on(
                "proxy_on_configure",
                "($continue_stream #0) ($continue_stream #1) ($continue_stream #2) ($continue_stream #3) ($close_stream #0) ($close_stream #2) #1",
            ),
        ),
        row(
            "continue_stream: in the callback that pauses",
            on(
                "proxy_on_request_headers",
                "($continue_stream #0) ($get_header_map_value #0 {:path} #0 #4) ($get_header_map_pairs #0 #0 #4) ($get_property {request\0path} #0 #4) #1",
            ),
        ),
        row("continue_stream: in the body call that pauses", on("proxy_on_request_body", "($continue_stream #0) #1")).request(
            "POST",
            "/",
            &[],
            &["abc"],
        ),
        row("continue_stream: in trailers", on("proxy_on_request_trailers", "($continue_stream #0) #1"))
            .request("POST", "/", &[], &["abc"])
            .trailers(&[("t", "1")]),
        row("continue_stream: without a pause", on("proxy_on_request_headers", "($continue_stream #0) #0")),
        row(
            "continue_stream: of the response in its headers",
            on("proxy_on_response_headers", "($continue_stream #1) ($get_header_map_value #2 {:status} #0 #4) #1"),
        )
        .upstream(ok(&[], &["abc"], &[]))
        .hangs(),
        row("continue_stream: of the response in its body", on("proxy_on_response_body", "($continue_stream #1) #1")).upstream(ok(
            &[],
            &["abc"],
            &[],
        )),
        row("continue_stream: in log", on("proxy_on_log", "($continue_stream #0)")),
        row("continue_stream: the response in log", on("proxy_on_log", "($continue_stream #1)")),
        row("close_stream: in log", on("proxy_on_log", "($close_stream #0)")).alone(),
        row(
            "continue_stream: in request headers with a body to come",
            on("proxy_on_request_headers", "($continue_stream #0) #1").and("proxy_on_request_body", "#0"),
        )
        .request("POST", "/", &[], &["abc"])
        .hangs(),
        row("continue_stream: of the response that has no body", on("proxy_on_response_headers", "($continue_stream #1) #1")),
        row("continue_stream: of the response in headers that go on", on("proxy_on_response_headers", "($continue_stream #1) #0")).alone(),
    ]
}

fn second_part() -> Vec<Row> {
    vec![
        row(
            "continue_stream: of the response in headers that go on with a body",
            on("proxy_on_response_headers", "($continue_stream #1) #0"),
        )
        .upstream(ok(&[], &["abc"], &[]))
        .differs("response headers twice"),
        row(
            "continue_stream: of the response in its only data",
            on("proxy_on_request_headers", "($send_local_response #200 #0 #0 {abc} #0 #0 #-1) #1")
                .and("proxy_on_response_body", "($continue_stream #1) #1"),
        )
        .hangs(),
        row(
            "close_stream: request",
            on("proxy_on_request_headers", "($close_stream #0) #0")
                .and("proxy_on_log", "($get_property {response\0code_details} #0 #4) ($out)")
                .and("proxy_on_done", "#1")
                .and("proxy_on_delete", ""),
        ),
        row(
            "close_stream: response",
            on("proxy_on_request_headers", "($close_stream #1) #1")
                .and("proxy_on_log", "($get_property {response\0code_details} #0 #4) ($out)"),
        ),
        row(
            "close_stream: in the response",
            on("proxy_on_response_headers", "($close_stream #1) #0")
                .and("proxy_on_log", "($get_property {response\0code_details} #0 #4) ($out)"),
        ),
        row("close_stream: in the response's body", on("proxy_on_response_body", "($close_stream #1) #0").and("proxy_on_log", ""))
            .upstream(ok(&[], &["abc"], &[])),
        row("streams: headers that end the stream by 2", on("proxy_on_request_headers", "#2").and("proxy_on_request_body", "#0")),
        row(
            "streams: response held till its end",
            on("proxy_on_response_headers", "(select #0 #1 (local.get 2))")
                .and("proxy_on_response_body", "(if (local.get 2) (then ($continue_stream #1))) #1"),
        )
        .upstream(ok(&[], &["abc", "def"], &[])),
        row(
            "streams: request headers held till its body's end",
            on("proxy_on_request_headers", "(select #0 #1 (local.get 2))")
                .and("proxy_on_request_body", "(if (local.get 2) (then ($continue_stream #0))) #1"),
        )
        .request("POST", "/", &[], &["abc", "def"]),
        row("streams: request headers held, body let through", on("proxy_on_request_headers", "#1").and("proxy_on_request_body", "#0"))
            .request("POST", "/", &[], &["abc", "def"]),
        row(
            "streams: request headers held, body held till the trailers",
            on("proxy_on_request_headers", "#1").and("proxy_on_request_body", "#1").and("proxy_on_request_trailers", "#0"),
        )
        .request("POST", "/", &[], &["abc", "def"])
        .trailers(&[("t", "1")]),
        row(
            "streams: request headers held, one body let through when it ends",
            on("proxy_on_request_headers", "#1").and("proxy_on_request_body", "(i32.eqz (local.get 2))"),
        )
        .request("POST", "/", &[], &["abc", "def"]),
    ]
}

fn third_part() -> Vec<Row> {
    vec![
        order("streams: order of all callbacks").request("POST", "/", &[], &["abc"]).trailers(&[("t", "1")]).upstream(ok(
            &[],
            &["def"],
            &[("u", "2")],
        )),
        order("streams: order without bodies"),
        order("streams: order with bodies of a known length").request("POST", "/", &[("content-length", "3")], &["abc"]).upstream(ok(
            &[("content-length", "3")],
            &["def"],
            &[],
        )),
        order("streams: order with bodies without a length").request("POST", "/", &[], &["abc"]).upstream(ok(&[], &["def"], &[])),
        order("streams: an upstream that resets").upstream(meshwright_filter_envoy::Reply::Reset),
        order("streams: an upstream without content").upstream(crate::row::reply(204, &[], &[], &[])),
        order("streams: HEAD").request("HEAD", "/", &[], &[]),
        row(
            "streams: nothing resumes",
            on("proxy_on_request_headers", "#1").and("proxy_on_log", "").and("proxy_on_done", "#1").and("proxy_on_delete", ""),
        )
        .hangs(),
        row("continue_stream: response in the request ends Envoy", on("proxy_on_request_headers", "($continue_stream #1) #0")).alone(),
        row("send_local_response: in log ends Envoy", on("proxy_on_log", "($send_local_response #403 #0 #0 #0 #0 #0 #0 #-1)")).alone(),
    ]
}
