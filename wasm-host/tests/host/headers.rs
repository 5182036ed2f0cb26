use meshwright_wasm_host::{Request, Response};

use crate::support::*;

const READ: &str = "(call $get_header_map_value #0 {X-A} #0 #4)";

#[test]
fn request_headers_are_gone_after_their_phase_and_back_in_the_log() {
    let reads = format!("{READ} (call $get_header_map_pairs #0 #0 #4) (call $get_header_map_size #0 #8)");
    let outcome = Filter::on("proxy_on_request_headers", &format!("{reads} (call $out) #0"))
        .and("proxy_on_request_body", &format!("{reads} (call $out) #0"))
        .and("proxy_on_response_headers", &format!("{reads} #0"))
        .and("proxy_on_log", &format!("{reads} (call $add_header_map_value #0 {{b}} {{c}}) (call $remove_header_map_value #0 {{b}})"))
        .plugin()
        .request(Request::get("/").header("x-a", "1").body("b"))
        .run()
        .unwrap();
    let report = &outcome.report;
    // Headers, body, the body's end, response headers, log.
    assert_eq!(statuses(report, "get_header_map_value"), [OK, BAD_ARGUMENT, BAD_ARGUMENT, BAD_ARGUMENT, OK]);
    assert_eq!(statuses(report, "get_header_map_pairs"), [OK; 5]);
    assert_eq!(statuses(report, "get_header_map_size"), [OK, BAD_ARGUMENT, BAD_ARGUMENT, BAD_ARGUMENT, BAD_ARGUMENT]);
    assert_eq!(statuses(report, "add_header_map_value"), [BAD_ARGUMENT]);
    assert_eq!(statuses(report, "remove_header_map_value"), [BAD_ARGUMENT]);
    assert_eq!(logged(report)[1..], ["", ""], "a map that is gone reads as an empty one");
    assert!(logged(report)[0].contains("x-a\u{0}1\u{0}"), "{:?}", logged(report)[0]);
}

#[test]
fn reads_see_the_first_value_in_any_case_and_tell_empty_from_missing() {
    let body = "(call $get_header_map_value #0 {X-A} #0 #4) (call $out) (call $get_header_map_value #0 {empty} #0 #4) (call $out)
        (call $get_header_map_value #0 {none} #0 #4) (call $get_header_map_value #8 {x-a} #0 #4) (call $get_header_map_value #2 {x-a} #0 #4) #0";
    let request = Request::get("/").header("x-a", "first").header("X-A", "second").header("empty", "");
    let outcome = Filter::on("proxy_on_request_headers", body).plugin().request(request).run().unwrap();
    assert_eq!(logged(&outcome.report), ["first", ""]);
    assert_eq!(statuses(&outcome.report, "get_header_map_value"), [OK, OK, NOT_FOUND, BAD_ARGUMENT, BAD_ARGUMENT]);
}

#[test]
fn changes_reach_the_upstream_and_the_client() {
    let outcome = Filter::on(
        "proxy_on_request_headers",
        "(call $add_header_map_value #0 {X-New} {1}) (call $replace_header_map_value #0 {x-a} {2})
         (call $remove_header_map_value #0 {x-b}) (call $remove_header_map_value #0 {none}) #0",
    )
    .and("proxy_on_response_headers", "(call $replace_header_map_value #2 {server} {me}) #0")
    .plugin()
    .request(Request::get("/").header("x-a", "1").header("x-a", "1").header("x-b", "1").upstream(Response::new(204).header("server", "it")))
    .run()
    .unwrap();
    let upstream = &outcome.upstream_request.as_ref().unwrap().headers;
    assert_eq!((upstream.text("x-new"), upstream.get_all("x-a").count(), upstream.text("x-b")), (Some("1"), 1, None));
    assert_eq!(outcome.client_response.as_ref().unwrap().headers.text("server"), Some("me"));
    assert_eq!(outcome.status(), Some(204));
    assert_eq!(statuses(&outcome.report, "remove_header_map_value"), [OK, OK]);
}

#[test]
fn what_the_router_refuses() {
    for (body, status) in [
        ("(call $remove_header_map_value #0 {:path})", 404),
        ("(call $set_header_map_pairs #0 #0 #0)", 404),
        ("(call $set_header_map_pairs #0 {not a map})", 404),
        ("(call $remove_header_map_value #0 {:method})", 503),
        ("(call $add_header_map_value #0 {x} {a\r\nb: c})", 503),
        ("(call $add_header_map_value #0 {x} {a\0b})", 503),
    ] {
        let filter = Filter::on("proxy_on_request_headers", &format!("{body} #0")).and("proxy_on_response_headers", "#0");
        let outcome = filter.plugin().request(Request::get("/")).run().unwrap();
        assert_eq!((outcome.status(), &outcome.upstream_request), (Some(status), &None), "{body}");
        assert_eq!(callbacks(&outcome.report), ["request_headers", "response_headers"], "{body}");
    }
}

#[test]
fn pairs_replace_the_whole_map() {
    let pairs = "\x01\0\0\0\x05\0\0\0\x01\0\0\0:path\0/\0";
    let filter = Filter::on("proxy_on_request_trailers", &format!("(call $set_header_map_pairs #1 {{{pairs}}}) #0"));
    let outcome = filter.plugin().request(Request::get("/").trailer("a", "b")).run().unwrap();
    let trailers = outcome.upstream_request.unwrap().trailers;
    assert_eq!(trailers, [(":path", "/")].into_iter().collect());
}

#[test]
fn trailers_can_be_made_only_in_the_last_body_call() {
    let add = "(call $add_header_map_value #1 {grade} {A}) #0";
    let filter = Filter::on("proxy_on_request_headers", add).and("proxy_on_request_body", add);
    let outcome = filter.plugin().request(Request::post("/").body("x")).run().unwrap();
    assert_eq!(statuses(&outcome.report, "add_header_map_value"), [BAD_ARGUMENT, BAD_ARGUMENT, OK]);
    assert_eq!(outcome.upstream_request.unwrap().trailers.text("grade"), Some("A"));
}
