//! Restricted capabilities, and host functions that are told to fail.

use meshwright_wasm_host::{Fault, FaultError, LogLevel, Request, Status};

use crate::support::*;

#[test]
fn what_is_not_allowed_is_answered_10_and_logged() {
    let filter = Filter::on("proxy_on_request_headers", "(call $add_header_map_value #0 {x} {y}) (call $log #2 {hi}) #0")
        .and("proxy_on_response_headers", "(call $log #2 {response}) #0");
    let plugin = filter.plugin().allowed_capabilities(["proxy_log", "proxy_on_request_headers"]);
    let outcome = plugin.request(Request::get("/")).run().unwrap();
    assert_eq!(statuses(&outcome.report, "add_header_map_value"), [Status::InternalFailure.code()]);
    assert_eq!(upstream_header(&outcome, "x"), None);
    assert_eq!(callbacks(&outcome.report), ["request_headers"], "callbacks are capabilities too");
    let errors: Vec<&str> = outcome.report.logged(LogLevel::Error).collect();
    assert_eq!(errors, ["Attempted call to restricted proxy-wasm capability: proxy_add_header_map_value"]);
    assert_eq!(logged(&outcome.report), ["hi"]);
}

#[test]
fn an_empty_list_restricts_nothing() {
    let plugin = Filter::on("proxy_on_request_headers", "(call $log #2 {hi}) #0").plugin().allowed_capabilities([""; 0]);
    assert_eq!(logged(&plugin.request(Request::get("/")).run().unwrap().report), ["hi"]);
}

#[test]
fn restricted_wasi_is_answered_76() {
    let wasm = wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
            (memory (export "memory") 1)
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) (i32.const 1024))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
              (if (i32.ne (call $random (i32.const 0) (i32.const 1)) (i32.const 76)) (then (unreachable)))
              (if (i32.ne (call $yield) (i32.const 76)) (then (unreachable)))
              (i32.const 0)))"#,
    )
    .unwrap();
    let plugin = meshwright_wasm_host::Host::load(&wasm).unwrap().plugin("", "").allowed_capabilities(["proxy_on_request_headers"]);
    let outcome = plugin.request(Request::get("/")).run().unwrap();
    assert_eq!((outcome.status(), outcome.report.logged(LogLevel::Error).count()), (Some(200), 2), "{:?}", outcome.report.traps);
}

#[test]
fn a_fault_replaces_the_call_every_time_or_once() {
    let body = "(call $add_header_map_value #0 {x} {1}) (call $add_header_map_value #0 {x} {2}) #0";
    let plugin = Filter::on("proxy_on_request_headers", body).plugin();
    let fault = Fault::new("proxy_add_header_map_value", Status::BadArgument).unwrap();
    let outcome = plugin.clone().fault(fault.clone()).request(Request::get("/")).run().unwrap();
    assert_eq!(statuses(&outcome.report, "add_header_map_value"), [BAD_ARGUMENT, BAD_ARGUMENT]);
    assert_eq!(upstream_header(&outcome, "x"), None);
    let outcome = plugin.fault(fault.at_call(1)).request(Request::get("/")).run().unwrap();
    assert_eq!(statuses(&outcome.report, "add_header_map_value"), [BAD_ARGUMENT, OK]);
    assert_eq!(upstream_header(&outcome, "x"), Some("2"));
}

#[test]
fn only_what_envoy_answers_can_be_told() {
    assert!(matches!(Fault::new("proxy_logs", Status::BadArgument), Err(FaultError::UnknownFunction(_))));
    let error = Fault::new("proxy_done", Status::Empty).unwrap_err().to_string();
    assert_eq!(error, "`proxy_done` never answers Empty (allowed: [NotFound, InternalFailure])");
    assert!(Fault::all().count() > 100);
    assert!(Fault::all().all(|fault| Fault::new(fault.function(), fault.status()) == Ok(fault.clone())));
}
