use meshwright_wasm_host::{Ended, Misuse, Profile, Request, Response};

use crate::support::*;

const DENY: &str = "(call $send_local_response #403 {no such luck} {denied} #0 #0 #-1)";

#[test]
fn the_order_of_callbacks_is_envoys() {
    let filter = Filter::on("proxy_on_context_create", "")
        .and("proxy_on_vm_start", "#1")
        .and("proxy_on_configure", "#1")
        .and("proxy_on_request_headers", "#0")
        .and("proxy_on_request_body", "#0")
        .and("proxy_on_request_trailers", "#0")
        .and("proxy_on_response_headers", "#0")
        .and("proxy_on_response_body", "#0")
        .and("proxy_on_response_trailers", "#0")
        // Envoy deletes the context even so.
        .and("proxy_on_done", "#0")
        .and("proxy_on_log", "")
        .and("proxy_on_delete", "");
    let request = Request::post("/").body("x").trailer("t", "1").upstream(Response::new(200).body("y").trailer("t", "1"));
    let outcome = filter.plugin().request(request).run().unwrap();
    let expected = [
        ("context_create", 1),
        ("vm_start", 1),
        ("configure", 1),
        ("context_create", 2),
        ("request_headers", 2),
        ("request_body", 2),
        ("request_trailers", 2),
        ("response_headers", 2),
        ("response_body", 2),
        ("response_trailers", 2),
        ("log", 2),
        ("done", 2),
        ("delete", 2),
    ];
    let seen: Vec<_> = outcome.report.callbacks().map(|(name, context)| (name.strip_prefix("proxy_on_").unwrap(), context)).collect();
    assert_eq!(seen, expected);
    assert!(outcome.upstream_request.unwrap().complete && outcome.client_response.unwrap().complete);
}

#[test]
fn a_local_reply_goes_through_the_response_callbacks_with_the_requests_headers_still_there() {
    let filter = Filter::on("proxy_on_request_headers", &format!("{DENY} #0"))
        .and("proxy_on_request_body", "#0")
        .and(
            "proxy_on_response_headers",
            "(call $get_header_map_value #0 {:path} #0 #4) (call $out) (call $add_header_map_value #2 {x} {1}) #0",
        )
        .and("proxy_on_response_body", "(call $get_buffer_bytes #1 #0 #100 #0 #4) (call $out) #0")
        .and("proxy_on_log", "(call $get_property {response\0code_details} #0 #4) (call $out)");
    let outcome = filter.plugin().request(Request::post("/admin").body("x")).run().unwrap();
    let client = outcome.client_response.as_ref().unwrap();
    let headers = [(":status", "403"), ("content-length", "6"), ("content-type", "text/plain"), ("x", "1")];
    assert_eq!((&client.headers, client.body.as_slice()), (&headers.into_iter().collect(), &b"denied"[..]));
    assert_eq!(logged(&outcome.report), ["/admin", "denied", "no_such_luck"]);
    assert_eq!(callbacks(&outcome.report), ["request_headers", "response_headers", "response_body", "log"]);
    assert_eq!((outcome.upstream_request, outcome.local_reply.unwrap().details.as_str()), (None, "no_such_luck"));
}

#[test]
fn the_first_of_two_replies_wins_and_one_of_a_root_is_nothing() {
    let two = "(call $send_local_response #401 #0 #0 #0 #0 #0 #0 #-1)";
    let filter = Filter::on("proxy_on_request_headers", &format!("{DENY} {two} #1")).and("proxy_on_configure", &format!("{two} #1"));
    let outcome = filter.plugin().request(Request::get("/")).run().unwrap();
    assert_eq!(outcome.status(), Some(403));
    assert_eq!(statuses(&outcome.report, "send_local_response"), [OK; 3]);
}

#[test]
fn grpc_requests_get_a_grpc_status() {
    for (grpc_status, expected) in [(-1, "7"), (5, "5")] {
        let body = format!("(call $send_local_response #403 #0 #0 {{50% no}} #0 #0 #{grpc_status}) #1");
        let request = Request::post("/s/m").header("content-type", "application/grpc");
        let outcome = Filter::on("proxy_on_request_headers", &body).plugin().request(request).run().unwrap();
        let headers = outcome.client_response.unwrap().headers;
        assert_eq!((headers.text(":status"), headers.text("grpc-status")), (Some("200"), Some(expected)));
        assert_eq!(headers.text("grpc-message"), Some("50%25 no"));
    }
}

#[test]
fn a_reply_replaces_a_response_that_has_not_begun_and_cuts_one_that_has() {
    let early = Filter::on("proxy_on_response_headers", &format!("{DENY} #0"));
    let outcome = early.plugin().request(Request::get("/").upstream(Response::new(200).body("secret"))).run().unwrap();
    assert_eq!(outcome.client_response.as_ref().map(|response| response.body.as_slice()), Some(&b"denied"[..]));
    assert_eq!(callbacks(&outcome.report), ["response_headers"], "not called again for the reply");
    let late = Filter::on("proxy_on_response_body", &format!("{DENY} #0"));
    let outcome = late.plugin().request(Request::get("/").upstream(Response::new(200).body("secret"))).run().unwrap();
    let client = outcome.client_response.unwrap();
    assert_eq!((client.status(), client.body.as_slice(), client.complete), (Some(200), &b""[..], false));
}

#[test]
fn a_denied_body_leaves_the_upstream_with_half_a_request() {
    let filter = Filter::on("proxy_on_request_body", &format!("{DENY} #1"));
    let outcome = filter.plugin().request(Request::post("/").body("bad")).run().unwrap();
    let upstream = outcome.upstream_request.as_ref().unwrap();
    assert_eq!((outcome.status(), upstream.body.as_slice(), upstream.complete), (Some(403), &b""[..], false));
}

#[test]
fn a_pause_that_nothing_ends_hangs() {
    for action in [1, 3, 4, 9] {
        let filter = Filter::on("proxy_on_request_headers", &format!("#{action}")).and("proxy_on_log", "");
        let outcome = filter.plugin().request(Request::get("/")).run().unwrap();
        assert_eq!((outcome.ended, &outcome.client_response), (Ended::Hung, &None), "{action}");
        assert_eq!(callbacks(&outcome.report), ["request_headers", "log"]);
    }
    let ends = Filter::on("proxy_on_request_headers", "#2").plugin().request(Request::post("/").body("dropped")).run().unwrap();
    assert_eq!((ends.ended, ends.upstream_request.unwrap().body), (Ended::Completed, Vec::new()), "2 ends the stream with its headers");
}

#[test]
fn closing_resets() {
    for kind in [0, 1] {
        let filter = Filter::on("proxy_on_request_headers", &format!("(call $close_stream #{kind}) #0")).and("proxy_on_log", "");
        let outcome = filter.plugin().request(Request::get("/")).run().unwrap();
        assert_eq!((outcome.ended, &outcome.client_response), (Ended::Closed, &None));
        assert_eq!(outcome.code_details.as_deref(), Some("wasm_close_stream"));
    }
    let bad = Filter::on("proxy_on_request_headers", "(call $close_stream #4) (call $continue_stream #4) (call $continue_stream #3) #0");
    let outcome = bad.plugin().request(Request::get("/")).run().unwrap();
    assert_eq!(statuses(&outcome.report, "close_stream"), [BAD_ARGUMENT]);
    assert_eq!(statuses(&outcome.report, "continue_stream"), [BAD_ARGUMENT, UNIMPLEMENTED]);
}

#[test]
fn resuming_takes_the_headers_away_at_once() {
    let read = "(call $get_header_map_value #0 {:path} #0 #4)";
    let filter = Filter::on("proxy_on_request_headers", &format!("{read} (call $continue_stream #0) {read} #1"));
    let outcome = filter.plugin().request(Request::get("/")).run().unwrap();
    assert_eq!(statuses(&outcome.report, "get_header_map_value"), [OK, BAD_ARGUMENT]);
    assert_eq!(outcome.ended, Ended::Completed);
}

#[test]
fn what_envoy_does_not_survive_is_told() {
    for (filter, ended, misuse) in [
        (Filter::on("proxy_on_request_headers", "(call $continue_stream #1) #1"), Ended::EnvoyCrash, Misuse::ResumeResponseInRequest),
        (Filter::on("proxy_on_log", DENY), Ended::EnvoyCrash, Misuse::ReplyInLog),
        (Filter::on("proxy_on_log", "(call $close_stream #0)"), Ended::EnvoyCrash, Misuse::CloseInLog),
        (
            Filter::on("proxy_on_request_headers", "(call $grpc_call #0 #0 {s} {m} #0 #0 #0 #0 #0 #0) #0"),
            Ended::EnvoyCrash,
            Misuse::GrpcServiceEmpty,
        ),
        (Filter::on("proxy_on_response_headers", "(call $continue_stream #1) #0"), Ended::EnvoyCrash, Misuse::ResponseHeadersTwice),
    ] {
        let outcome = filter.plugin().request(Request::get("/")).run().unwrap();
        assert_eq!((outcome.ended, outcome.report.misuse.as_slice()), (ended, &[misuse][..]));
    }
    let twice = Filter::on("proxy_on_response_headers", "(call $continue_stream #1) #0");
    let outcome = twice.plugin().request(Request::get("/").upstream(Response::new(200).body("x"))).run().unwrap();
    assert_eq!((outcome.ended, outcome.report.misuse), (Ended::Completed, vec![Misuse::ResponseHeadersTwice]));
}

#[test]
fn a_resumption_in_the_callback_that_pauses_acts_before_the_pause() {
    let filter = Filter::on("proxy_on_request_headers", "(call $continue_stream #0) #1").and("proxy_on_request_body", "#0");
    let outcome = filter.plugin().request(Request::post("/").body("x")).run().unwrap();
    let upstream = outcome.upstream_request.unwrap();
    assert_eq!((outcome.ended, upstream.body.as_slice(), upstream.complete), (Ended::Hung, &b""[..], false));
    assert_eq!(callbacks(&outcome.report), ["request_headers"]);
}

#[test]
fn an_upstream_that_resets_is_a_503() {
    let filter = Filter::on("proxy_on_response_headers", "(call $get_header_map_value #2 {:status} #0 #4) (call $out) #0");
    let outcome = filter.plugin().request(Request::get("/").upstream_reset()).run().unwrap();
    assert_eq!((outcome.status(), logged(&outcome.report)), (Some(503), vec!["503"]));
}

#[test]
fn where_envoy_and_the_specification_differ_a_profile_decides() {
    let filter =
        Filter::on("proxy_on_request_headers", "(call $get_buffer_bytes #0 #0 #9 #0 #4) (call $set_tick_period_milliseconds #5) #0")
            .and("proxy_on_request_body", "(call $set_buffer_bytes #0 #1 #1 {XY}) #0")
            .and("proxy_on_done", "#0")
            .and("proxy_on_tick", "(call $set_effective_context #2) (call $done)")
            .and("proxy_on_log", "")
            .and("proxy_on_delete", "");
    for (profile, buffer, set, body, end) in [
        (Profile::Envoy, OK, BAD_ARGUMENT, &b"abc"[..], &["log", "done", "delete"][..]),
        (Profile::Spec, NOT_FOUND, OK, b"aXYc", &["done", "tick", "log", "delete"]),
    ] {
        let outcome = filter.plugin().profile(profile).request(Request::post("/").chunk("abc")).run().unwrap();
        assert_eq!(statuses(&outcome.report, "get_buffer_bytes"), [buffer], "{profile:?}");
        assert_eq!(statuses(&outcome.report, "set_buffer_bytes")[0], set, "{profile:?}");
        let callbacks = callbacks(&outcome.report);
        assert_eq!(callbacks[callbacks.len() - end.len()..], *end, "{profile:?}");
        assert!(outcome.upstream_request.unwrap().body.starts_with(body), "{profile:?}");
    }
    let never = Filter::on("proxy_on_done", "#0").plugin().profile(Profile::Spec).request(Request::get("/")).run().unwrap();
    assert_eq!(never.report.misuse, [Misuse::ContextNeverDone]);
}

#[test]
fn what_envoy_never_calls_is_never_called() {
    let filter = Filter::on("proxy_on_foreign_function", "")
        .and("proxy_on_request_headers", "(call $call_foreign_function {clear_route_cache} #0 #0 #0 #4) #0");
    let outcome = filter.plugin().request(Request::get("/")).run().unwrap();
    assert_eq!((statuses(&outcome.report, "call_foreign_function"), callbacks(&outcome.report)), (vec![OK], vec!["request_headers"]));
}
