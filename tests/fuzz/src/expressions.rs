//! The filter host's expressions (CEL): what a guest creates, evaluates about a request, and deletes.

use std::sync::LazyLock;
use std::time::Duration;

use meshwright_wasm_host::{Host, Limits, Request};

/// Loops are counted, not timed: only an expression that does not end takes so long.
const LIMITS: Limits = Limits { memory: 16 << 20, host_memory: 4 << 20, callback: Duration::from_secs(60) };

/// Its configuration is an expression; it evaluates it twice, and then once more when it is gone.
const EVALUATING: &str = r#"(module
    (import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_call_foreign_function" (func $call (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (memory (export "memory") 4) (global $heap (mut i32) (i32.const 65536))
    (data (i32.const 64) "expr_createexpr_evaluateexpr_delete")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (global.get $heap)
      (global.set $heap (i32.and (i32.const 131071) (i32.add (global.get $heap) (local.get 0)))))
    (func $evaluate
      (i32.store (i32.const 24) (i32.const 0))
      (i32.store8 (i32.const 32) (call $call (i32.const 75) (i32.const 13) (i32.const 16) (i32.const 4) (i32.const 20) (i32.const 24)))
      (drop (call $log (i32.const 2) (i32.const 32) (i32.const 1)))
      (drop (call $log (i32.const 2) (i32.load (i32.const 20)) (i32.load (i32.const 24)))))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (drop (call $get_buffer (i32.const 7) (i32.const 0) (i32.const 65536) (i32.const 0) (i32.const 4)))
      (if (i32.eqz (call $call (i32.const 64) (i32.const 11) (i32.load (i32.const 0)) (i32.load (i32.const 4)) (i32.const 8) (i32.const 12)))
        (then (i32.store (i32.const 16) (i32.load (i32.load (i32.const 8))))))
      (i32.const 1))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (call $evaluate) (call $evaluate)
      (drop (call $call (i32.const 88) (i32.const 11) (i32.const 16) (i32.const 4) (i32.const 20) (i32.const 24)))
      (call $evaluate)
      (i32.const 0)))"#;

static HOST: LazyLock<Option<Host>> = LazyLock::new(|| Host::load(&wat::parse_str(EVALUATING).unwrap_or_default()).ok());

/// An expression: it is refused, fails or has a value, the same each time; and none of it is left. Whether it has a value.
#[must_use]
pub fn expression(bytes: &[u8]) -> bool {
    let Some(host) = HOST.as_ref() else { return false };
    let request = Request::get("/a/b?c=d").header("x-a", "1").header("cookie", "e=f");
    match host.plugin("", bytes).limits(LIMITS).request(request).run() {
        Ok(outcome) => {
            assert_eq!(outcome.report.traps, [], "an expression ends");
            let logs: Vec<&str> = outcome.report.logs.iter().map(|log| log.message.as_str()).collect();
            let evaluations = logs.as_chunks::<2>().0;
            assert_eq!(evaluations.len(), 3, "{logs:?}");
            assert_eq!(evaluations.first(), evaluations.get(1), "the same expression about the same request");
            assert!(evaluations.last().is_some_and(|[status, _]| *status != "\0"), "a deleted expression has no value");
            evaluations.first().is_some_and(|[status, _]| *status == "\0")
        }
        Err(error) => {
            assert!(!error.to_string().is_empty(), "an error says something");
            false
        }
    }
}
