//! gRPC calls and streams. Answers come on the virtual clock, to the root context.

use std::time::Duration;

use prost::Message;
use wasmtime::Linker;

use super::headers::parse_pairs;
use super::http_call::SERVICE_TIME;
use crate::abi::Status;
use crate::call::{Answer, Call};
use crate::calls::TokenKind;
use crate::grpc::{Grpc, GrpcEvent, Open};
use crate::headers::Headers;
use crate::misuse::Misuse;
use crate::report::GrpcCall;
use crate::state::State;
use crate::timeline::Event;
use crate::upstream::{self, AnswerKind};

/// The gRPC status of an answer that is none.
const INTERNAL: u32 = 13;
/// What Envoy says before it says why there was no answer.
const NO_ANSWER: &str = "upstream connect error or disconnect/reset before headers. reset reason:";

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "proxy_grpc_call" => start, (service: u32, service_len: u32, name: u32, name_len: u32, method: u32, method_len: u32,
            metadata: u32, metadata_len: u32, message: u32, message_len: u32, timeout: u32, token_out: u32);
        "proxy_grpc_stream" => start_stream, (service: u32, service_len: u32, name: u32, name_len: u32, method: u32, method_len: u32,
            metadata: u32, metadata_len: u32, token_out: u32);
        "proxy_grpc_send" => send, (token: u32, message: u32, len: u32, end: u32);
        "proxy_grpc_cancel" => cancel, (token: u32);
        "proxy_grpc_close" => close, (token: u32);
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn start(
    call: &mut Call<'_>,
    service: u32,
    service_len: u32,
    name: u32,
    name_len: u32,
    method: u32,
    method_len: u32,
    metadata: u32,
    metadata_len: u32,
    message: u32,
    message_len: u32,
    timeout: u32,
    token_out: u32,
) -> Answer {
    let message = call.read(message, message_len)?;
    let target = target(call, [(service, service_len), (name, name_len), (method, method_len), (metadata, metadata_len)])?;
    open(call, GrpcCall { messages: vec![message], timeout_milliseconds: timeout, ..target }, token_out)
}

#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn start_stream(
    call: &mut Call<'_>,
    service: u32,
    service_len: u32,
    name: u32,
    name_len: u32,
    method: u32,
    method_len: u32,
    metadata: u32,
    metadata_len: u32,
    token_out: u32,
) -> Answer {
    let target = target(call, [(service, service_len), (name, name_len), (method, method_len), (metadata, metadata_len)])?;
    open(call, GrpcCall { streaming: true, ..target }, token_out)
}

fn target(call: &mut Call<'_>, texts: [(u32, u32); 4]) -> Result<GrpcCall, Status> {
    let [service, name, method, metadata] = texts;
    let target = call.read(service.0, service.1)?;
    let service = call.read_text(name.0, name.1)?;
    let method = call.read_text(method.0, method.1)?;
    let initial_metadata = parse_pairs(&call.read(metadata.0, metadata.1)?);
    let cluster = cluster(call.state_mut(), &target)?;
    Ok(GrpcCall { cluster, service, method, initial_metadata, ..GrpcCall::default() })
}

/// `envoy.config.core.v3.GrpcService`, as far as it names a cluster.
#[derive(Clone, PartialEq, Message)]
struct GrpcService {
    #[prost(message, optional, tag = "1")]
    envoy_grpc: Option<EnvoyGrpc>,
    #[prost(bytes = "vec", optional, tag = "2")]
    google_grpc: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct EnvoyGrpc {
    #[prost(string, tag = "1")]
    cluster_name: String,
}

/// A cluster's plain name, or a serialized `GrpcService`.
fn cluster(state: &mut State, service: &[u8]) -> Result<String, Status> {
    let settings = state.settings.clone();
    let known = |name: &str| settings.upstreams.contains_key(name);
    if let Some(name) = std::str::from_utf8(service).ok().filter(|name| known(name)) {
        return Ok(name.to_owned());
    }
    let decoded = GrpcService::decode(service).ok();
    if decoded.as_ref().is_some_and(|service| service.envoy_grpc.is_none() && service.google_grpc.is_none()) {
        state.recorder.misuse(Misuse::GrpcServiceEmpty);
    }
    match decoded.and_then(|service| service.envoy_grpc) {
        Some(service) if known(&service.cluster_name) => Ok(service.cluster_name),
        Some(_) => Err(Status::InternalFailure),
        None => Err(Status::ParseFailure),
    }
}

fn open(call: &mut Call<'_>, made: GrpcCall, token_out: u32) -> Answer {
    let state = call.state_mut();
    let root = state.root().ok_or(Status::BadArgument)?;
    let token = state.calls.next_token(if made.streaming { TokenKind::GrpcStream } else { TokenKind::GrpcCall });
    let number = state.calls.count(&made.cluster);
    let settings = state.settings.clone();
    let answer = settings.upstreams.get(&made.cluster).ok_or(Status::BadArgument)?.answer(number);
    let timeout = (made.timeout_milliseconds > 0).then(|| Duration::from_millis(made.timeout_milliseconds.into()));
    let script = script_of(answer, timeout, made.streaming);
    let waiting = match script {
        Some((_, script)) if script.on_send && made.streaming => Some(script),
        Some((after, script)) => {
            schedule(state, token, after, script, made.streaming);
            None
        }
        None => None,
    };
    state.grpc.open.insert(token, Open { root, streaming: made.streaming, waiting, half_closed: false });
    state.grpc.made.push(GrpcCall { token, ..made });
    Ok(call.write_u32(token_out, token)?)
}

/// What follows from the answer, and when; `None` for nothing ever.
fn script_of(answer: &upstream::Answer, timeout: Option<Duration>, streaming: bool) -> Option<(Duration, Grpc)> {
    let timed_out = || timeout.map(|timeout| (timeout, Grpc::of_envoy("upstream request timeout", "response_timeout")));
    if timeout.is_some_and(|timeout| answer.latency >= timeout) {
        return timed_out();
    }
    let script = match &answer.kind {
        AnswerKind::Never => return timed_out(),
        AnswerKind::Grpc(script) => script.as_ref().clone(),
        AnswerKind::Failure => Grpc::status(INTERNAL, ""),
        AnswerKind::Reset => {
            Grpc::of_envoy(&format!("{NO_ANSWER} connection termination"), "upstream_reset_before_response_started{connection_termination}")
        }
        AnswerKind::ConnectionFailure => Grpc::of_envoy(
            &format!("{NO_ANSWER} remote connection failure"),
            "upstream_reset_before_response_started{remote_connection_failure}",
        ),
        AnswerKind::Response(response) if !response.chunks.is_empty() => Grpc::status(INTERNAL, ""),
        // No gRPC: the HTTP status is all there is.
        AnswerKind::Response(response) => {
            let status = response.headers.text(":status").and_then(|status| status.parse().ok());
            Grpc::status(status.map_or(INTERNAL, crate::http::grpc_status), "")
        }
    };
    let no_answer = !streaming && script.status == 0 && script.messages.is_empty();
    Some((answer.latency, if no_answer { Grpc::status(INTERNAL, "") } else { script }))
}

/// A call is told one thing: its message, or why there is none. A stream is told everything.
fn schedule(state: &mut State, token: u32, after: Duration, script: Grpc, streaming: bool) {
    let (initial, trailing, text) = on_the_wire(&script, after);
    let Grpc { messages, status, .. } = script;
    let mut events = Vec::new();
    if streaming {
        events.push(GrpcEvent::Initial(initial));
        events.extend(messages.into_iter().map(GrpcEvent::Message));
        events.push(GrpcEvent::Trailing(trailing));
        events.push(GrpcEvent::Close(status, text));
    } else if status == 0 {
        events.extend(messages.into_iter().take(1).map(GrpcEvent::Message));
    } else {
        events.push(GrpcEvent::Close(status, text));
    }
    for event in events {
        state.timeline.after(after, Event::Grpc { token, event });
    }
}

/// What a service's answer is in HTTP/2, and what Envoy makes of its message.
fn on_the_wire(script: &Grpc, took: Duration) -> (Headers, Headers, String) {
    let Grpc { initial, trailing, status, text, details, .. } = script;
    let mut headers: Headers = [(":status", "200"), ("content-type", "application/grpc")].into_iter().collect();
    for (name, value) in initial.iter() {
        headers.add(name, value);
    }
    headers.add(SERVICE_TIME, took.as_millis().to_string());
    let mut trailers: Headers = [("grpc-status", status.to_string())].into_iter().collect();
    if !text.is_empty() {
        trailers.add("grpc-message", text.as_str());
    }
    for (name, value) in trailing.iter() {
        trailers.add(name, value);
    }
    let details = details.unwrap_or("via_upstream");
    let text = if text.is_empty() { details.to_owned() } else { format!("{text}{{{details}}}") };
    (headers, trailers, text)
}

/// A token of another kind is a mistake, one that nobody knows may be a stream that has ended.
fn open_of<'a>(state: &'a mut State, token: u32, kinds: &[TokenKind]) -> Result<&'a mut Open, Status> {
    TokenKind::of(token).filter(|kind| kinds.contains(kind)).ok_or(Status::BadArgument)?;
    state.grpc.open.get_mut(&token).ok_or(Status::NotFound)
}

fn send(call: &mut Call<'_>, token: u32, message: u32, len: u32, end: u32) -> Answer {
    let message = call.read(message, len)?;
    let state = call.state_mut();
    let open = open_of(state, token, &[TokenKind::GrpcStream])?;
    // What is sent after the end is taken, and goes nowhere.
    if open.half_closed {
        return Ok(());
    }
    let reply = open.waiting.as_mut().and_then(|script| (!script.messages.is_empty()).then(|| script.messages.remove(0)));
    state.grpc.record_message(token, message);
    if let Some(reply) = reply {
        state.timeline.after(Duration::ZERO, Event::Grpc { token, event: GrpcEvent::Message(reply) });
    }
    if end != 0 {
        half_close(state, token);
    }
    Ok(())
}

fn cancel(call: &mut Call<'_>, token: u32) -> Answer {
    let state = call.state_mut();
    open_of(state, token, &[TokenKind::GrpcCall, TokenKind::GrpcStream])?;
    state.grpc.open.remove(&token);
    Ok(())
}

/// Of a stream it closes the filter's half; the entry stays until the service has closed its own. Of a call it is a cancel.
fn close(call: &mut Call<'_>, token: u32) -> Answer {
    let state = call.state_mut();
    if open_of(state, token, &[TokenKind::GrpcCall, TokenKind::GrpcStream])?.streaming {
        half_close(state, token);
    } else {
        state.grpc.open.remove(&token);
    }
    Ok(())
}

fn half_close(state: &mut State, token: u32) {
    let Some(open) = state.grpc.open.get_mut(&token) else { return };
    open.half_closed = true;
    if let Some(script) = open.waiting.take() {
        let (_, trailing, text) = on_the_wire(&script, Duration::ZERO);
        let status = script.status;
        for event in [GrpcEvent::Trailing(trailing), GrpcEvent::Close(status, text)] {
            state.timeline.after(Duration::ZERO, Event::Grpc { token, event });
        }
    }
}
