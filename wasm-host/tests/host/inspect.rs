//! What can be said of a module without running it.

use meshwright_wasm_host::{AbiVersion, Host, Inspection};

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
    let whole = |rest: &str| {
        format!(
            r#"(module (func (export "proxy_abi_version_0_2_1")) (func (export "malloc") (param i32) (result i32) (i32.const 0)) {rest})"#
        )
    };
    for (rest, why) in [
        (r#"(memory (export "memory") 16385)"#, "more than the 1 GiB"),
        (r#"(@custom "name" "\01\ff\ff")"#, "`name` section is corrupt"),
        ("(func $start unreachable) (start $start)", "cannot be instantiated"),
        (r#"(func (export "_initialize") unreachable)"#, "_initialize"),
    ] {
        let refused = inspect(&whole(rest)).refused.unwrap();
        assert!(refused.contains(why), "{refused}");
    }
    for rest in [r#"(tag $e) (func (throw $e))"#, "(memory 1) (memory 1)", r#"(memory 1 2 shared)"#] {
        let found = inspect(&whole(rest));
        assert_eq!(found.refused, None, "{rest}");
        assert!(found.warnings.iter().any(|text| text.starts_with("Envoy loads it, but it cannot be run here: ")), "{:?}", found.warnings);
    }
    for (bytes, why) in [
        (&b""[..], "it begins with ``, not with `\\0asm`"),
        (b"\x7fELF and more", "it begins with `\\x7fELF`, not with `\\0asm`"),
        (b"\0asm\x0d\0\x01\0", "it is a component"),
        (b"\0asm\x01\0\0", "unexpected end"),
    ] {
        let refused = Inspection::of(bytes).refused.unwrap();
        assert!(
            refused.starts_with("not a valid WebAssembly module: ") && refused.contains(why) && refused.lines().count() == 1,
            "{refused}"
        );
        let loaded = Host::load(bytes).unwrap_err().to_string();
        assert!(loaded.starts_with("not a valid WebAssembly module: ") && loaded.lines().count() == 1, "{loaded}");
    }
}

#[test]
fn what_does_harm_later_is_a_warning() {
    let found = inspect(
        r#"(module (func (export "proxy_abi_version_0_1_0")) (func (export "proxy_abi_version_0_2_0"))
            (func (export "malloc") (param i32) (result i32) (i32.const 0)))"#,
    );
    assert_eq!(found.refused, None);
    for warning in ["more than one ABI version", "no `name` section", "no memory is exported", "no callback is exported"] {
        assert!(found.warnings.iter().any(|found| found.contains(warning)), "{warning}: {:?}", found.warnings);
    }
    assert_eq!(found.warnings.len(), 4, "{:?}", found.warnings);
}
