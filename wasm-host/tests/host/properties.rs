use meshwright_wasm_host::{Host, Request, Status, Value};

use crate::support::*;

fn get(path: &str) -> String {
    format!("(call $get_property {{{path}}} #0 #4) (call $out)")
}

#[test]
fn attributes_are_found_by_path() {
    let reads = ["request\0path", "request\0url_path", "request\0query", "request\0headers\0x-a", "connection\0uri_san_peer_certificate"];
    let more = ["filter_state\0mesh.peer", "plugin_root_id", "plugin_name", "metadata\0filter_metadata\0a.b\0c", "xds\0node\0id"];
    let body: String = reads.iter().chain(&more).map(|path| get(path)).collect();
    let filter = Filter::on("proxy_on_request_headers", &format!("{body} #0"));
    let plugin = Host::load(&filter.wasm()).unwrap().plugin("root", "").name("it").property("xds.node.id", "node");
    let request = Request::get("/a?b=c?")
        .header("x-a", "1")
        .header("x-a", "2")
        .property("connection.uri_san_peer_certificate", "spiffe://x/y")
        .property(["metadata", "filter_metadata", "a.b", "c"], "deep")
        .filter_state("mesh.peer", "peer");
    let outcome = plugin.request(request).run().unwrap();
    assert_eq!(logged(&outcome.report), ["/a?b=c?", "/a", "b=c?", "1,2", "spiffe://x/y", "peer", "root", "it", "deep", "node"]);
}

#[test]
fn what_comes_from_request_headers_goes_with_them() {
    let reads = "(call $get_property {request\0path} #0 #4) (call $get_property {request\0headers\0x-a} #0 #4)
        (call $get_property {request\0headers} #0 #4) (call $get_property {request\0id} #0 #4) (call $get_property {request\0time} #0 #4)";
    let filter = Filter::on("proxy_on_request_headers", &format!("{reads} #0"))
        .and("proxy_on_response_headers", &format!("{reads} #0"))
        .and("proxy_on_log", reads);
    let outcome = filter.plugin().request(Request::get("/").header("x-a", "1").property("request.id", "given")).run().unwrap();
    assert_eq!(statuses(&outcome.report, "get_property"), [[OK; 5], [NOT_FOUND, NOT_FOUND, OK, NOT_FOUND, OK], [OK; 5]].concat());
}

#[test]
fn odd_paths() {
    let body = "(call $get_property #0 #0 #0 #4) (call $get_property {filter_state} #0 #4) (call $get_property {no\0such} #0 #4)
        (call $get_property {node} #0 #4) (call $get_property {nested} #0 #4) (call $get_property {request\0path\0x} #0 #4) #0";
    let request = Request::get("/").property("nested.a.b", 1);
    let outcome = Filter::on("proxy_on_request_headers", body).plugin().request(request).run().unwrap();
    let serialization = Status::SerializationFailure.code();
    assert_eq!(statuses(&outcome.report, "get_property"), [serialization, serialization, NOT_FOUND, NOT_FOUND, serialization, NOT_FOUND]);
}

#[test]
fn what_is_set_is_readable_in_two_ways_and_by_the_test() {
    let filter = Filter::on("proxy_on_request_headers", "(call $set_property {mesh.decision} {yes}) #0")
        .and("proxy_on_log", &(get("mesh.decision") + &get("filter_state\0wasm.mesh.decision") + "(call $set_property {late} {1})"))
        .and("proxy_on_configure", "(call $set_property {a} {b}) #1");
    let outcome = filter.plugin().request(Request::get("/")).run().unwrap();
    assert_eq!(logged(&outcome.report), ["yes", "yes"]);
    assert_eq!(statuses(&outcome.report, "set_property"), [NOT_FOUND, OK, OK], "a root has no filter state");
    assert_eq!(outcome.report.property("mesh.decision"), Some(&b"yes"[..]));
    assert_eq!(outcome.report.filter_state.get(&b"wasm.late"[..]), Some(&Value::from("1")));
}

#[test]
fn foreign_functions_are_envoys_or_the_tests() {
    let call = |name: &str, argument: &str| {
        format!("(call $call_foreign_function {{{name}}} {argument} #16 #20) (call $log #2 (i32.load #16) (i32.load #20))")
    };
    let cluster = "{\x0a\x17envoy.tcp_proxy.cluster\x12\x02v2}";
    let body = call("mine", "{abc}")
        + &call("set_envoy_filter_state", cluster)
        + "(call $call_foreign_function {set_envoy_filter_state} {\x0a\x01x} #0 #0)
           (call $call_foreign_function {clear_route_cache} #0 #0 #0 #0) (call $call_foreign_function {verify_signature} #0 #0 #0 #0)
           (call $call_foreign_function {expr_create} #0 #0 #0 #0) (call $call_foreign_function {inject_encoded_data} #0 #0 #0 #0) #0";
    let plugin = Filter::on("proxy_on_request_headers", &body).plugin();
    let plugin = plugin.foreign_function("mine", |argument| Ok(argument.iter().rev().copied().collect()));
    let outcome = plugin.request(Request::get("/")).run().unwrap();
    assert_eq!(logged(&outcome.report), ["cba", ""]);
    assert_eq!(statuses(&outcome.report, "call_foreign_function"), [OK, OK, NOT_FOUND, OK, BAD_ARGUMENT, BAD_ARGUMENT, NOT_FOUND]);
    assert_eq!(outcome.report.filter_state.get(&b"envoy.tcp_proxy.cluster"[..]), Some(&Value::from("v2")));
}

#[test]
fn a_property_that_is_declared_read_only_is_set_once() {
    let declare = "(call $call_foreign_function {declare_property} {\n\x01p\x10\x01} #0 #0)";
    let body = format!(
        "{declare} (call $set_property {{p}} {{1}}) (call $set_property {{p}} {{2}}) (call $set_property {{q}} {{1}}) (call $set_property {{q}} {{2}}) #0"
    );
    let filter = Filter::on("proxy_on_request_headers", &body).and("proxy_on_configure", &format!("{declare} {declare} #1"));
    let outcome = filter.plugin().request(Request::get("/")).run().unwrap();
    // A stream's own declaration is taken and has no effect.
    assert_eq!(statuses(&outcome.report, "call_foreign_function"), [OK, BAD_ARGUMENT, OK]);
    assert_eq!(statuses(&outcome.report, "set_property"), [OK, BAD_ARGUMENT, OK, OK]);
    assert_eq!((outcome.report.property("p"), outcome.report.property("q")), (Some(&b"1"[..]), Some(&b"2"[..])));
}
