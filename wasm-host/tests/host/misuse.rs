//! Every misuse is found, and not found where there is none.

use meshwright_wasm_host::{Answer, Misuse, Outcome, Plugin, Request, Response, Upstream};

use crate::support::*;

fn run(plugin: &Plugin) -> Outcome {
    let request = Request::post("/").header("x-twice", "1").header("x-twice", "2").header("content-length", "2").chunk("ab");
    plugin.request(request.upstream(Response::new(200).header("x-one", "1").chunk("cd"))).run().unwrap()
}

const CALL: &str = "(call $http_call {keys} {\x03\0\0\0\x07\0\0\0\x03\0\0\0\x05\0\0\0\x01\0\0\0\x0a\0\0\0\x01\0\0\0:method\0GET\0:path\0/\0:authority\0a\0} #0 #0 #0 #0 #0 #0)";

#[track_caller]
fn found(filter: &Filter, misuse: Misuse) {
    let plugin = filter.plugin().upstream("keys", Upstream::new(Answer::response(Response::new(200))));
    assert_eq!(run(&plugin).report.misuse, [misuse]);
}

#[test]
fn misuse_of_streams_is_found() {
    let answered = |body: &str| Filter::on("proxy_on_request_headers", &format!("{CALL} #1")).and("proxy_on_http_call_response", body);
    for (filter, misuse) in [
        (Filter::on("proxy_on_request_headers", "(call $continue_stream #0) #0"), Misuse::ResumeWithoutPause),
        (Filter::on("proxy_on_request_body", "(call $continue_stream #0) #0"), Misuse::ResumeWithoutPause),
        (
            Filter::on("proxy_on_request_headers", &format!("{CALL} #0")).and("proxy_on_response_headers", "#1").and(
                "proxy_on_http_call_response",
                "(call $set_effective_context #2) (call $continue_stream #0) (call $continue_stream #1)",
            ),
            Misuse::ResumeWithoutPause,
        ),
        (answered("(call $set_effective_context #2) (call $continue_stream #0) (call $continue_stream #0)"), Misuse::ResumeTwice),
        (Filter::on("proxy_on_response_body", "(call $send_local_response #500 #0 #0 #0 #0 #0 #0 #-1) #0"), Misuse::ReplyAfterHeaders),
        (Filter::on("proxy_on_request_headers", "#1"), Misuse::PauseForNothing),
        (Filter::on("proxy_on_request_headers", "(call $http_call {keys} #0 #0 #0 #0 #0 #0 #0 #0) #0"), Misuse::CallIncomplete),
    ] {
        found(&filter, misuse);
    }
}

#[test]
fn misuse_of_messages_is_found() {
    for (filter, misuse) in [
        (Filter::on("proxy_on_request_body", "(call $get_header_map_value #0 {:path} #0 #4) #0"), Misuse::MapOutsidePhase),
        (Filter::on("proxy_on_response_headers", "(call $get_header_map_pairs #0 #0 #4) #0"), Misuse::MapOutsidePhase),
        (Filter::on("proxy_on_request_headers", "(call $add_header_map_value #2 {a} {b}) #0"), Misuse::MapOutsidePhase),
        (Filter::on("proxy_on_response_headers", "(call $get_property {request\0path} #0 #4) #0"), Misuse::AttributeOutsidePhase),
        (Filter::on("proxy_on_response_headers", "(call $add_header_map_value #2 {a} {b\nc}) #0"), Misuse::LineBreakInHeader),
        (Filter::on("proxy_on_request_headers", "(call $get_header_map_value #0 {x-twice} #0 #4) #0"), Misuse::FirstValueOnly),
        (Filter::on("proxy_on_request_headers", "(call $set_header_map_pairs #0 #0 #0) #0"), Misuse::MapWiped),
        (Filter::on("proxy_on_request_body", "(call $set_buffer_bytes #0 #0 #9 {abc}) #0"), Misuse::StaleContentLength),
        (Filter::on("proxy_on_request_headers", "(call $define_metric #0 {m} #0) #0"), Misuse::MetricPerStream),
    ] {
        found(&filter, misuse);
    }
}

#[test]
fn misuse_of_the_allocator_and_of_ends_is_found() {
    let allocator = Filter::on("malloc", "(call $set_tick_period_milliseconds #0) #0")
        .and("proxy_on_request_headers", "(call $get_header_map_pairs #0 #0 #4) #0");
    assert_eq!(run(&allocator.plugin()).report.misuse, [Misuse::HostcallInAllocator]);
    let report = Filter::on("proxy_on_done", "#0").plugin().start().unwrap().shut_down();
    assert_eq!(report.misuse, [Misuse::ContextNeverDone]);
}

#[test]
fn what_is_right_is_no_misuse() {
    let filter = Filter::on("proxy_on_configure", "(call $define_metric #0 {m} #0) #1")
        .and(
            "proxy_on_request_headers",
            &format!(
                "(call $remove_header_map_value #0 {{content-length}}) (call $get_header_map_value #0 {{:path}} #0 #4)
                (call $get_property {{request\0path}} #0 #4) {CALL} #1"
            ),
        )
        .and("proxy_on_http_call_response", "(call $set_effective_context #2) (call $continue_stream #0)")
        .and("proxy_on_request_body", "(call $set_buffer_bytes #0 #0 #9 {abc}) #0")
        .and("proxy_on_response_headers", "(call $get_header_map_value #2 {x-one} #0 #4) #0")
        .and("proxy_on_log", "(call $get_header_map_value #0 {:path} #0 #4) (call $get_header_map_value #3 {a} #0 #4)");
    let outcome = run(&filter.plugin().upstream("keys", Upstream::new(Answer::response(Response::new(200)))));
    assert_eq!((outcome.status(), outcome.report.misuse), (Some(200), vec![]));
}

#[test]
fn names_are_unique() {
    let names: std::collections::BTreeSet<&str> = Misuse::ALL.iter().map(|misuse| misuse.name()).collect();
    assert_eq!(names.len(), Misuse::ALL.len());
}
