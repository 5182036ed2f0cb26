//! Expectations about what upstream and client saw, about the filter's own reply and its calls.

use meshwright_wasm_host::{Headers, Message, Outcome, Report};

use crate::answer::{Ran, headers_text};
use crate::failure::Failure;
use crate::matches;
use crate::wire::{
    CallExpectation, Expectation, GrpcCallExpectation, LocalReplyExpectation, Matcher, Matchers, MessageExpectation, TcpExpectation,
};

pub(super) fn check(expected: &Expectation, ran: &Ran, failures: &mut Vec<Failure>) {
    if let Ran::Http(outcome) = ran {
        http(expected, outcome, failures);
    }
    if let (Some(TcpExpectation { upstream_connected, to_upstream, to_downstream }), Ran::Tcp(outcome)) = (&expected.tcp, ran) {
        equal("expect.tcp.upstream_connected", *upstream_connected, Some(outcome.upstream_connected), failures);
        one("expect.tcp.to_upstream", to_upstream.as_ref(), &outcome.to_upstream, failures);
        one("expect.tcp.to_downstream", to_downstream.as_ref(), &outcome.to_downstream, failures);
    }
}

fn http(expected: &Expectation, outcome: &Outcome, failures: &mut Vec<Failure>) {
    if let Some(wanted) = &expected.upstream {
        message("expect.upstream", wanted, outcome.upstream_request.as_ref(), outcome, failures);
    }
    if let Some(wanted) = &expected.client {
        message("expect.client", wanted, outcome.client_response.as_ref(), outcome, failures);
    }
    if let Some(wanted) = &expected.local_reply {
        local_reply(wanted, outcome, failures);
    }
    if let Some(matcher) = &expected.code_details {
        let found: Vec<&[u8]> = outcome.code_details.iter().map(String::as_bytes).collect();
        failures.extend(matches::check("expect.code_details", matcher, &found));
    }
}

fn message(path: &str, wanted: &MessageExpectation, found: Option<&Message>, outcome: &Outcome, failures: &mut Vec<Failure>) {
    let Some(found) = found else {
        if wanted.reached.unwrap_or(true) {
            failures.push(Failure::new(format!("{path}.reached"), "a message", nothing_because(outcome)));
        }
        return;
    };
    if wanted.reached == Some(false) {
        failures.push(Failure::new(format!("{path}.reached"), "nothing", headers_text(&found.headers)));
        return;
    }
    if wanted.status != found.status() && wanted.status.is_some() {
        let shown = |status: Option<u16>| status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        let because =
            outcome.code_details.as_ref().filter(|details| !details.is_empty()).map_or_else(String::new, |details| format!(" ({details})"));
        let found = format!("{}{because}", shown(found.status()));
        failures.push(Failure::new(format!("{path}.status"), shown(wanted.status), found));
    }
    headers(&format!("{path}.headers"), &wanted.headers, &found.headers, failures);
    one(&format!("{path}.body"), wanted.body.as_ref(), &found.body, failures);
    headers(&format!("{path}.trailers"), &wanted.trailers, &found.trailers, failures);
    equal(&format!("{path}.complete"), Some(wanted.complete.unwrap_or(true)), Some(found.complete), failures);
}

fn nothing_because(outcome: &Outcome) -> String {
    match (&outcome.local_reply, &outcome.code_details) {
        (Some(reply), _) => format!("none: the filter replied {} {:?}", reply.status, String::from_utf8_lossy(&reply.body)),
        (None, Some(details)) => format!("none: {details}"),
        (None, None) => "none".to_owned(),
    }
}

fn local_reply(wanted: &LocalReplyExpectation, outcome: &Outcome, failures: &mut Vec<Failure>) {
    let path = "expect.local_reply";
    let Some(found) = &outcome.local_reply else {
        if wanted.sent.unwrap_or(true) {
            failures.push(Failure::new(format!("{path}.sent"), "a reply of the filter", "none"));
        }
        return;
    };
    if wanted.sent == Some(false) {
        let found = format!("{} {:?} ({})", found.status, String::from_utf8_lossy(&found.body), found.details);
        failures.push(Failure::new(format!("{path}.sent"), "no reply of the filter", found));
        return;
    }
    equal(&format!("{path}.status"), wanted.status, Some(found.status), failures);
    one(&format!("{path}.details"), wanted.details.as_ref(), found.details.as_bytes(), failures);
    headers(&format!("{path}.headers"), &wanted.headers, &found.headers, failures);
    one(&format!("{path}.body"), wanted.body.as_ref(), &found.body, failures);
    equal(&format!("{path}.grpc_status"), wanted.grpc_status, found.grpc_status, failures);
}

pub(super) fn calls(expected: &Expectation, report: &Report, failures: &mut Vec<Failure>) {
    let Some(wanted) = &expected.calls else { return };
    if wanted.len() != report.calls.len() {
        let made = report.calls.iter().map(|call| call.cluster.clone()).collect();
        failures.push(how_many("expect.calls", wanted.len(), made));
    }
    for (index, (wanted, found)) in wanted.iter().zip(&report.calls).enumerate() {
        let CallExpectation { cluster, headers: wanted_headers, body, trailers, timeout_milliseconds } = wanted;
        let path = |name: &str| format!("expect.calls[{index}].{name}");
        equal(&path("cluster"), cluster.as_ref(), Some(&found.cluster), failures);
        headers(&path("headers"), wanted_headers, &found.request.headers, failures);
        one(&path("body"), body.as_ref(), &found.request.body, failures);
        headers(&path("trailers"), trailers, &found.request.trailers, failures);
        equal(&path("timeout_milliseconds"), *timeout_milliseconds, Some(found.timeout_milliseconds), failures);
    }
}

fn how_many(path: &str, wanted: usize, made: Vec<String>) -> Failure {
    let calls = |count: usize| format!("{count} call{}", if count == 1 { "" } else { "s" });
    let found = if made.is_empty() { "none".to_owned() } else { format!("{} to {}", calls(made.len()), made.join(", ")) };
    Failure::new(path, calls(wanted), found)
}

pub(super) fn grpc_calls(expected: &Expectation, report: &Report, failures: &mut Vec<Failure>) {
    let Some(wanted) = &expected.grpc_calls else { return };
    if wanted.len() != report.grpc_calls.len() {
        let made = report.grpc_calls.iter().map(|call| format!("{}/{}", call.service, call.method)).collect();
        failures.push(how_many("expect.grpc_calls", wanted.len(), made));
    }
    for (index, (wanted, found)) in wanted.iter().zip(&report.grpc_calls).enumerate() {
        let GrpcCallExpectation { cluster, service, method, initial_metadata, messages, streaming, timeout_milliseconds } = wanted;
        let path = |name: &str| format!("expect.grpc_calls[{index}].{name}");
        equal(&path("cluster"), cluster.as_ref(), Some(&found.cluster), failures);
        equal(&path("service"), service.as_ref(), Some(&found.service), failures);
        equal(&path("method"), method.as_ref(), Some(&found.method), failures);
        headers(&path("initial_metadata"), initial_metadata, &found.initial_metadata, failures);
        equal(&path("streaming"), *streaming, Some(found.streaming), failures);
        equal(&path("timeout_milliseconds"), *timeout_milliseconds, Some(found.timeout_milliseconds), failures);
        let Some(messages) = messages else { continue };
        equal(&path("messages"), Some(messages.len()), Some(found.messages.len()), failures);
        for (number, (matcher, message)) in messages.iter().zip(&found.messages).enumerate() {
            one(&path(&format!("messages[{number}]")), Some(matcher), message, failures);
        }
    }
}

fn headers(path: &str, wanted: &Matchers, found: &Headers, failures: &mut Vec<Failure>) {
    map(path, wanted, |name| found.get_all(name).collect(), failures);
}

pub(super) fn map<'a>(path: &str, wanted: &'a Matchers, find: impl Fn(&'a str) -> Vec<&'a [u8]>, failures: &mut Vec<Failure>) {
    for (name, matcher) in wanted {
        if let Some(matcher) = matcher {
            failures.extend(matches::check(&format!("{path}.{name}"), matcher, &find(name)));
        }
    }
}

fn one(path: &str, matcher: Option<&Matcher>, found: &[u8], failures: &mut Vec<Failure>) {
    let Some(matcher) = matcher else { return };
    // A body of no bytes is none, when its presence is asked for.
    let empty = found.is_empty() && matches!(matcher, Matcher::Present | Matcher::Absent);
    let found: &[&[u8]] = if empty { &[] } else { &[found] };
    failures.extend(matches::check(path, matcher, found));
}

fn equal<T: PartialEq + std::fmt::Debug>(path: &str, wanted: Option<T>, found: Option<T>, failures: &mut Vec<Failure>) {
    if let Some(wanted) = wanted
        && Some(&wanted) != found.as_ref()
    {
        let found = found.map_or_else(|| "none".to_owned(), |found| format!("{found:?}"));
        failures.push(Failure::new(path, format!("{wanted:?}"), found));
    }
}
