//! gRPC calls and streams, answered by scripted services.

use std::time::Duration;

use meshwright_wasm_host::{Answer, Grpc, Outcome, Report, Request, Response, Upstream};

use crate::support::*;

const CALL: &str = "(call $grpc_call {limits} {pkg.Limits} {Check} {\x01\0\0\0\x01\0\0\0\x01\0\0\0k\0v\0} {ask} #100 #64)";
const STREAM: &str = "(call $grpc_stream {limits} {pkg.Limits} {Watch} #0 #0 #64)";
const LOG_STATUS: &str = "(call $get_status #8 #0 #4) (call $out)";

fn filter(start: &str) -> Filter {
    let read = |map: u32| format!("(call $get_header_map_value #{map} {{m}} #0 #4) (call $out)");
    Filter::on("proxy_on_request_headers", &format!("{start} #0"))
        .and("proxy_on_grpc_receive_initial_metadata", &read(4))
        .and("proxy_on_grpc_receive", "(call $get_buffer_bytes #5 #0 #100 #0 #4) (call $out)")
        .and("proxy_on_grpc_receive_trailing_metadata", &read(5))
        .and("proxy_on_grpc_close", LOG_STATUS)
}

fn run(start: &str, answer: Answer) -> Outcome {
    filter(start).plugin().upstream("limits", Upstream::new(answer)).request(Request::get("/")).run().unwrap()
}

fn grpc_callbacks(report: &Report) -> Vec<&'static str> {
    callbacks(report).into_iter().filter_map(|name| name.strip_prefix("grpc_")).collect()
}

#[test]
fn a_call_is_told_its_message_or_why_there_is_none() {
    let outcome = run(CALL, Answer::grpc(Grpc::message("yes").initial_metadata("m", "v")).after(Duration::from_millis(99)));
    assert_eq!((grpc_callbacks(&outcome.report), logged(&outcome.report)), (vec!["receive"], vec!["yes"]));
    let [call] = outcome.report.grpc_calls.as_slice() else { panic!("{:?}", outcome.report.grpc_calls) };
    assert_eq!((call.cluster.as_str(), call.service.as_str(), call.method.as_str()), ("limits", "pkg.Limits", "Check"));
    assert_eq!((call.messages.as_slice(), call.initial_metadata.text("k"), call.streaming), (&[b"ask".to_vec()][..], Some("v"), false));
    for (answer, text) in [
        (Answer::grpc(Grpc::status(8, "too many")), "too many{via_upstream}"),
        (Answer::grpc(Grpc::message("late")).after(Duration::from_millis(100)), "upstream request timeout{response_timeout}"),
        (Answer::never(), "upstream request timeout{response_timeout}"),
        (
            Answer::connection_failure(),
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure\
             {upstream_reset_before_response_started{remote_connection_failure}}",
        ),
        (Answer::failure(), "via_upstream"),
        (Answer::response(Response::new(404)), "via_upstream"),
    ] {
        let outcome = run(CALL, answer);
        assert_eq!((grpc_callbacks(&outcome.report), logged(&outcome.report)), (vec!["close"], vec![text]));
    }
}

#[test]
fn a_stream_is_told_everything_in_order() {
    let script =
        Grpc::message("one").and_message("two").initial_metadata("m", "first").trailing_metadata("m", "last").and_status(10, "end");
    let outcome = run(STREAM, Answer::grpc(script));
    let expected = ["receive_initial_metadata", "receive", "receive", "receive_trailing_metadata", "close"];
    assert_eq!(grpc_callbacks(&outcome.report), expected);
    assert_eq!(logged(&outcome.report), ["first", "one", "two", "last", "end{via_upstream}"]);
}

#[test]
fn messages_answer_messages_until_the_filter_closes() {
    let send = |text: &str, end: u32| format!("(call $grpc_send (i32.load #64) {{{text}}} #{end})");
    let script = || Grpc::message("one").and_message("two").on_send();
    let outcome = run(&format!("{STREAM} {} {}", send("a", 0), send("b", 0)), Answer::grpc(script()));
    assert_eq!(grpc_callbacks(&outcome.report), ["receive", "receive"], "it stays open");
    assert_eq!(outcome.report.grpc_calls[0].messages, [b"a".to_vec(), b"b".to_vec()]);
    let outcome = run(&format!("{STREAM} {} {}", send("a", 1), send("b", 0)), Answer::grpc(script()));
    assert_eq!(grpc_callbacks(&outcome.report), ["receive", "receive_trailing_metadata", "close"]);
    assert_eq!(statuses(&outcome.report, "grpc_send"), [OK, OK], "its half is closed, and what is sent goes nowhere");
    let outcome = run(&format!("{STREAM} (call $grpc_close (i32.load #64))"), Answer::grpc(script()));
    assert_eq!(grpc_callbacks(&outcome.report), ["receive_trailing_metadata", "close"]);
}

#[test]
fn what_is_cancelled_is_not_heard_of_and_tokens_have_kinds() {
    let twice = |start: &str, what: &str| format!("{start} (call {what} (i32.load #64)) (call {what} (i32.load #64))");
    for (start, what) in [(STREAM, "$grpc_cancel"), (CALL, "$grpc_cancel"), (CALL, "$grpc_close")] {
        let outcome = run(&twice(start, what), Answer::grpc(Grpc::message("yes")));
        assert_eq!(grpc_callbacks(&outcome.report), [""; 0]);
        assert_eq!(statuses(&outcome.report, &what[1..]), [OK, NOT_FOUND]);
    }
    let outcome = run(&format!("{CALL} (call $grpc_send (i32.load #64) #0 #0 #0)"), Answer::grpc(Grpc::message("yes")));
    assert_eq!(statuses(&outcome.report, "grpc_send"), [BAD_ARGUMENT], "a call is no stream");
    let http = "(call $http_call {limits} {\x03\0\0\0\x07\0\0\0\x03\0\0\0\x05\0\0\0\x01\0\0\0\x0a\0\0\0\x01\0\0\0:method\0GET\0:path\0/\0:authority\0a\0} #0 #0 #0 #0 #0 #64)";
    let outcome = run(
        &format!("{http} (call $grpc_cancel (i32.load #64)) (call $grpc_cancel #99) (call $grpc_cancel #98)"),
        Answer::response(Response::new(200)),
    );
    assert_eq!(statuses(&outcome.report, "grpc_cancel"), [BAD_ARGUMENT, BAD_ARGUMENT, NOT_FOUND], "the kind is in the low bits");
}

#[test]
fn a_service_is_a_cluster_or_a_grpc_service_that_names_one() {
    let start = |service: &str| format!("(call $grpc_stream {{{service}}} {{s}} {{m}} #0 #0 #64)");
    for (service, status) in [
        ("limits", OK),
        ("\n\x08\n\x06limits", OK),
        ("\n\x07\n\x05other", meshwright_wasm_host::Status::InternalFailure.code()),
        ("other", meshwright_wasm_host::Status::ParseFailure.code()),
    ] {
        let outcome = run(&start(service), Answer::never());
        assert_eq!(statuses(&outcome.report, "grpc_stream"), [status], "{service:?}");
    }
}
