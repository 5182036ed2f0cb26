//! Modules that decide nothing: what Envoy's own Wasm host costs a request, below which no module gets.

/// Has the callbacks that ours has for a request. They do nothing.
pub(crate) fn callbacks() -> anyhow::Result<Vec<u8>> {
    module("")
}

/// Makes the host calls that ours makes for a request whose token is known, too.
pub(crate) fn host_calls() -> anyhow::Result<Vec<u8>> {
    module(
        r#"(drop (call $headers (i32.const 0) (i32.const 0) (i32.const 4)))
           (drop (call $time (i32.const 8)))"#,
    )
}

/// Takes its configuration as ours does, keeps the one byte of it at `place`, and refuses requests for a path of 10 bytes that does not end
/// in that byte. Of the log's configuration, which is short, it keeps nothing. Each root context has a byte of its own: Envoy puts one that it
/// still has in place again without a word.
pub(crate) fn configured(place: usize) -> anyhow::Result<Vec<u8>> {
    let text = format!(
        r#"(module
             (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
             (import "env" "proxy_get_header_map_value" (func $header (param i32 i32 i32 i32 i32) (result i32)))
             (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
             (memory (export "memory") 128)
             (data (i32.const 1024) ":path")
             (func $kept (param $root i32) (result i32)
               (i32.add (i32.const 0x700000) (i32.and (local.get $root) (i32.const 0xffff))))
             (func $root (param $context i32) (result i32)
               (i32.add (i32.const 0x710000) (i32.shl (i32.and (local.get $context) (i32.const 0xffff)) (i32.const 2))))
             (func (export "proxy_abi_version_0_2_1"))
             (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 65536))
             (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
             (func (export "proxy_on_configure") (param $root i32) (param $size i32) (result i32)
               (drop (call $buffer (i32.const 7) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
               (if (i32.gt_u (local.get $size) (i32.const 65536))
                 (then (i32.store8 (call $kept (local.get $root)) (i32.load8_u (i32.add (i32.load (i32.const 0)) (i32.const {place}))))))
               (i32.const 1))
             (func (export "proxy_on_context_create") (param $context i32) (param $root i32)
               (i32.store (call $root (local.get $context)) (local.get $root)))
             (func (export "proxy_on_request_headers") (param $context i32) (param i32 i32) (result i32)
               (drop (call $header (i32.const 0) (i32.const 1024) (i32.const 5) (i32.const 0) (i32.const 4)))
               (if (i32.ne (i32.load (i32.const 4)) (i32.const 10)) (then (return (i32.const 0))))
               (if (i32.eq (i32.load8_u (i32.add (i32.load (i32.const 0)) (i32.const 9)))
                           (i32.load8_u (call $kept (i32.load (call $root (local.get $context))))))
                 (then (return (i32.const 0))))
               (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)))
               (i32.const 1))
             (func (export "proxy_on_log") (param i32))
             (func (export "proxy_on_delete") (param i32)))"#
    );
    Ok(wat::parse_str(text)?)
}

fn module(at_headers: &str) -> anyhow::Result<Vec<u8>> {
    let text = format!(
        r#"(module
             (import "env" "proxy_get_header_map_pairs" (func $headers (param i32 i32 i32) (result i32)))
             (import "env" "proxy_get_current_time_nanoseconds" (func $time (param i32) (result i32)))
             (memory (export "memory") 2)
             (func (export "proxy_abi_version_0_2_1"))
             (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 65536))
             (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
             (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
             (func (export "proxy_on_context_create") (param i32 i32))
             (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {at_headers} (i32.const 0))
             (func (export "proxy_on_log") (param i32))
             (func (export "proxy_on_delete") (param i32)))"#
    );
    Ok(wat::parse_str(text)?)
}
