use meshwright_wasm_host::{Host, Request, Response};

use crate::support::*;

/// The size that the callback got, logged as as many characters.
const SIZE: &str = "(call $log #2 #9000 (local.get 1))";

#[test]
fn a_body_comes_in_pieces_and_its_end_is_one_of_its_own() {
    let filter = Filter::on("proxy_on_request_body", &format!("{SIZE} #0"));
    let outcome = filter.plugin().request(Request::post("/").chunk("abc").chunk("de")).run().unwrap();
    assert_eq!(logged(&outcome.report).iter().map(|size| size.len()).collect::<Vec<_>>(), [3, 2, 0]);
    assert_eq!(outcome.upstream_request.unwrap().body, b"abcde");
}

#[test]
fn a_held_body_grows_until_it_is_let_go_and_can_be_rewritten() {
    // Continues only at the end of the stream.
    let rewrite = "(if (local.get 2) (then (call $set_buffer_bytes #0 #0 #2 {AB!}) (call $set_buffer_bytes #0 #100 #0 {end})))";
    let filter = Filter::on("proxy_on_request_body", &format!("{SIZE} {rewrite} (i32.eqz (local.get 2))"));
    let outcome = filter.plugin().request(Request::post("/").chunk("abc").chunk("de")).run().unwrap();
    assert_eq!(logged(&outcome.report).iter().map(|size| size.len()).collect::<Vec<_>>(), [3, 5, 5]);
    assert_eq!(outcome.upstream_request.unwrap().body, b"AB!cdeend");
}

#[test]
fn reads_are_cut_to_what_is_there() {
    let body = "(call $get_buffer_bytes #1 #1 #2 #0 #4) (call $out) (call $get_buffer_bytes #1 #1 #100 #0 #4) (call $out)
        (call $get_buffer_bytes #1 #50 #1 #0 #4) (call $out) (call $get_buffer_bytes #1 #-1 #1 #0 #4)
        (call $get_buffer_bytes #9 #0 #1 #0 #4) (call $get_buffer_bytes #7 #0 #1 #0 #4) (call $get_buffer_bytes #4 #0 #1 #0 #4)
        (call $set_buffer_bytes #1 #1 #1 {x}) (call $set_buffer_bytes #6 #0 #1 {x}) (call $set_buffer_bytes #0 #0 #1 {x})
        (call $get_buffer_bytes #0 #0 #1 #0 #4) (call $get_buffer_status #1 #0 #4) #0";
    let request = Request::get("/").upstream(Response::new(200).body("hello"));
    let outcome = Filter::on("proxy_on_response_body", &format!("(if (i32.eqz (local.get 2)) (then {}))#0", body.trim_end_matches("#0")))
        .plugin()
        .request(request)
        .run()
        .unwrap();
    assert_eq!(logged(&outcome.report), ["el", "ello", ""]);
    assert_eq!(
        statuses(&outcome.report, "get_buffer_bytes"),
        // The last is the request's body: out of its phase it is empty, not missing. A start beyond every end is only beyond the end.
        [OK, OK, OK, OK, BAD_ARGUMENT, NOT_FOUND, NOT_FOUND, OK]
    );
    assert_eq!(statuses(&outcome.report, "set_buffer_bytes"), [BAD_ARGUMENT, BAD_ARGUMENT, BAD_ARGUMENT]);
    assert_eq!(outcome.client_response.unwrap().body, b"hello");
}

#[test]
fn the_plugins_configuration_is_readable_only_while_it_is_configured() {
    let read = "(call $get_buffer_bytes #7 #0 #100 #0 #4) (call $get_buffer_bytes #6 #0 #100 #0 #4) (call $out)";
    let filter = Filter::on("proxy_on_configure", &format!("(call $get_buffer_bytes #7 #0 #100 #0 #4) (call $out) {read} #1"))
        .and("proxy_on_request_headers", &format!("{read} #0"));
    let plugin = Host::load(&filter.wasm()).unwrap().plugin("", "{plugin}").vm_configuration("{vm}");
    let outcome = plugin.request(Request::get("/")).run().unwrap();
    assert_eq!(logged(&outcome.report), ["{plugin}", "{vm}", "{vm}"]);
    assert_eq!(statuses(&outcome.report, "get_buffer_bytes"), [OK, OK, OK, NOT_FOUND, OK]);
}
