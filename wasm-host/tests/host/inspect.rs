//! What can be said of a module without running it.

use meshwright_wasm_host::{AbiVersion, Inspection};

fn inspect(text: &str) -> Inspection {
    Inspection::of(&wat::parse_str(text).unwrap())
}

#[test]
fn a_module_is_described() {
    let found = inspect(
        r#"(module
            (import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
            (memory (export "memory") 2 16)
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) (i32.const 1024))
            (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
            (@custom "producers" "abc"))"#,
    );
    assert_eq!(found.abi_versions, [AbiVersion::V0_2_1]);
    assert_eq!((found.imports.as_slice(), found.functions), (&["env.proxy_log".to_owned()][..], 3));
    assert_eq!(found.exports, ["malloc", "proxy_on_done"]);
    assert_eq!(found.custom_sections, [("producers".to_owned(), 3)]);
    assert_eq!((found.initial_memory, found.maximum_memory), (2 << 16, Some(16 << 16)));
    assert_eq!(found.refused, None);
    assert_eq!(found.warnings.len(), 1, "only that there are no names: {:?}", found.warnings);
}

#[test]
fn what_envoy_refuses_is_said() {
    for (text, why) in [
        ("(module)", "exports no ABI version"),
        (r#"(module (func (export "proxy_abi_version_0_2_1")))"#, "neither `malloc` nor"),
        (
            r#"(module (import "env" "proxy_get_configuration" (func (param i32 i32) (result i32)))
                (func (export "proxy_abi_version_0_2_1")) (func (export "malloc") (param i32) (result i32) (i32.const 0)))"#,
            "`env.proxy_get_configuration`",
        ),
    ] {
        let refused = inspect(text).refused.unwrap();
        assert!(refused.contains(why), "{refused}");
    }
    assert!(Inspection::of(b"\0asm\x01\0\0").refused.is_some());
    assert!(Inspection::of(b"").refused.is_some());
}
