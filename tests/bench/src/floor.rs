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
