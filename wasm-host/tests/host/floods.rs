//! A guest that calls or keeps without end takes neither the host's memory nor its time: one error says so.

use std::fmt::Write as _;
use std::time::Duration;

use meshwright_wasm_host::{Answer, Ended, Grpc, Host, Limits, Outcome, Plugin, Request, Response, Severity, Tcp, TrapKind, Upstream};

use crate::support::*;

/// Little, so that the end comes soon; what is done at the end is the same.
const LITTLE: Limits = Limits { memory: 64 << 20, host_memory: 16 << 20, callback: Duration::from_secs(60) };

fn flooded(outcome: &Outcome, callback: &str) {
    let traps: Vec<_> = outcome.report.traps.iter().map(|trap| (trap.callback, trap.kind)).collect();
    assert_eq!(traps, [(callback, TrapKind::Flood)], "{:?}", outcome.report.traps);
    let message = outcome.report.traps[0].to_string();
    assert!(message.contains("calls without end, or hands over too much"), "{message}");
    assert_eq!((outcome.ended, outcome.status()), (Ended::Trapped, Some(503)));
}

fn run(plugin: Plugin) -> Outcome {
    plugin.limits(LITTLE).request(Request::get("/")).run().unwrap()
}

#[test]
fn whatever_can_be_kept_has_an_end() {
    let names = "(local $n i32) (loop $l (local.set $n (i32.add (local.get $n) #1)) (i32.store #3000 (local.get $n))";
    for call in [
        "(call $set_shared_data #3000 #4 #0 #60000 #0)",
        "(call $set_property #3000 #4 #0 #60000)",
        "(call $enqueue_shared_queue #1 #0 #60000)",
        "(call $add_header_map_value #0 #3000 #4 #0 #60000)",
        "(call $define_metric #0 #3000 #4 #2000)",
        "(call $set_tick_period_milliseconds #1000)",
        "(call $http_call {c} {\x03\0\0\0\x07\0\0\0\x01\0\0\0\x05\0\0\0\x01\0\0\0\x0a\0\0\0\x01\0\0\0:method\0G\0:path\0/\0:authority\0a\0} #0 #0 #0 #0 #0 #2000)",
        "(call $log #2 #0 #60000)",
        "(call $set_buffer_bytes #0 #1000000 #0 #0 #60000)",
        "(call $get_property {request\0path} #2000 #2004)",
        "(call $register_shared_queue #3000 #4 #2000)",
    ] {
        let body = format!("{names} {call} (br $l)) #0");
        let filter = Filter::on("proxy_on_request_headers", &body)
            .and("malloc", "#8192")
            .and("proxy_on_configure", "(call $register_shared_queue {q} #0) #1");
        let cluster = Upstream::new(Answer::response(Response::new(200)).after(Duration::from_secs(9)));
        flooded(&run(filter.plugin().upstream("c", cluster)), "proxy_on_request_headers");
    }
}

#[test]
fn so_have_callbacks_that_lead_to_each_other() {
    // Each answer is asked for again.
    let ask = "(call $http_call {c} {\x03\0\0\0\x07\0\0\0\x01\0\0\0\x05\0\0\0\x01\0\0\0\x0a\0\0\0\x01\0\0\0:method\0G\0:path\0/\0:authority\0a\0} #0 #0 #0 #0 #0 #2000)";
    let filter = Filter::on("proxy_on_request_headers", &format!("{ask} #1")).and("proxy_on_http_call_response", ask);
    let outcome = run(filter.plugin().upstream("c", Upstream::new(Answer::response(Response::new(200)))));
    flooded(&outcome, "proxy_on_http_call_response");
    // A root that is never done, but ticks.
    let filter = Filter::on("proxy_on_done", "(call $set_tick_period_milliseconds #1) #0").and("proxy_on_tick", "");
    let report = filter.plugin().limits(LITTLE).start().unwrap().shut_down();
    assert_eq!(report.traps.iter().map(|trap| trap.kind).collect::<Vec<_>>(), [TrapKind::Flood]);
}

#[test]
fn one_call_can_hand_over_only_so_much() {
    // A thousand vectors of the same 32 MiB; a path of 32 MiB of nothing.
    let wasm = wat::parse_str(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1000)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 1024))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $at i32)
          (local.set $at (i32.const 1048576))
          (loop $next
            (i32.store (local.get $at) (i32.const 0))
            (i32.store offset=4 (local.get $at) (i32.const 33554432))
            (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 1056576))))
          (drop (call $fd_write (i32.const 1) (i32.const 1048576) (i32.const 1000) (i32.const 0)))
          (drop (call $get_property (i32.const 2097152) (i32.const 33554432) (i32.const 0) (i32.const 4)))
          (i32.const 0)))"#,
    );
    let plugin = Host::load(&wasm.unwrap()).unwrap().plugin("", "").limits(Limits { host_memory: 1 << 30, memory: 80 << 20, ..LITTLE });
    let outcome = plugin.request(Request::get("/")).run().unwrap();
    assert_eq!((outcome.ended, outcome.report.dropped, outcome.report.logs.len()), (Ended::Completed, 1, 0));
    assert_eq!(statuses(&outcome.report, "get_property"), [NOT_FOUND]);
}

#[test]
fn a_trap_in_any_callback_is_one_error() {
    let all = [
        "_initialize",
        "proxy_on_context_create",
        "proxy_on_vm_start",
        "proxy_on_configure",
        "proxy_on_request_headers",
        "proxy_on_request_body",
        "proxy_on_request_trailers",
        "proxy_on_response_headers",
        "proxy_on_response_body",
        "proxy_on_response_trailers",
        "proxy_on_log",
        "proxy_on_done",
        "proxy_on_delete",
    ];
    let request = || Request::post("/").body("a").trailer("t", "v").upstream(Response::new(200).body("b").trailer("u", "w"));
    let mut every = Filter::on("malloc", "(unreachable)");
    for name in all {
        every = every.and(name, "(unreachable)");
        match Filter::on(name, "(unreachable)").plugin().request(request()).run() {
            Ok(outcome) => {
                let traps: Vec<_> = outcome.report.traps.iter().map(|trap| trap.callback).collect();
                assert_eq!((traps, outcome.ended), (vec![name], Ended::Trapped));
            }
            Err(error) => assert!(error.to_string().starts_with(&format!("{name} trapped: ")), "{error}"),
        }
    }
    let error = every.plugin().request(request()).run().unwrap_err().to_string();
    assert!(error.starts_with("_initialize trapped: "), "{error}");
}

/// Those that come later: of connections, calls, timers and queues.
#[test]
fn a_trap_in_any_other_callback_is_one_error() {
    let pseudo = "{\x03\0\0\0\x07\0\0\0\x01\0\0\0\x05\0\0\0\x01\0\0\0\x0a\0\0\0\x01\0\0\0:method\0G\0:path\0/\0:authority\0a\0}";
    let script = || Grpc::message("m").initial_metadata("a", "b").trailing_metadata("c", "d");
    let stream = "(call $grpc_stream {c} {s} {m} #0 #0 #64)";
    let http = format!("(call $http_call {{c}} {pseudo} #0 #0 #0 #0 #0 #2000)");
    let queue = "(call $register_shared_queue {q} #0) (call $enqueue_shared_queue (i32.load (i32.const 0)) #0 #0)";
    for (name, start) in [
        ("proxy_on_http_call_response", http.as_str()),
        ("proxy_on_grpc_receive_initial_metadata", stream),
        ("proxy_on_grpc_receive", stream),
        ("proxy_on_grpc_receive_trailing_metadata", stream),
        ("proxy_on_grpc_close", stream),
        ("proxy_on_tick", "(call $set_tick_period_milliseconds #10)"),
        ("proxy_on_queue_ready", queue),
    ] {
        let answer = if name.contains("grpc") { Answer::grpc(script()) } else { Answer::response(Response::new(200)) };
        let filter = Filter::on("proxy_on_request_headers", &format!("{start} #0")).and(name, "(unreachable)");
        let mut worker = filter.plugin().upstream("c", Upstream::new(answer)).start().unwrap();
        let first = worker.request(Request::get("/")).report;
        let later = worker.advance(Duration::from_secs(1));
        let traps: Vec<_> = first.traps.iter().chain(&later.traps).map(|trap| trap.callback).collect();
        assert_eq!(traps, [name]);
        assert_eq!(worker.request(Request::get("/")).status(), Some(503), "{name}: the VM is lost");
    }
    for name in [
        "proxy_on_new_connection",
        "proxy_on_downstream_data",
        "proxy_on_upstream_data",
        "proxy_on_downstream_connection_close",
        "proxy_on_upstream_connection_close",
    ] {
        let outcome = Filter::on(name, "(unreachable)").plugin().tcp(Tcp::new().downstream("a").upstream("b")).run().unwrap();
        let traps: Vec<_> = outcome.report.traps.iter().map(|trap| trap.callback).collect();
        assert_eq!((traps, outcome.ended), (vec![name], Ended::Trapped));
    }
}

#[test]
fn a_start_function_that_loops_is_stopped() {
    let wasm = wat::parse_str(
        r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 0))
        (func $start (loop $l (br $l))) (start $start))"#,
    );
    let plugin = Host::load(&wasm.unwrap()).unwrap().plugin("", "").limits(Limits { callback: Duration::from_millis(50), ..LITTLE });
    let error = plugin.start().unwrap_err().to_string();
    assert!(error.starts_with("the module cannot be instantiated: ") && error.contains("interrupt"), "{error}");
}

#[test]
fn garbage_is_answered_whatever_it_is() {
    let garbage = [0_i32, 1, 3, 7, 8191, 262_143, 262_144, -1, -4, -8, i32::MIN, i32::MAX];
    let mut body = String::new();
    for a in garbage {
        for b in garbage {
            let calls =
                "(call $get_header_map_pairs #0 #A #B) (call $get_buffer_bytes #7 #A #B #A #B) (call $set_buffer_bytes #0 #A #B #A #B)
                (call $set_header_map_pairs #2 #A #B) (call $get_property #A #B #A #B) (call $call_foreign_function #A #B #A #B #A #B)
                (call $http_call #A #B #A #B #A #B #A #B #A #B) (call $grpc_call #A #B #A #B #A #B #A #B #A #B #A #B)
                (call $grpc_stream #A #B #A #B #A #B #A #B #A) (call $get_shared_data #A #B #A #B #A) (call $set_shared_data #A #B #A #B #A)
                (call $dequeue_shared_queue #A #A #B) (call $get_metric #A #B) (call $get_status #A #B #A)";
            body.push_str(&calls.replace("#A", &format!("#{a}")).replace("#B", &format!("#{b}")));
        }
    }
    for (index, returned) in garbage.iter().enumerate() {
        let mut filter = Filter::on("proxy_on_request_headers", &format!("{body} #{returned}")).and("malloc", &format!("#{returned}"));
        if index % 2 == 0 {
            filter = filter.and("proxy_on_response_headers", &format!("#{returned}"));
        }
        let outcome = filter.plugin().request(Request::get("/")).run().unwrap();
        assert_eq!(outcome.report.traps, [], "{returned}");
        // What Envoy itself does not survive is told as that.
        let told = outcome.report.misuse.iter().any(|misuse| misuse.severity() == Severity::Critical);
        let ended = outcome.ended;
        assert!(matches!(ended, Ended::Completed | Ended::Hung) || ended == Ended::EnvoyCrash && told, "{returned}: {ended:?}");
    }
    let mut text = String::new();
    write!(text, "{}", Host::load(b"\0asm garbage").unwrap_err()).unwrap();
    assert!(text.starts_with("not a valid WebAssembly module: ") && text.lines().count() == 1, "{text}");
}
