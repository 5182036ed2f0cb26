//! The filter host's parsers: modules, maps, properties, scenario files; and a filter in exchanges that are made of any bytes.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use meshwright_filter_test::{Inspection, Scenario};
use meshwright_wasm_host::{AttributePath, Engine, Headers, Host, Limits, Plugin, Request, Value};

/// Nothing longer is compiled: how long that takes is not what is looked for.
const LONGEST_MODULE: usize = 16 << 10;
const LIMITS: Limits = Limits { memory: 16 << 20, host_memory: 1 << 20, callback: Duration::from_millis(20) };

/// Reads and writes all that it can get hold of, wherever it is called.
const BUSY: &str = r#"(module
    (import "env" "proxy_get_header_map_pairs" (func $get_map (param i32 i32 i32) (result i32)))
    (import "env" "proxy_set_header_map_pairs" (func $set_map (param i32 i32 i32) (result i32)))
    (import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_buffer_bytes" (func $set_buffer (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (memory (export "memory") 4) (global $heap (mut i32) (i32.const 65536))
    (data (i32.const 64) "request\00headers\00x-a")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (global.get $heap)
      (global.set $heap (i32.and (i32.const 131071) (i32.add (global.get $heap) (local.get 0)))))
    (func $map (param i32)
      (drop (call $get_map (local.get 0) (i32.const 0) (i32.const 4)))
      (drop (call $set_map (local.get 0) (i32.load (i32.const 0)) (i32.load (i32.const 4)))))
    (func $body (param i32) (result i32)
      (drop (call $get_buffer (local.get 0) (i32.const 0) (i32.const 64) (i32.const 0) (i32.const 4)))
      (drop (call $set_buffer (local.get 0) (i32.const 0) (i32.const 1) (i32.load (i32.const 0)) (i32.load (i32.const 4))))
      (drop (call $get_property (i32.const 64) (i32.const 19) (i32.const 0) (i32.const 4)))
      (drop (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4))))
      (i32.const 0))
    (func (export "proxy_on_configure") (param i32 i32) (result i32) (drop (call $body (i32.const 7))) (i32.const 1))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $map (i32.const 0)) (i32.const 0))
    (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (call $body (i32.const 0)))
    (func (export "proxy_on_request_trailers") (param i32 i32) (result i32) (call $map (i32.const 1)) (i32.const 0))
    (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $map (i32.const 2)) (i32.const 0))
    (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (call $body (i32.const 1)))
    (func (export "proxy_on_response_trailers") (param i32 i32) (result i32) (call $map (i32.const 3)) (i32.const 0))
    (func (export "proxy_on_log") (param i32) (call $map (i32.const 0))))"#;

static ENGINE: LazyLock<Option<Engine>> = LazyLock::new(|| Engine::new().ok());
static MODULE: LazyLock<Vec<u8>> = LazyLock::new(|| wat::parse_str(BUSY).unwrap_or_default());
static HOST: LazyLock<Option<Host>> = LazyLock::new(|| Host::load_on(ENGINE.as_ref()?, &MODULE).ok());

fn plugin(host: &Host) -> Plugin {
    host.plugin("", "configuration").limits(LIMITS)
}

/// A module: it is refused in one line, or runs within its limits.
pub fn module(bytes: &[u8]) {
    if bytes.len() > LONGEST_MODULE {
        return;
    }
    let Some(engine) = ENGINE.as_ref() else { return };
    match Host::load_on(engine, bytes) {
        Ok(host) => {
            let request = Request::post("/").header("x-a", "1").body("body").trailer("t", "v");
            match plugin(&host).request(request).run() {
                Ok(outcome) => assert!(outcome.report.traps.iter().all(|trap| !trap.message.is_empty()), "a trap says something"),
                Err(error) => assert!(!error.to_string().is_empty(), "an error says something"),
            }
            let found = Inspection::of(bytes);
            assert_eq!(found.size, bytes.len(), "and it is looked into");
        }
        Err(error) => assert!(!error.to_string().is_empty(), "an error says something"),
    }
}

/// A module that is nearly good: three bytes are a place in it and what is put there.
pub fn changed_module(changes: &[u8]) {
    let mut bytes = MODULE.clone();
    let len = bytes.len().max(1);
    for change in changes.as_chunks::<3>().0 {
        let [high, low, value] = *change;
        let place = usize::from(u16::from_be_bytes([high, low])) % len;
        if let Some(byte) = bytes.get_mut(place) {
            *byte = value;
        }
    }
    module(&bytes);
}

/// A map as a guest hands it over.
pub fn map_encoding(bytes: &[u8]) {
    let Some(headers) = Headers::parse(bytes) else { return };
    assert!(headers.len() <= bytes.len() / 10, "no more pairs than there are bytes for");
    let again = Headers::parse(&headers.serialize());
    assert_eq!(again, Some(headers), "what is written is what was read");
}

/// An attribute's path, its value, and what the guest gets of it.
pub fn property(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let path = AttributePath::from(&*text);
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    let map = Value::Map([(head.to_vec(), Value::from(tail)), (tail.to_vec(), Value::from(head))].into());
    let list = Value::List(vec![Value::from(head), Value::from(true), Value::from(1), Value::from(tail)]);
    for (value, pairs) in [(map, if head == tail { 1 } else { 2 }), (list, 4)] {
        let encoded = value.encode().ok().and_then(|bytes| Headers::parse(&bytes));
        assert_eq!(encoded.map(|headers| headers.len()), Some(pairs), "a map's form");
        let Some(host) = HOST.as_ref() else { return };
        let request = Request::post("/").body("b").property(path.clone(), value);
        assert!(plugin(host).request(request).run().is_ok(), "it starts");
    }
}

/// A filter in an exchange made of these bytes, with faults: it ends, and the host has no trap of its own making.
pub fn exchange(bytes: &[u8]) {
    let Some(host) = HOST.as_ref() else { return };
    if let Ok(outcome) = plugin(host).run_arbitrary(bytes) {
        assert_eq!(outcome.report.traps, [], "this filter does not trap");
    }
}

/// A scenario file.
pub fn scenario(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Scenario::parse(Path::new("fuzz.yaml"), &text) {
        Ok(scenarios) => assert!(scenarios.iter().all(|scenario| scenario.name().starts_with("fuzz.yaml")), "each has a name"),
        Err(error) => assert!(error.to_string().contains("fuzz.yaml"), "an error names the file: {error}"),
    }
}
