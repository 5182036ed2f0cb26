//! HTTP calls to other services. The answer comes on the virtual clock, to the root context.

use std::time::Duration;

use wasmtime::Linker;

use super::headers::parse_pairs;
use crate::abi::Status;
use crate::call::{Answer, Call};
use crate::calls::{CallEnd, TokenKind, message};
use crate::headers::Headers;
use crate::message::Response;
use crate::misuse::Misuse;
use crate::report::HttpCall;
use crate::state::State;
use crate::timeline::Event;
use crate::upstream::{self, AnswerKind};

/// Envoy's router adds it to what an upstream answers, in milliseconds.
pub(super) const SERVICE_TIME: &str = "x-envoy-upstream-service-time";

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "proxy_http_call" => http_call, (cluster: u32, cluster_len: u32, headers: u32, headers_len: u32, body: u32, body_len: u32,
            trailers: u32, trailers_len: u32, timeout: u32, token_out: u32);
        "proxy_get_status" => get_status, (code_out: u32, pointer_out: u32, size_out: u32);
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn http_call(
    call: &mut Call<'_>,
    cluster: u32,
    cluster_len: u32,
    headers: u32,
    headers_len: u32,
    body: u32,
    body_len: u32,
    trailers: u32,
    trailers_len: u32,
    timeout_milliseconds: u32,
    token_out: u32,
) -> Answer {
    let cluster = call.read_text(cluster, cluster_len)?;
    let mut headers = parse_pairs(&call.read(headers, headers_len)?);
    let body = call.read(body, body_len)?;
    // Envoy reads them and sends none.
    call.read(trailers, trailers_len)?;
    if !body.is_empty() {
        headers.set("content-length", body.len().to_string());
    }
    let state = call.state_mut();
    let settings = state.settings.clone();
    let complete = [":method", ":path", ":authority"].iter().all(|name| headers.get(name).is_some_and(|value| !value.is_empty()));
    if !complete {
        state.recorder.misuse(Misuse::CallIncomplete);
    }
    if super::headers::breaks_lines(headers.iter().map(|(_, value)| value)) {
        state.recorder.misuse(Misuse::LineBreakInHeader);
    }
    let negative = timeout_milliseconds.cast_signed() < 0;
    let root = state.root().ok_or(Status::BadArgument)?;
    let token = state.calls.next_token(TokenKind::Http);
    let upstream = settings.upstreams.get(&cluster).filter(|_| complete && !negative);
    let Some(upstream) = upstream else {
        call.write_u32(token_out, token)?;
        return Err(Status::BadArgument.into());
    };
    let timeout = (timeout_milliseconds > 0).then(|| Duration::from_millis(timeout_milliseconds.into()));
    if let Some((after, end)) = end_of(upstream.answer(state.calls.count(&cluster)), timeout) {
        state.timeline.after(after, Event::CallEnds { token, end });
    }
    state.calls.pending.insert(token, root);
    state.recorder.calls.push(HttpCall { token, cluster, request: message(headers, &[body], Headers::new()), timeout_milliseconds });
    Ok(call.write_u32(token_out, token)?)
}

/// How a call with this answer ends and when; `None` for never.
fn end_of(answer: &upstream::Answer, timeout: Option<Duration>) -> Option<(Duration, CallEnd)> {
    let in_time = timeout.is_none_or(|timeout| answer.latency < timeout);
    let timed_out = || timeout.map(|timeout| (timeout, envoys_own(504, "upstream request timeout")));
    match &answer.kind {
        AnswerKind::Never => timed_out(),
        AnswerKind::Response(_) | AnswerKind::Reset | AnswerKind::Failure | AnswerKind::ConnectionFailure | AnswerKind::Grpc(_)
            if !in_time =>
        {
            timed_out()
        }
        AnswerKind::Grpc(_) => Some((answer.latency, CallEnd::Response(Box::new(Response::new(200))))),
        AnswerKind::Response(response) => {
            let took = answer.latency.as_millis().to_string();
            Some((answer.latency, CallEnd::Response(Box::new(response.clone().header(SERVICE_TIME, took)))))
        }
        AnswerKind::Reset => {
            let local = crate::http::reset();
            Some((answer.latency, envoys_own(503, &String::from_utf8_lossy(&local.body))))
        }
        AnswerKind::Failure => Some((answer.latency, CallEnd::Reset)),
        AnswerKind::ConnectionFailure => Some((
            answer.latency,
            envoys_own(503, "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"),
        )),
    }
}

/// Envoy answers such calls itself, with three headers and a body.
fn envoys_own(status: u16, body: &str) -> CallEnd {
    let response = Response::new(status).header("content-length", body.len().to_string()).header("content-type", "text/plain");
    CallEnd::Response(Box::new(response.body(body)))
}

fn get_status(call: &mut Call<'_>, code_out: u32, pointer_out: u32, size_out: u32) -> Answer {
    let (code, text) = call.state().last_status.clone();
    call.write_u32(code_out, code)?;
    call.give(text.as_bytes(), pointer_out, size_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Answer;

    #[test]
    fn a_late_answer_is_a_timeout() {
        let late = Answer::response(Response::new(200)).after(Duration::from_millis(5));
        for (answer, timeout, expected) in [
            (late.clone(), Some(5), Some((5, "504"))),
            (late.clone(), Some(6), Some((5, "200"))),
            (late, None, Some((5, "200"))),
            (Answer::never(), Some(1), Some((1, "504"))),
            (Answer::never(), None, None),
            (Answer::connection_failure(), Some(1), Some((0, "503"))),
        ] {
            let end = end_of(&answer, timeout.map(Duration::from_millis));
            let seen = end.as_ref().map(|(after, end)| match end {
                CallEnd::Response(response) => (after.as_millis(), response.headers.text(":status").unwrap()),
                CallEnd::Reset => (after.as_millis(), "reset"),
            });
            assert_eq!(seen, expected, "{answer:?} {timeout:?}");
        }
    }
}
