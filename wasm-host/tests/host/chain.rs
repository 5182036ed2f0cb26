//! Several filters on one stream.

use meshwright_wasm_host::{Chain, Ended, FailurePolicy, Request, Response};

use crate::support::*;

/// Adds its name to the request on the way in and to the response on the way out.
fn named(name: &str) -> Filter {
    Filter::on("proxy_on_request_headers", &format!("(call $add_header_map_value #0 {{x-in}} {{{name}}}) #0"))
        .and("proxy_on_response_headers", &format!("(call $add_header_map_value #2 {{x-out}} {{{name}}}) #0"))
        .and("proxy_on_log", "")
        .and("proxy_on_delete", "")
}

fn chain(filters: &[Filter]) -> Chain {
    Chain::new(filters.iter().map(|filter| filter.plugin().start().unwrap()))
}

fn values(headers: &meshwright_wasm_host::Headers, name: &str) -> Vec<String> {
    headers.get_all(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

#[test]
fn requests_pass_in_order_and_responses_in_reverse() {
    let mut chain = chain(&[named("a"), named("b"), named("c")]);
    let request = Request::post("/").chunk("1").chunk("2").trailer("t", "v").upstream(Response::new(200).chunk("3").trailer("u", "w"));
    let outcome = chain.request(request);
    assert_eq!((outcome.status(), outcome.ended), (Some(200), Ended::Completed));
    let (up, down) = (outcome.upstream_request.unwrap(), outcome.client_response.unwrap());
    assert_eq!(
        (values(&up.headers, "x-in"), values(&down.headers, "x-out")),
        (["a", "b", "c"].map(str::to_owned).to_vec(), ["c", "b", "a"].map(str::to_owned).to_vec())
    );
    assert_eq!(
        (up.body.as_slice(), up.trailers.text("t"), down.body.as_slice(), down.trailers.text("u")),
        (&b"12"[..], Some("v"), &b"3"[..], Some("w"))
    );
    for report in &outcome.reports {
        assert_eq!(callbacks(report), ["request_headers", "response_headers", "log", "delete"]);
        assert_eq!(report.misuse, []);
    }
    assert_eq!(chain.request(Request::get("/")).status(), Some(200), "and again");
}

#[test]
fn a_reply_passes_every_filter_also_those_that_the_request_did_not_reach() {
    let deny = Filter::on("proxy_on_request_headers", "(call $send_local_response #403 #0 #0 #0 #0 #0 #0 #-1) #1")
        .and("proxy_on_response_headers", "(call $add_header_map_value #2 {x-out} {b}) #0");
    let outcome = chain(&[named("a"), deny, named("c")]).request(Request::get("/"));
    assert_eq!((outcome.status(), outcome.upstream_request), (Some(403), None));
    assert_eq!(outcome.local_reply.unwrap().0, 1);
    assert_eq!(values(&outcome.client_response.unwrap().headers, "x-out"), ["c", "b", "a"]);
    assert_eq!(callbacks(&outcome.reports[2]), ["response_headers", "log", "delete"]);
}

#[test]
fn a_reply_to_a_response_goes_straight_to_the_client() {
    let replace = Filter::on("proxy_on_response_headers", "(call $send_local_response #500 #0 #0 #0 #0 #0 #0 #-1) #1");
    let outcome = chain(&[named("a"), replace, named("c")]).request(Request::get("/"));
    assert_eq!(outcome.status(), Some(500));
    assert_eq!(values(&outcome.client_response.unwrap().headers, "x-out"), [""; 0]);
    assert_eq!(callbacks(&outcome.reports[0]), ["request_headers", "log", "delete"]);
}

#[test]
fn filter_state_is_the_streams() {
    let writes = Filter::on("proxy_on_request_headers", "(call $set_property {who} {alice}) #0");
    let reads = Filter::on("proxy_on_request_headers", "(call $get_property {who} #0 #4) (call $out) (call $set_property {seen} {yes}) #0");
    let back = Filter::on("proxy_on_response_headers", "(call $get_property {filter_state\0wasm.seen} #0 #4) (call $out) #0");
    let outcome = chain(&[back, writes, reads]).request(Request::get("/"));
    assert_eq!((logged(&outcome.reports[2]), logged(&outcome.reports[0])), (vec!["alice"], vec!["yes"]));
}

#[test]
fn a_trap_is_a_503_that_the_others_see_and_then_its_policy_decides() {
    let traps = || Filter::on("proxy_on_request_headers", "(unreachable)");
    let mut closed = chain(&[named("a"), traps()]);
    for _ in 0..2 {
        let outcome = closed.request(Request::get("/"));
        assert_eq!((outcome.status(), outcome.ended), (Some(503), Ended::Trapped));
        assert_eq!(values(&outcome.client_response.unwrap().headers, "x-out"), ["a"]);
        assert_eq!(callbacks(&outcome.reports[0]), ["request_headers", "response_headers", "log", "delete"]);
    }
    let open = traps().plugin().failure_policy(FailurePolicy::Open).start().unwrap();
    let mut open = Chain::new([open, named("b").plugin().start().unwrap()]);
    assert_eq!(open.request(Request::get("/")).status(), Some(503));
    let outcome = open.request(Request::get("/"));
    assert_eq!((outcome.status(), values(&outcome.upstream_request.unwrap().headers, "x-in")), (Some(200), vec!["b".to_owned()]));
}

#[test]
fn what_a_filter_wipes_only_the_router_refuses() {
    let wipes = Filter::on("proxy_on_request_headers", "(call $remove_header_map_value #0 {:path}) #0");
    let mends = Filter::on("proxy_on_request_headers", "(call $add_header_map_value #0 {:path} {/}) #0");
    assert_eq!(chain(&[wipes, mends]).request(Request::get("/")).status(), Some(200));
    let wipes = Filter::on("proxy_on_request_headers", "(call $remove_header_map_value #0 {:path}) #0");
    assert_eq!(chain(&[named("a"), wipes]).request(Request::get("/")).status(), Some(404));
}
