use meshwright_wasm_host::{Host, Request, Shared, Status};

use crate::support::*;

#[test]
fn data_is_compared_and_swapped() {
    let body = "(call $get_shared_data {k} #0 #4 #8) (call $set_shared_data {k} {1} #77) (call $get_shared_data {k} #0 #4 #8) (call $out)
        (call $set_shared_data {k} {2} (i32.add (i32.load #8) #1)) (call $set_shared_data {k} {3} (i32.load #8))
        (call $get_shared_data {k} #0 #4 #8) (call $out) (call $set_shared_data {k} #0 #0 #0) (call $get_shared_data {k} #0 #4 #8) (call $out) #0";
    let outcome = Filter::on("proxy_on_request_headers", body).plugin().request(Request::get("/")).run().unwrap();
    assert_eq!(logged(&outcome.report), ["1", "3", ""]);
    // A number is accepted for a key that is new; an empty value is a value.
    assert_eq!(statuses(&outcome.report, "set_shared_data"), [OK, Status::CasMismatch.code(), OK, OK]);
    assert_eq!(statuses(&outcome.report, "get_shared_data"), [NOT_FOUND, OK, OK, OK]);
}

#[test]
fn data_is_shared_by_vm_id_and_only_when_asked_for() {
    let host = Host::load(&Filter::on("proxy_on_request_headers", "(call $get_shared_data {k} #0 #4 #8) #0").wasm()).unwrap();
    let shared = Shared::new();
    shared.set("a", "k", "v");
    for (plugin, status) in [
        (host.plugin("", "").vm_id("a").shared(&shared), OK),
        (host.plugin("", "").vm_id("b").shared(&shared), NOT_FOUND),
        (host.plugin("", "").vm_id("a"), NOT_FOUND),
    ] {
        let outcome = plugin.request(Request::get("/")).run().unwrap();
        assert_eq!(statuses(&outcome.report, "get_shared_data"), [status]);
    }
}

#[test]
fn queues_are_first_in_first_out_and_announced() {
    let body = "(call $resolve_shared_queue {other} {q} #12) (call $resolve_shared_queue #0 #0 {q} #12)
        (call $enqueue_shared_queue (i32.load #12) {a}) (call $enqueue_shared_queue (i32.load #12) {b}) (call $enqueue_shared_queue #9 {b}) #0";
    let filter = Filter::on("proxy_on_configure", "(call $register_shared_queue {q} #8) #1")
        .and("proxy_on_request_headers", body)
        .and("proxy_on_queue_ready", "(call $dequeue_shared_queue (local.get 1) #0 #4) (call $out) (call $dequeue_shared_queue #9 #0 #4)");
    let mut worker = filter.plugin().start().unwrap();
    let outcome = worker.request(Request::get("/"));
    assert_eq!(statuses(&outcome.report, "resolve_shared_queue"), [NOT_FOUND, OK]);
    assert_eq!(statuses(&outcome.report, "enqueue_shared_queue"), [OK, OK, NOT_FOUND]);
    let report = worker.advance(std::time::Duration::ZERO);
    assert_eq!(logged(&report), ["a", "b"]);
    let empty =
        Filter::on("proxy_on_configure", "(call $register_shared_queue {q} #8) (call $dequeue_shared_queue (i32.load #8) #0 #4) #1");
    let report = empty.plugin().start().unwrap().take_report();
    assert_eq!(statuses(&report, "dequeue_shared_queue"), [Status::Empty.code()]);
}
