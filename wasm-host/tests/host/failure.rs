//! What becomes of streams after a trap, by policy.

use std::time::Duration;

use meshwright_wasm_host::{Ended, FailurePolicy, Request, Response, Tcp, Worker};

use crate::support::*;

/// Traps on a request with a header `x-trap`, and counts the others.
fn worker(policy: FailurePolicy) -> Worker {
    let body = "(if (i32.eqz (call $import_get_header_map_value #0 {x-trap} #0 #4)) (then (unreachable)))
        (call $define_metric #0 {seen} #0) (call $increment_metric (i32.load #0) (i64.const 1)) #0";
    let filter = Filter::on("proxy_on_request_headers", body).and("proxy_on_new_connection", "#0").and("proxy_on_log", "");
    filter.plugin().failure_policy(policy).start().unwrap()
}

fn trap() -> Request {
    Request::get("/").header("x-trap", "1")
}

#[test]
fn the_request_that_traps_is_a_503_under_every_policy() {
    for policy in [FailurePolicy::Closed, FailurePolicy::Open, FailurePolicy::Reload { base_interval: Duration::ZERO }] {
        let mut worker = worker(policy);
        let outcome = worker.request(trap());
        assert_eq!((outcome.status(), outcome.ended), (Some(503), Ended::Trapped), "{policy:?}");
        assert!(worker.has_failed());
    }
}

#[test]
fn closed_answers_503_for_ever() {
    let mut worker = worker(FailurePolicy::Closed);
    worker.request(trap());
    worker.advance(Duration::from_secs(3600));
    let outcome = worker.request(Request::get("/"));
    assert_eq!((outcome.status(), outcome.upstream_request), (Some(503), None));
}

#[test]
fn open_lets_later_streams_pass_untouched() {
    let mut worker = worker(FailurePolicy::Open);
    worker.request(trap());
    let outcome = worker.request(trap().chunk("a").chunk("b").upstream(Response::new(201)));
    assert_eq!((outcome.status(), outcome.ended), (Some(201), Ended::Completed));
    let got = outcome.upstream_request.unwrap();
    assert_eq!((got.body.as_slice(), got.headers.text("x-trap"), got.complete), (&b"ab"[..], Some("1"), true));
    assert_eq!(worker.request(Request::get("/").upstream_reset()).status(), Some(503));
    let tcp = worker.tcp(Tcp::new().downstream("ping").upstream("pong"));
    assert_eq!((tcp.to_upstream.as_slice(), tcp.to_downstream.as_slice(), tcp.ended), (&b"ping"[..], &b"pong"[..], Ended::Completed));
}

#[test]
fn reload_starts_a_new_vm_no_sooner_than_allowed() {
    let mut worker = worker(FailurePolicy::Reload { base_interval: Duration::from_secs(1) });
    worker.advance(Duration::from_millis(400));
    assert_eq!(worker.request(Request::get("/")).report.metric("seen"), Some(1));
    worker.request(trap());
    assert_eq!(worker.request(Request::get("/")).status(), Some(503), "too soon after the start");
    worker.advance(Duration::from_millis(600));
    let outcome = worker.request(Request::get("/"));
    assert_eq!((outcome.status(), outcome.ended), (Some(200), Ended::Completed));
    assert_eq!(outcome.report.metric("seen"), Some(2), "statistics outlive the VM");
    worker.request(trap());
    assert_eq!(worker.request(Request::get("/")).status(), Some(503), "counted from the last start");
}
