//! VMs take places in a pool: a place that is used again shows nothing of before, and what finds no place runs all the same.

use std::fmt::Write as _;

use meshwright_wasm_host::{Engine, Host, Plugin, Request, Worker};

use crate::support::*;

/// Logs a byte of its first pages and how many pages there are, then writes and grows.
fn dirty() -> Filter {
    let body = "(call $log #2 #5000 #1) (i32.store8 #5000 (i32.add #65 (memory.size)))
        (i32.store8 #200000 #66) (drop (memory.grow #3)) (memory.fill #131072 #1 #131072) #0";
    Filter::on("proxy_on_request_headers", body).and("proxy_on_log", "(call $log #2 #5000 #1)")
}

fn seen(plugin: &Plugin) -> Vec<String> {
    let outcome = plugin.request(Request::get("/")).run().unwrap();
    logged(&outcome.report).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_place_that_is_used_again_is_as_new() {
    let plugin = dirty().plugin();
    let first = seen(&plugin);
    assert_eq!(first, ["\0", "E"], "nothing was there, four pages are");
    for _ in 0..100 {
        assert_eq!(seen(&plugin), first);
    }
}

#[test]
fn more_vms_than_places_run_all_the_same() {
    let plugin = dirty().plugin();
    let mut workers: Vec<Worker> = (0..80).map(|_| plugin.start().unwrap()).collect();
    for worker in &mut workers {
        assert_eq!(logged(&worker.request(Request::get("/")).report), ["\0", "E"], "each has a memory of its own");
    }
    for worker in &mut workers {
        assert_eq!(logged(&worker.request(Request::get("/")).report), ["E", "H"], "and keeps it");
    }
    drop(workers);
    assert_eq!(seen(&plugin), ["\0", "E"]);
}

#[test]
fn a_module_that_fits_no_place_runs_all_the_same() {
    let mut tables = String::new();
    for number in 0..6 {
        write!(tables, "(table $t{number} 10 funcref)").unwrap();
    }
    let wasm = wat::parse_str(format!(
        r#"(module {tables} (memory (export "memory") 1)
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) (i32.const 1024)))"#
    ));
    let outcome = Host::load(&wasm.unwrap()).unwrap().plugin("", "").request(Request::get("/")).run().unwrap();
    assert_eq!(outcome.status(), Some(200));
}

#[test]
fn threads_share_an_engine() {
    let engine = Engine::new().unwrap();
    let plugin = Host::load_on(&engine, &dirty().wasm()).unwrap().plugin("", "");
    let run = || (0..50).map(|_| seen(&plugin)).collect::<Vec<_>>();
    let all: Vec<Vec<String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.iter().all(|seen| seen == &["\0", "E"]));
}
