//! What a run costs, and modules that are compiled once.

use std::os::unix::fs::PermissionsExt as _;

use meshwright_wasm_host::{Cost, Engine, Host, LoadError, Request};

use crate::support::*;

fn wasm() -> Vec<u8> {
    let body = "(local $n i32) (local.set $n #1000) (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) #1))))
        (call $get_header_map_value #0 {:path} #0 #4) #0";
    Filter::on("proxy_on_request_headers", body).wasm()
}

fn cost(engine: &Engine, path: &str) -> Cost {
    Host::load_on(engine, &wasm()).unwrap().plugin("", "").request(Request::get(path)).run().unwrap().report.cost
}

#[test]
fn fuel_is_the_same_every_time_and_bytes_are_counted() {
    let engine = Engine::metered().unwrap();
    let first = cost(&engine, "/abc");
    let fuel = first.fuel.unwrap();
    assert!((4000..20_000).contains(&fuel), "{fuel}");
    assert_eq!(cost(&Engine::metered().unwrap(), "/abc").fuel, Some(fuel));
    // `:path` is read; four bytes of value, then their pointer and length, are written.
    assert_eq!((first.bytes_from_guest, first.bytes_to_guest, first.allocations), (5, 12, 1));
    assert_eq!(cost(&engine, "/abcd").bytes_to_guest, 13);
    assert_eq!(cost(&Engine::new().unwrap(), "/abc").fuel, None);
}

#[test]
fn a_module_is_compiled_once_and_damage_is_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("modules");
    let files = || std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let run = || cost(&Engine::new().unwrap().cached(&cache).unwrap(), "/");
    let first = run();
    let [file] = files().try_into().unwrap();
    let written = std::fs::metadata(&file).unwrap().modified().unwrap();
    assert_eq!(run(), first);
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), written, "it was read, not written");
    std::fs::write(&file, "damaged").unwrap();
    assert_eq!(run(), first);
    assert_ne!(std::fs::read(&file).unwrap(), b"damaged");
    cost(&Engine::metered().unwrap().cached(&cache).unwrap(), "/");
    assert_eq!(files().len(), 2, "another engine's code is another file");
}

#[test]
fn a_cache_that_others_can_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let error = Engine::new().unwrap().cached(folder.path()).unwrap_err();
    assert!(matches!(&error, LoadError::Cache { .. }) && error.to_string().contains("others may write to it (mode 777"), "{error}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(Engine::new().unwrap().cached(&file).is_err());
}
