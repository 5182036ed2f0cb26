//! Configurations that change under way, and workers that share a `vm_id`.

use std::time::Duration;

use meshwright_wasm_host::{Answer, FailurePolicy, Host, Request, Response, Shared, StartError, Upstream};

use crate::support::*;

const CALL: &str = "(call $http_call {keys} {\x03\0\0\0\x07\0\0\0\x03\0\0\0\x05\0\0\0\x01\0\0\0\x0a\0\0\0\x01\0\0\0:method\0GET\0:path\0/\0:authority\0a\0} #0 #0 #0 #0 #0 #0)";

/// Logs its configuration; refuses `!`.
fn configured() -> Filter {
    Filter::on(
        "proxy_on_configure",
        "(call $get_buffer_bytes #7 #0 #100 #0 #4) (call $out)
         (i32.ne (i32.load8_u (i32.load #0)) #33)",
    )
    .and("proxy_on_done", "(call $log #2 {done}) #1")
    .and("proxy_on_delete", "")
    .and("proxy_on_tick", "(call $log #2 {tick})")
}

#[test]
fn a_new_configuration_gets_a_new_root_and_the_idle_one_ends_at_once() {
    let mut worker = configured().plugin().start().unwrap();
    worker.take_report();
    worker.reconfigure("new").unwrap();
    let report = worker.take_report();
    assert_eq!(logged(&report), ["new", "done"]);
    let contexts: Vec<_> = report.callbacks().map(|(name, context)| (name.trim_start_matches("proxy_on_"), context)).collect();
    assert_eq!(contexts, [("configure", 2), ("done", 1), ("delete", 1)], "the new root is 2");
}

#[test]
fn a_configuration_that_is_refused_changes_nothing() {
    let mut worker = configured().plugin().start().unwrap();
    worker.take_report();
    let error = worker.reconfigure("!").unwrap_err();
    assert!(matches!(error, StartError::ConfigureRefused(_)));
    assert_eq!(callbacks(&worker.take_report()), [""; 0], "it was tried in another VM");
    assert!(worker.reconfigure_after(Duration::ZERO, "!").is_err());
    assert_eq!(worker.request(Request::get("/")).status(), Some(200));
}

#[test]
fn a_stream_in_flight_keeps_its_root_until_it_ends() {
    let filter = configured()
        .and("proxy_on_request_headers", &format!("{CALL} #1"))
        .and("proxy_on_http_call_response", "(call $log #2 {answer}) (call $set_effective_context #2) (call $continue_stream #0)")
        .and("proxy_on_log", "(call $log #2 {log})");
    let keys = Upstream::new(Answer::response(Response::new(200)).after(Duration::from_millis(20)));
    let mut worker = filter.plugin().upstream("keys", keys).start().unwrap();
    worker.take_report();
    worker.reconfigure_after(Duration::from_millis(10), "new").unwrap();
    let outcome = worker.request(Request::get("/"));
    assert_eq!(outcome.status(), Some(200));
    assert_eq!(logged(&outcome.report), ["new", "answer", "log", "done", "done"]);
    let done: Vec<u32> = outcome.report.callbacks().filter(|(name, _)| *name == "proxy_on_done").map(|(_, context)| context).collect();
    assert_eq!(done, [2, 1], "the stream, and then the root that waited for it");
    let answered = outcome.report.callbacks().find(|(name, _)| *name == "proxy_on_http_call_response");
    assert_eq!(answered, Some(("proxy_on_http_call_response", 1)));
}

#[test]
fn a_vm_that_is_reloaded_has_the_last_configuration() {
    let filter = configured().and("proxy_on_request_headers", "(unreachable)");
    let policy = FailurePolicy::Reload { base_interval: Duration::ZERO };
    let mut worker = filter.plugin().failure_policy(policy).start().unwrap();
    worker.reconfigure_after(Duration::from_millis(1), "new").unwrap();
    worker.advance(Duration::from_millis(1));
    worker.request(Request::get("/"));
    assert_eq!(logged(&worker.request(Request::get("/")).report), ["new"]);
}

#[test]
fn each_root_has_its_own_timer() {
    let filter =
        Filter::on("proxy_on_configure", "(call $set_tick_period_milliseconds #10) #1").and("proxy_on_tick", "(call $log #2 {tick})");
    let mut worker = filter.plugin().start().unwrap();
    worker.reconfigure("new").unwrap();
    worker.take_report();
    assert_eq!(logged(&worker.advance(Duration::from_millis(25))), ["tick", "tick"], "the old root's timer went with it");
}

#[test]
fn workers_of_one_vm_id_share_data_and_the_last_to_register_a_queue_is_told() {
    let body = "(call $resolve_shared_queue #0 #0 {q} #12) (call $enqueue_shared_queue (i32.load #12) {entry})
        (call $get_shared_data {k} #0 #4 #8) (call $set_shared_data {k} {v} (i32.load #8)) #0";
    let filter = Filter::on("proxy_on_configure", "(call $register_shared_queue {q} #8) #1")
        .and("proxy_on_request_headers", body)
        .and("proxy_on_queue_ready", "(call $dequeue_shared_queue (local.get 1) #0 #4) (call $out)");
    let host = Host::load(&filter.wasm()).unwrap();
    let shared = Shared::new();
    let start = || host.plugin("", "").vm_id("one").shared(&shared).start().unwrap();
    let (mut first, mut second) = (start(), start());
    let outcome = first.request(Request::get("/"));
    assert_eq!(statuses(&outcome.report, "get_shared_data"), [NOT_FOUND]);
    assert_eq!(logged(&first.advance(Duration::ZERO)), [""; 0]);
    assert_eq!(logged(&second.advance(Duration::ZERO)), ["entry"]);
    let outcome = second.request(Request::get("/"));
    assert_eq!(statuses(&outcome.report, "set_shared_data"), [OK], "it read the number that goes with the first one's value");
    assert_eq!(shared.get("one", "k").as_deref(), Some(&b"v"[..]));
}
