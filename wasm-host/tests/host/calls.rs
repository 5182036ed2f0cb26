use std::time::Duration;

use meshwright_wasm_host::{Answer, Ended, Outcome, Request, Response, Upstream};

use crate::support::*;

/// A serialized map with `:method`, `:path` and `:authority`.
const PSEUDO: &str = "\x03\0\0\0\x07\0\0\0\x03\0\0\0\x05\0\0\0\x01\0\0\0\x0a\0\0\0\x01\0\0\0:method\0GET\0:path\0/\0:authority\0k\0";
const LATE: Duration = Duration::from_secs(5);

fn asks() -> Filter {
    Filter::on("proxy_on_request_headers", &format!("(call $http_call {{keys}} {{{PSEUDO}}} {{body}} #0 #0 #1000 #8) #1")).and(
        "proxy_on_http_call_response",
        "(call $get_header_map_value #6 {:status} #0 #4) (call $out) (call $get_buffer_bytes #4 #0 #100 #0 #4) (call $out)
         (call $set_effective_context #2) (call $continue_stream #0)",
    )
}

#[test]
fn an_answer_resumes_the_stream() {
    for (answer, expected, waited) in [
        (Answer::response(Response::new(200).body("{}")), vec!["200", "{}"], 0),
        (Answer::response(Response::new(200).body("{}")).after(Duration::from_millis(999)), vec!["200", "{}"], 999),
        (Answer::response(Response::new(200)).after(LATE), vec!["504", "upstream request timeout"], 1000),
        (Answer::never(), vec!["504", "upstream request timeout"], 1000),
    ] {
        let plugin = asks()
            .and("proxy_on_log", "(call $get_property {request\0duration} #0 #4) (call $set_property {d} (i32.load #0) (i32.load #4))")
            .plugin();
        let outcome = plugin.upstream("keys", Upstream::new(answer.clone())).request(Request::get("/")).run().unwrap();
        assert_eq!((outcome.ended, outcome.status()), (Ended::Completed, Some(200)), "{answer:?}");
        assert_eq!(logged(&outcome.report)[..2], expected, "{answer:?}");
        let order = ["request_headers", "http_call_response", "log"];
        assert_eq!(callbacks(&outcome.report), order, "{answer:?}");
        let call = &outcome.report.calls[0];
        assert_eq!((call.cluster.as_str(), call.request.body.as_slice(), call.timeout_milliseconds), ("keys", &b"body"[..], 1000));
        assert_eq!(logged_duration(&outcome), Duration::from_millis(waited), "{answer:?}");
    }
}

fn logged_duration(outcome: &Outcome) -> Duration {
    Duration::from_nanos(u64::from_le_bytes(outcome.report.property("d").unwrap().try_into().unwrap()))
}

#[test]
fn answers_come_in_order_and_the_last_again() {
    let upstream = Upstream::new(Answer::response(Response::new(503))).then(Answer::response(Response::new(200)));
    let mut worker = asks().plugin().upstream("keys", upstream).start().unwrap();
    // The streams are contexts 2, 3 and 4; the filter resumes the first one only, so the others hang.
    let seen: Vec<_> = (0..3).map(|_| logged(&worker.request(Request::get("/")).report)[0].to_owned()).collect();
    assert_eq!(seen, ["503", "200", "200"]);
}

#[test]
fn calls_that_cannot_be_made() {
    for (cluster, headers, timeout) in [("other", PSEUDO, 1), ("keys", "", 1), ("keys", PSEUDO, -1)] {
        let headers = if headers.is_empty() { "#0 #0".to_owned() } else { format!("{{{headers}}}") };
        let body = format!("(call $http_call {{{cluster}}} {headers} #0 #0 #0 #0 #{timeout} #8) #0");
        let plugin = Filter::on("proxy_on_request_headers", &body).plugin().upstream("keys", Upstream::new(Answer::never()));
        let outcome = plugin.request(Request::get("/")).run().unwrap();
        assert_eq!(statuses(&outcome.report, "http_call"), [BAD_ARGUMENT], "{cluster} {timeout}");
        assert_eq!(outcome.report.calls, []);
    }
}

#[test]
fn a_late_answer_finds_its_stream_gone() {
    let body = format!("(call $http_call {{keys}} {{{PSEUDO}}} #0 #0 #0 #0 #0 #8) #0");
    let plugin = Filter::on("proxy_on_request_headers", &body)
        .and("proxy_on_http_call_response", "(call $set_effective_context #2)")
        .plugin()
        .upstream("keys", Upstream::new(Answer::response(Response::new(200)).after(LATE)));
    let outcome = plugin.request(Request::get("/")).run().unwrap();
    assert_eq!(callbacks(&outcome.report), ["request_headers", "http_call_response"]);
    assert_eq!(statuses(&outcome.report, "set_effective_context"), [BAD_ARGUMENT]);
}

#[test]
fn a_reset_is_envoys_503_and_a_failure_comes_without_headers() {
    let plugin = Filter::on("proxy_on_request_headers", &format!("(call $http_call {{keys}} {{{PSEUDO}}} #0 #0 #0 #0 #0 #8) #0"))
        .and("proxy_on_http_call_response", "(call $log #2 #9000 (local.get 2)) (call $get_header_map_value #6 {:status} #0 #4)")
        .plugin()
        .upstream("keys", Upstream::new(Answer::failure()));
    let outcome = plugin.request(Request::get("/")).run().unwrap();
    assert_eq!(logged(&outcome.report), [""]);
    assert_eq!(statuses(&outcome.report, "get_header_map_value"), [NOT_FOUND]);
    let reset = plugin.upstream("keys", Upstream::new(Answer::reset()));
    let outcome = reset.request(Request::get("/")).run().unwrap();
    assert_eq!((logged(&outcome.report)[0].len(), statuses(&outcome.report, "get_header_map_value")), (3, vec![OK]));
}
