use std::time::Duration;

use meshwright_wasm_host::{Host, Request};

use crate::support::*;

#[test]
fn ticks_come_at_their_time_until_stopped() {
    let tick = "(call $get_current_time_nanoseconds #16) (call $record_metric (i32.load #8) (i64.load #16))
        (if (i64.ge_u (i64.load #16) (i64.const 3000000)) (then (call $set_tick_period_milliseconds #0)))";
    let filter = Filter::on("proxy_on_configure", "(call $define_metric #2 {at} #8) (call $set_tick_period_milliseconds #1) #1")
        .and("proxy_on_tick", tick);
    let mut worker = filter.plugin().now(Duration::ZERO).start().unwrap();
    let report = worker.advance(Duration::from_micros(2500));
    assert_eq!(report.metrics["at"].records, [1_000_000, 2_000_000]);
    let report = worker.advance(Duration::from_secs(1));
    assert_eq!(report.metrics["at"].records, [1_000_000, 2_000_000, 3_000_000]);
}

#[test]
fn setting_the_period_again_starts_anew() {
    let filter = Filter::on("proxy_on_configure", "(call $set_tick_period_milliseconds #10) (call $set_tick_period_milliseconds #30) #1")
        .and("proxy_on_tick", "");
    let mut worker = filter.plugin().start().unwrap();
    assert_eq!(callbacks(&worker.advance(Duration::from_millis(29))), ["configure"]);
    assert_eq!(callbacks(&worker.advance(Duration::from_millis(31))), ["tick", "tick"]);
}

#[test]
fn a_stream_waits_for_a_tick_but_not_for_ever() {
    let filter = Filter::on("proxy_on_request_headers", "(call $set_tick_period_milliseconds #60000) #1").and("proxy_on_tick", "");
    let outcome = filter.plugin().request(Request::get("/")).run().unwrap();
    assert_eq!(callbacks(&outcome.report), ["request_headers", "tick", "tick", "tick", "tick", "tick"]);
}

const WASI: &str = r#"(module
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_unstable" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
    (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 100) "hello\n")
    (func (export "proxy_abi_version_0_2_0")) (func (export "malloc") (param i32) (result i32) (i32.const 512))
    (func $save (param $at i32) (param $len i32) (drop (call $set (i32.const 100) (i32.const 1) (local.get $at) (local.get $len) (i32.const 0))))
    (func $fail (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then (unreachable))))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (call $fail (i32.const 0) (call $random (i32.const 200) (i32.const 8)))
      (call $fail (i32.const 28) (call $random (i32.const 200) (i32.const 65537)))
      (call $fail (i32.const 21) (call $random (i32.const -4) (i32.const 8)))
      (call $fail (i32.const 0) (call $clock (i32.const 1) (i64.const 0) (i32.const 208)))
      (call $fail (i32.const 58) (call $clock (i32.const 2) (i64.const 0) (i32.const 208)))
      (call $fail (i32.const 44) (call $open (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i64.const 0)
        (i32.const 0) (i32.const 0)))
      (i32.store (i32.const 300) (i32.const 100)) (i32.store (i32.const 304) (i32.const 2))
      (i32.store (i32.const 308) (i32.const 102)) (i32.store (i32.const 312) (i32.const 4))
      (call $fail (i32.const 0) (call $write (i32.const 1) (i32.const 300) (i32.const 2) (i32.const 316)))
      (call $fail (i32.const 8) (call $write (i32.const 3) (i32.const 300) (i32.const 2) (i32.const 316)))
      (call $fail (i32.const 6) (i32.load (i32.const 316)))
      (call $fail (i32.const 0) (call $sizes (i32.const 320) (i32.const 324)))
      (call $fail (i32.const 2) (i32.load (i32.const 320)))
      (call $fail (i32.const 9) (i32.load (i32.const 324)))
      (call $fail (i32.const 0) (call $environ (i32.const 216) (i32.const 224)))
      (call $save (i32.const 200) (i32.const 34))
      (i32.const 1)))"#;

#[test]
fn wasi_is_the_hosts_clock_seed_log_and_environment() {
    let host = Host::load(&wat::parse_str(WASI).unwrap()).unwrap();
    let run = |seed: u64| {
        let shared = meshwright_wasm_host::Shared::new();
        let plugin = host.plugin("", "").now(Duration::from_nanos(7)).seed(seed).shared(&shared);
        let report = plugin.environment("A", "12").environment("B", "3").start().unwrap().take_report();
        assert_eq!(logged(&report), ["hello"]);
        shared.get("", "h").unwrap()
    };
    let (first, second) = (run(1), run(2));
    assert_eq!(first, run(1));
    assert_ne!(first[..8], second[..8]);
    assert_eq!(first[8..16], 7_u64.to_le_bytes());
    let pointers = [224_u32, 229].map(u32::to_le_bytes).concat();
    assert_eq!(first[16..24], pointers);
    assert_eq!(&first[24..33], b"A=12\0B=3\0");
}
