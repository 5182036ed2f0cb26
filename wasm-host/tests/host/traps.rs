use std::time::{Duration, Instant};

use meshwright_wasm_host::{Ended, Host, Limits, Outcome, Plugin, Request, StartError, Tcp, TrapKind};

use crate::support::*;

fn trapped(plugin: &Plugin, kind: TrapKind) -> Outcome {
    let outcome = plugin.request(Request::get("/")).run().unwrap();
    let traps: Vec<_> = outcome.report.traps.iter().map(|trap| (trap.callback, trap.kind)).collect();
    assert_eq!(traps, [("proxy_on_request_headers", kind)], "{:?}", outcome.report.traps);
    assert_eq!((outcome.ended, outcome.status(), outcome.code_details.as_deref()), (Ended::Trapped, Some(503), Some("wasm_fail_stream")));
    outcome
}

#[test]
fn a_trap_is_a_503_without_log_and_the_worker_is_lost() {
    let filter = Filter::on("proxy_on_request_headers", "(unreachable)").and("proxy_on_log", "").and("proxy_on_new_connection", "#0");
    let outcome = trapped(&filter.plugin(), TrapKind::Unreachable);
    assert_eq!(callbacks(&outcome.report), ["request_headers"]);
    let mut worker = filter.plugin().start().unwrap();
    worker.request(Request::get("/"));
    let later = worker.request(Request::get("/"));
    assert_eq!((later.status(), later.ended, callbacks(&later.report)), (Some(503), Ended::Trapped, vec![]));
    assert_eq!(worker.tcp(Tcp::new()).ended, Ended::Trapped);
}

#[test]
fn a_trap_after_the_response_began_cuts_it() {
    let outcome = Filter::on("proxy_on_response_body", "(unreachable)")
        .plugin()
        .request(Request::get("/").upstream(meshwright_wasm_host::Response::new(200).body("x")))
        .run()
        .unwrap();
    let client = outcome.client_response.unwrap();
    assert_eq!((client.status(), client.complete, outcome.ended), (Some(200), false, Ended::Trapped));
}

#[test]
fn a_loop_is_stopped() {
    let limits = Limits { callback: Duration::from_millis(50), ..Limits::default() };
    let started = Instant::now();
    trapped(&Filter::on("proxy_on_request_headers", "(loop $l (br $l)) #0").plugin().limits(limits), TrapKind::Deadline);
    // A loop of calls stops as well, and what it left behind is bounded.
    let outcome = trapped(
        &Filter::on("proxy_on_request_headers", "(loop $l (call $log #2 #0 #0) (br $l)) #0").plugin().limits(limits),
        TrapKind::Deadline,
    );
    assert!(outcome.report.trace.len() <= 100_000);
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn memory_and_stack_have_an_end() {
    let limits = Limits { memory: 8 << 20, ..Limits::default() };
    // Grows until it is refused.
    let filter = Filter::on("proxy_on_request_headers", "(loop $l (br_if $l (i32.ge_s (memory.grow #1) #0))) #0");
    let outcome = filter.plugin().limits(limits).request(Request::get("/")).run().unwrap();
    assert_eq!((outcome.ended, outcome.report.cost.memory), (Ended::Completed, 8 << 20));
    let start = filter.plugin().limits(Limits { memory: 1 << 16, ..Limits::default() }).start().unwrap_err();
    assert!(matches!(start, StartError::Instantiate(_)), "{start}");
    let recursive = r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 0))
        (func $down (param i32) (result i32) (i32.add (call $down (local.get 0)) (i32.const 1)))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $down (i32.const 0))))"#;
    trapped(&Host::load(&wat::parse_str(recursive).unwrap()).unwrap().plugin("", ""), TrapKind::StackOverflow);
}

#[test]
fn pointers_outside_memory_are_answered() {
    let body = "(call $log #2 #-8 #16) (call $log #2 #-1 #0) (call $get_header_map_value #0 #2000000 #4 #0 #4)
        (call $get_header_map_value #0 {:path} #-2 #4) (call $get_property {request\0path} #0 #-2) (call $set_property #-1 #1 #0 #0)
        (call $get_current_time_nanoseconds #-4) (call $define_metric #0 #-1 #-1 #0) #0";
    let outcome = Filter::on("proxy_on_request_headers", body).plugin().request(Request::get("/")).run().unwrap();
    let oob = INVALID_MEMORY_ACCESS;
    assert_eq!(statuses(&outcome.report, "log"), [oob, OK]);
    assert_eq!(statuses(&outcome.report, "get_header_map_value"), [oob, oob]);
    for function in ["get_property", "set_property", "get_current_time_nanoseconds", "define_metric"] {
        assert_eq!(statuses(&outcome.report, function), [oob], "{function}");
    }
    assert_eq!((outcome.ended, outcome.report.traps.len()), (Ended::Completed, 0));
}

#[test]
fn the_allocator_may_only_log() {
    let read = "(call $get_header_map_value #0 {:path} #0 #4) #0";
    let log = Filter::on("malloc", "(call $log #2 {in malloc}) #2048").and("proxy_on_request_headers", read);
    assert_eq!(logged(&log.plugin().request(Request::get("/")).run().unwrap().report), ["in malloc"]);
    let more = Filter::on("malloc", "(call $done) #2048").and("proxy_on_request_headers", read);
    trapped(&more.plugin(), TrapKind::Restricted);
    let none = Filter::on("malloc", "#0").and("proxy_on_request_headers", read);
    let outcome = none.plugin().request(Request::get("/")).run().unwrap();
    assert_eq!(statuses(&outcome.report, "get_header_map_value"), [INVALID_MEMORY_ACCESS]);
    let wild = Filter::on("malloc", "#-16").and("proxy_on_request_headers", read);
    let outcome = wild.plugin().request(Request::get("/")).run().unwrap();
    assert_eq!(outcome.ended, Ended::Completed);
}

#[test]
fn initialisation_may_only_log() {
    let log = Filter::on("_initialize", "(call $log #2 {hello})");
    assert_eq!(logged(&log.plugin().start().unwrap().take_report()), ["hello"]);
    let error = Filter::on("_initialize", "(call $set_tick_period_milliseconds #1)").plugin().start().unwrap_err();
    let StartError::Trapped(report) = &error else { panic!("{error}") };
    assert_eq!(report.traps[0].kind, TrapKind::Restricted);
    assert!(error.to_string().contains("restricted_callback"), "{error}");
}
