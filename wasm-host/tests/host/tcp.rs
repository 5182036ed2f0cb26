use meshwright_wasm_host::{Ended, Tcp};

use crate::support::*;

fn proxy() -> Filter {
    Filter::on("proxy_on_upstream_data", "(call $get_buffer_bytes #3 #0 #100 #0 #4) (call $out) #0")
        .and("proxy_on_downstream_connection_close", "(call $log #2 #9000 (local.get 1))")
        .and("proxy_on_upstream_connection_close", "")
        .and("proxy_on_done", "#1")
        .and("proxy_on_log", "")
        .and("proxy_on_delete", "")
}

#[test]
fn data_goes_both_ways_and_the_end_is_done_then_log() {
    let filter = proxy()
        .and("proxy_on_new_connection", "#0")
        .and("proxy_on_downstream_data", "(call $get_buffer_bytes #2 #0 #100 #0 #4) (call $out) #0");
    let outcome = filter.plugin().tcp(Tcp::new().downstream("ping").upstream("pong").downstream_close()).run().unwrap();
    assert_eq!((outcome.to_upstream.as_slice(), outcome.to_downstream.as_slice()), (&b"ping"[..], &b"pong"[..]));
    assert_eq!(logged(&outcome.report)[..3], ["ping", "pong", ""]);
    assert_eq!(logged(&outcome.report)[4].len(), 1, "closed by Envoy, when both ends have");
    assert_eq!(
        callbacks(&outcome.report),
        [
            "new_connection",
            "downstream_data",
            "upstream_data",
            "downstream_data",
            "upstream_data",
            "upstream_connection_close",
            "downstream_connection_close",
            "done",
            "log",
            "delete"
        ]
    );
}

#[test]
fn an_upstream_that_closes_closes_the_client() {
    let outcome = proxy().plugin().tcp(Tcp::new().downstream("x").upstream_close()).run().unwrap();
    assert_eq!(
        callbacks(&outcome.report),
        ["upstream_data", "upstream_connection_close", "downstream_connection_close", "done", "log", "delete"]
    );
    assert_eq!(logged(&outcome.report)[1].len(), 2, "closed by the client, which saw the end");
}

#[test]
fn held_data_stays_and_is_let_go_with_what_follows() {
    // Pauses until four bytes are there.
    let filter = Filter::on("proxy_on_new_connection", "#1").and("proxy_on_downstream_data", "(i32.lt_u (local.get 1) #4)");
    let outcome = filter.plugin().tcp(Tcp::new().downstream("ab").downstream("cd").downstream_close()).run().unwrap();
    // The end of the stream is a call with no data, at which this filter pauses again, for ever.
    assert_eq!((outcome.ended, outcome.to_upstream.as_slice(), outcome.upstream_connected), (Ended::Hung, &b"abcd"[..], true));
}

#[test]
fn a_denied_connection_is_closed_and_reaches_nothing() {
    let filter =
        proxy().and("proxy_on_new_connection", "(call $close_stream #2) (call $send_local_response #403 #0 #0 #0 #0 #0 #0 #-1) #1");
    let outcome = filter.plugin().tcp(Tcp::new().downstream("x").upstream("y")).run().unwrap();
    assert_eq!((outcome.ended, outcome.upstream_connected, outcome.to_upstream.as_slice()), (Ended::Closed, false, &b""[..]));
    assert_eq!(callbacks(&outcome.report), ["new_connection", "downstream_connection_close", "done", "log", "delete"]);
}

#[test]
fn properties_and_a_resume() {
    let filter =
        Filter::on("proxy_on_new_connection", "(call $get_property {connection\0mtls} #0 #4) (call $set_tick_period_milliseconds #5) #1")
            .and("proxy_on_tick", "(call $set_effective_context #2) (call $continue_stream #2)")
            .and("proxy_on_downstream_data", "#1");
    let outcome = filter.plugin().tcp(Tcp::new().property("connection.mtls", true).downstream("x").upstream("y")).run().unwrap();
    assert_eq!(statuses(&outcome.report, "get_property"), [OK]);
    assert_eq!((outcome.ended, outcome.to_upstream.as_slice(), outcome.to_downstream.as_slice()), (Ended::Completed, &b"x"[..], &b"y"[..]));
}
