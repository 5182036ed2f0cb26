use meshwright_wasm_host::{AbiVersion, Engine, Host, LoadError, Request, StartError};

use crate::support::*;

fn load(fields: &str) -> Result<Host, LoadError> {
    let malloc = "(func (export \"malloc\") (param i32) (result i32) (i32.const 16))";
    Host::load(&wat::parse_str(format!("(module {fields} (memory (export \"memory\") 1) {malloc})")).unwrap())
}

#[test]
fn what_envoy_would_not_load_is_refused_in_plain_words() {
    let abi = "(func (export \"proxy_abi_version_0_2_1\"))";
    for (fields, expected) in [
        (String::new(), "the module exports no ABI version that is known; it must export one of `proxy_abi_version_0_1_0`, "),
        ("(func (export \"proxy_abi_version_0_3_0\"))".to_owned(), "the module exports no ABI version that is known"),
        (
            format!("(import \"env\" \"proxy_get_configuration\" (func (param i32 i32) (result i32))) (import \"x\" \"y\" (func)) {abi}"),
            "the module imports what a host of ABI 0.2.1 does not have: `env.proxy_get_configuration`, `x.y`",
        ),
        (format!("(import \"env\" \"proxy_log\" (func (param i32))) {abi}"), "the module cannot be linked: "),
        (
            format!("{abi} (func (export \"proxy_on_log\") (param i64))"),
            "export `proxy_on_log` has type (i64) -> (), the ABI says (i32) -> ()",
        ),
    ] {
        let error = load(&fields).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    // What is no function is no callback.
    load(&format!("{abi} (global (export \"proxy_on_log\") i32 (i32.const 1))")).unwrap();
    let no_malloc = wat::parse_str(format!("(module {abi} (memory (export \"memory\") 1))")).unwrap();
    assert!(matches!(Host::load(&no_malloc), Err(LoadError::NoAllocator)));
    for bytes in [&b""[..], b"not wasm", b"\0asm\x01\0\0\0\xff", b"(module)"] {
        assert!(matches!(Host::load(bytes), Err(LoadError::Invalid(_))), "{bytes:?}");
    }
}

#[test]
fn imports_are_those_of_the_version() {
    let level = "(import \"env\" \"proxy_get_log_level\" (func (param i32) (result i32)))";
    assert!(matches!(load(&format!("{level} (func (export \"proxy_abi_version_0_2_0\"))")), Err(LoadError::MissingImports { .. })));
    let host = load(&format!("{level} (func (export \"proxy_abi_version_0_2_1\"))")).unwrap();
    assert_eq!(host.abi_version(), AbiVersion::V0_2_1);
}

#[test]
fn the_oldest_version_has_its_own_functions_and_shorter_callbacks() {
    let text = r#"(module
        (import "env" "proxy_get_configuration" (func $configuration (param i32 i32) (result i32)))
        (import "env" "proxy_continue_request" (func $continue (result i32)))
        (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 100) "none")
        (func (export "proxy_abi_version_0_1_0"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (drop (call $configuration (i32.const 0) (i32.const 4)))
          (drop (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4)))) (i32.const 1))
        (func (export "proxy_on_request_headers") (param i32 i32) (result i32)
          (drop (call $get (i32.const 0) (i32.const 100) (i32.const 4) (i32.const 0) (i32.const 4)))
          (drop (call $continue)) (i32.const 1)))"#;
    let host = Host::load(&wat::parse_str(text).unwrap()).unwrap();
    let outcome = host.plugin("", "config").request(Request::get("/")).run().unwrap();
    assert_eq!((outcome.status(), logged(&outcome.report)), (Some(200), vec!["config"]));
    assert_eq!(statuses(&outcome.report, "get_header_map_value"), [OK], "a header that is missing is empty");
}

#[test]
fn a_refused_configuration_is_an_error_with_what_the_module_said() {
    let filter = Filter::on("proxy_on_configure", "(call $log #4 {bad key `x`}) #0");
    let error = filter.plugin().request(Request::get("/")).run().unwrap_err();
    assert!(matches!(error, StartError::ConfigureRefused(_)));
    assert_eq!(error.to_string(), "the plugin's configuration is refused: `proxy_on_configure` returned false; it logged: bad key `x`");
    let error = Filter::on("proxy_on_vm_start", "#0").plugin().start().unwrap_err();
    assert_eq!(error.to_string(), "the module refused to start: `proxy_on_vm_start` returned false");
}

#[test]
fn one_engine_serves_many_threads() {
    let engine = Engine::new().unwrap();
    let host =
        Host::load_on(&engine, &Filter::on("proxy_on_request_headers", "(call $add_header_map_value #0 {x} {1}) #0").wasm()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let outcome = host.plugin("", "").request(Request::get("/")).run().unwrap();
                    assert_eq!(upstream_header(&outcome, "x"), Some("1"));
                }
            });
        }
    });
}

#[test]
fn a_root_that_is_not_done_is_waited_for() {
    let filter = Filter::on("proxy_on_done", "(call $set_tick_period_milliseconds #10) (call $done) #0")
        .and("proxy_on_tick", "(call $done) (call $set_tick_period_milliseconds #0)")
        .and("proxy_on_delete", "");
    let report = filter.plugin().start().unwrap().shut_down();
    assert_eq!(callbacks(&report), ["done", "tick", "delete"]);
    assert_eq!(statuses(&report, "done"), [NOT_FOUND, OK], "only after it answered false");
}
