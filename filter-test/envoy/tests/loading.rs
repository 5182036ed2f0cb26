//! Which modules load: what `Inspection` says Envoy would refuse, a real Envoy refuses, and nothing else.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::PathBuf;
use std::time::Duration;

use meshwright_filter_envoy::{Case, EnvoyError, Exchange, Options, Reply, Traffic, run};
use meshwright_wasm_host::{Inspection, LogLevel};

const MARKER: &str = r#"(func (export "proxy_abi_version_0_2_1"))"#;
const MEMORY: &str = r#"(memory (export "memory") 1)"#;
const MALLOC: &str = r#"(func (export "malloc") (param i32) (result i32) (i32.const 1024))"#;

/// A module with all that each needs, and more; imports go first.
fn with(imports: &str, rest: &str) -> String {
    format!("(module {imports} {MARKER} {MEMORY} {MALLOC} {rest})")
}

fn body(text: &str) -> String {
    with("", &format!(r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {text} (i32.const 0))"#))
}

/// Name and text of modules that are WebAssembly.
fn texts() -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("the least", with("", "")),
        ("no marker", format!("(module {MEMORY} {MALLOC})")),
        ("an unknown marker", format!(r#"(module (func (export "proxy_abi_version_0_3_0")) {MEMORY} {MALLOC})"#)),
        (
            "a marker that is no function",
            format!(r#"(module (global (export "proxy_abi_version_0_2_1") i32 (i32.const 0)) {MEMORY} {MALLOC})"#),
        ),
        ("two markers", with("", r#"(func (export "proxy_abi_version_0_1_0"))"#)),
        ("no allocator", format!("(module {MARKER} {MEMORY})")),
        (
            "the other allocator",
            format!(r#"(module {MARKER} {MEMORY} (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 0)))"#),
        ),
        ("an allocator that is no function", format!(r#"(module {MARKER} {MEMORY} (global (export "malloc") i32 (i32.const 0)))"#)),
        (
            "an allocator of another type",
            format!(r#"(module {MARKER} {MEMORY} (func (export "malloc") (param i64) (result i32) (i32.const 0)))"#),
        ),
        ("no memory", format!("(module {MARKER} {MALLOC})")),
        ("a memory that is not exported", format!("(module {MARKER} {MALLOC} (memory 1))")),
        ("a memory by another name", format!(r#"(module {MARKER} {MALLOC} (memory (export "mem") 1))"#)),
        ("more memory than there is", format!(r#"(module {MARKER} {MALLOC} (memory (export "memory") 16385))"#)),
        ("all memory that there is", format!(r#"(module {MARKER} {MALLOC} (memory (export "memory") 16384))"#)),
        ("a higher maximum than there is", format!(r#"(module {MARKER} {MALLOC} (memory (export "memory") 1 65536))"#)),
        ("an unknown custom section", with("", r#"(@custom "nobody" "abc")"#)),
        ("a corrupt name section", with("", r#"(@custom "name" "\01\ff\ff")"#)),
        ("a function called in the start function", with("", "(func $start) (start $start)")),
        ("a start function that traps", with("", "(func $start unreachable) (start $start)")),
        ("_initialize that traps", with("", r#"(func (export "_initialize") unreachable)"#)),
        ("_start that traps", with("", r#"(func (export "_start") unreachable)"#)),
        ("_start that traps beside _initialize", with("", r#"(func (export "_initialize")) (func (export "_start") unreachable)"#)),
        ("main that traps without _initialize", with("", r#"(func (export "main") (param i32 i32) (result i32) unreachable)"#)),
    ];
    all.extend(imports());
    all.extend(exports());
    all.extend(features());
    all
}

fn imports() -> Vec<(&'static str, String)> {
    let import = |module: &str, name: &str, kind: &str| with(&format!(r#"(import "{module}" "{name}" {kind})"#), "");
    let of_old = format!(
        r#"(module (import "env" "proxy_continue_stream" (func (param i32) (result i32))) (func (export "proxy_abi_version_0_1_0")) {MEMORY} {MALLOC})"#
    );
    let level = format!(
        r#"(module (import "env" "proxy_get_log_level" (func (param i32) (result i32))) (func (export "proxy_abi_version_0_2_0")) {MEMORY} {MALLOC})"#
    );
    vec![
        ("an import that is there", import("env", "proxy_log", "(func (param i32 i32 i32) (result i32))")),
        ("an unknown function", import("env", "proxy_nobody", "(func)")),
        ("a function of an unknown module", import("nowhere", "proxy_log", "(func (param i32 i32 i32) (result i32))")),
        ("a function of the old ABI", import("env", "proxy_get_configuration", "(func (param i32 i32) (result i32))")),
        ("a function that the old ABI has not", of_old),
        ("the log level in 0.2.0", level),
        ("a function with a parameter less", import("env", "proxy_log", "(func (param i32 i32) (result i32))")),
        ("a function with another parameter", import("env", "proxy_log", "(func (param i64 i32 i32) (result i32))")),
        ("a function without its result", import("env", "proxy_log", "(func (param i32 i32 i32))")),
        ("Envoy's own function", import("env", "envoy_resolve_dns", "(func (param i32 i32 i32) (result i32))")),
        ("a function of threads", import("env", "pthread_equal", "(func (param i32 i32) (result i32))")),
        ("a function of Emscripten", import("env", "emscripten_notify_memory_growth", "(func (param i32))")),
        ("a function of AssemblyScript", import("env", "abort", "(func (param i32 i32 i32 i32))")),
        ("WASI", import("wasi_snapshot_preview1", "fd_write", "(func (param i32 i32 i32 i32) (result i32))")),
        ("WASI of old", import("wasi_unstable", "fd_write", "(func (param i32 i32 i32 i32) (result i32))")),
        ("WASI that nobody knows", import("wasi_snapshot_preview1", "fd_nobody", "(func)")),
        ("WASI's sockets", import("wasi_snapshot_preview1", "sock_accept", "(func (param i32 i32 i32) (result i32))")),
        ("WASI with another type", import("wasi_snapshot_preview1", "fd_write", "(func (param i32) (result i32))")),
        ("an imported global", import("env", "g", "(global i32)")),
        ("an imported table", import("env", "t", "(table 1 funcref)")),
        ("an imported memory", format!(r#"(module (import "env" "memory" (memory 1)) {MARKER} {MALLOC})"#)),
    ]
}

fn exports() -> Vec<(&'static str, String)> {
    let export = |name: &str, kind: &str| with("", &format!(r#"(func (export "{name}") {kind})"#));
    vec![
        ("a callback with a parameter less", export("proxy_on_request_headers", "(param i32 i32) (result i32) (i32.const 0)")),
        ("a callback with another parameter", export("proxy_on_request_headers", "(param i32 i32 i64) (result i32) (i32.const 0)")),
        ("a callback without its result", export("proxy_on_request_headers", "(param i32 i32 i32)")),
        ("a callback with a result too many", export("proxy_on_log", "(param i32) (result i32) (i32.const 0)")),
        ("a callback that nobody calls", export("proxy_on_nobody", "")),
        ("a callback that is no function", with("", r#"(global (export "proxy_on_log") i32 (i32.const 0))"#)),
        ("Envoy's own callback with another type", export("envoy_on_resolve_dns", "(param i32)")),
        ("statistics with another type", export("envoy_on_stats_update", "(param i32)")),
        ("_start with a parameter", export("_start", "(param i32)")),
        ("_initialize with a result", export("_initialize", "(result i32) (i32.const 0)")),
        ("main without parameters", export("main", "(result i32) (i32.const 0)")),
        (
            "main without parameters beside _initialize",
            with("", r#"(func (export "_initialize")) (func (export "main") (result i32) (i32.const 0))"#),
        ),
        ("__main_void without a result beside _initialize", with("", r#"(func (export "_initialize")) (func (export "__main_void"))"#)),
        ("_start with a parameter beside _initialize", with("", r#"(func (export "_initialize")) (func (export "_start") (param i32))"#)),
        ("__main_void without a result", export("__main_void", "")),
        ("a validation with another type", export("proxy_validate_configuration", "")),
    ]
}

/// What WebAssembly has beyond its first version.
fn features() -> Vec<(&'static str, String)> {
    vec![
        ("sign extension", body("(drop (i32.extend8_s (i32.const 1)))")),
        ("saturating conversions", body("(drop (i32.trunc_sat_f32_s (f32.const 1)))")),
        ("several values", with("", "(func (result i32 i32) (i32.const 1) (i32.const 2))")),
        ("bulk memory", body("(memory.fill (i32.const 0) (i32.const 0) (i32.const 1))")),
        ("reference types", with("", "(table 1 externref)")),
        ("vectors", body("(drop (i8x16.add (v128.const i64x2 0 0) (v128.const i64x2 0 0)))")),
        ("relaxed vectors", body("(drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0)))")),
        ("tail calls", with("", "(func $f (return_call $f))")),
        ("extended constants", with("", "(global i32 (i32.add (i32.const 1) (i32.const 2)))")),
        ("atomics", body("(drop (i32.atomic.load (i32.const 0)))")),
        ("a shared memory", format!(r#"(module {MARKER} {MALLOC} (memory (export "memory") 1 2 shared))"#)),
        ("two memories", with("", "(memory 1)")),
        ("two exported memories", with("", r#"(memory (export "second") 1)"#)),
        ("a memory of 64 bits", format!(r#"(module {MARKER} {MALLOC} (memory (export "memory") i64 1))"#)),
        ("a second memory of 64 bits", with("", "(memory i64 1)")),
        ("typed function references", with("", "(type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0)))")),
        ("garbage collection", with("", "(type $s (struct (field i32))) (func (drop (struct.new $s (i32.const 1))))")),
        ("exceptions", with("", "(tag $e) (func (throw $e))")),
        ("exceptions that are caught", with("", "(tag $e) (func (block $h (try_table (catch $e $h) (throw $e))))")),
        ("wide arithmetic", with("", "(func (result i64 i64) (i64.add128 (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1)))")),
        ("pages of another size", format!(r#"(module {MARKER} {MALLOC} (memory (export "memory") 1 1 (pagesize 1)))"#)),
    ]
}

fn case(index: usize, wasm: Vec<u8>) -> Case {
    let headers = [(":authority", "a.test"), (":path", "/"), (":method", "GET")].into_iter().collect();
    let reply = Reply::Response {
        headers: [(":status", "200")].into_iter().collect(),
        chunks: Vec::new(),
        trailers: [("", ""); 0].into_iter().collect(),
        after: Duration::ZERO,
    };
    Case {
        name: "probe".to_owned(),
        vm_id: format!("vm-{index}"),
        wasm,
        traffic: Traffic::Http(Exchange { headers, reply, ..Exchange::default() }),
        patience: Duration::from_secs(4),
        ..Case::default()
    }
}

/// What Envoy says against the modules together; `None` is nothing.
fn refused(cases: &[Case], options: &Options) -> Option<String> {
    match run(cases, options) {
        Ok(_) => None,
        Err(EnvoyError::NotStarted(words)) => Some(words),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn envoy_refuses_what_inspection_says() {
    let fallback = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/envoy/1.40.0/envoy"));
    let envoy = std::env::var_os("ENVOY").map_or(fallback, PathBuf::from);
    let options = Options { envoy, log_level: LogLevel::Info, pace: Duration::from_millis(1) };
    let least = wat::parse_str(with("", "")).unwrap();
    let mut modules: Vec<(&str, Vec<u8>)> =
        texts().into_iter().map(|(name, text)| (name, wat::parse_str(&text).unwrap_or_else(|error| panic!("{name}: {error}")))).collect();
    modules.extend([
        ("nothing", Vec::new()),
        ("no module", b"\x7fELF and more".to_vec()),
        ("a component", b"\0asm\x0d\0\x01\0".to_vec()),
        ("half a module", least.get(..least.len() / 2).unwrap().to_vec()),
        ("a module and more", [&least[..], b"more"].concat()),
    ]);
    let verdicts = modules.iter().enumerate().map(|(index, (name, wasm))| (*name, case(index, wasm.clone()), Inspection::of(wasm).refused));
    let (bad, good): (Vec<_>, Vec<_>) = verdicts.partition(|(_, _, refused)| refused.is_some());
    let mut wrong = Vec::new();
    let all_good: Vec<Case> = good.iter().map(|(_, case, _)| case.clone()).collect();
    if refused(&all_good, &options).is_some() {
        for (name, case, _) in &good {
            wrong.extend(refused(&[case.clone()], &options).map(|words| format!("{name}: only Envoy refuses it: {words}")));
        }
    }
    for (name, case, why) in &bad {
        if refused(&[case.clone()], &options).is_none() {
            wrong.push(format!("{name}: Envoy takes it; here: {}", why.as_deref().unwrap_or_default()));
        }
    }
    assert!(wrong.is_empty(), "{} of {} modules:\n{}", wrong.len(), modules.len(), wrong.join("\n"));
}
