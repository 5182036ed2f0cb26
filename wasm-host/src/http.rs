//! The HTTP stream state machine, in Envoy's order: request headers, body, trailers; then the same of the response, be it the upstream's or
//! one made here; then log, done, delete. A filter that pauses is waited for on the virtual clock.

mod chain;
mod envoys_own;
mod phases;
mod reply;

use std::time::Duration;

use crate::headers::Headers;
use crate::message::{Message, Request, Response, UpstreamReply};
use crate::misuse::Misuse;
use crate::profile::Profile;
use crate::report::{Ended, LocalReply, Outcome};
use crate::stream::{Side, Stream};
use crate::vm::{Trapped, Vm};

pub(crate) use chain::chain;
pub(crate) use envoys_own::reset;
use phases::Which;
pub(crate) use reply::grpc_status;

/// How long a paused stream is waited for: Envoy's default for idle streams.
const IDLE: Duration = Duration::from_secs(300);

/// Why a phase does not lead to the next.
#[derive(Debug)]
enum Stop {
    Reply(LocalReply),
    /// Envoy itself answers so.
    Envoy(LocalReply),
    Closed,
    Hung,
    Trapped,
    Crash,
}

impl From<Trapped> for Stop {
    fn from(_: Trapped) -> Self {
        Self::Trapped
    }
}

struct Exchange<'a> {
    vm: &'a mut Vm,
    id: u32,
    outcome: Outcome,
    /// Behind it is the router, not another filter.
    is_last: bool,
    /// What it let through of the half that is under way, piece by piece.
    passed: Vec<Vec<u8>>,
}

/// Where a response goes from a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Onward {
    /// To the next filter, or the client.
    Next,
    /// To the client, past all other filters.
    Client,
}

/// Drives one request to its end. The stream is what is left of it.
pub(crate) fn exchange(vm: &mut Vm, root: u32, request: Request) -> (Outcome, Stream) {
    if vm.failed() {
        let outcome = Outcome {
            ended: Ended::Trapped,
            client_response: Some(reply::own(503, "")),
            code_details: Some(reply::FAILED.to_owned()),
            ..Outcome::default()
        };
        return (outcome, Stream::default());
    }
    let Request { headers, chunks, trailers, attributes, reply } = request;
    let trailers = (!trailers.is_empty()).then_some(trailers);
    let request = Side { headers, trailers, present: true, ..Side::default() };
    let (id, created) = vm.open_stream(root, Stream { request, attributes, ..Stream::default() });
    let mut exchange = Exchange::new(vm, id);
    let ran = created.map_err(Stop::from).and_then(|()| exchange.run(chunks, reply));
    let ended = exchange.finish(ran);
    let outcome = Outcome { ended, code_details: exchange.stream().and_then(|stream| stream.code_details.clone()), ..exchange.outcome };
    let stream = vm.close_stream(id);
    (outcome, stream)
}

/// What comes of a request when there is no filter.
pub(crate) fn bypass(request: Request) -> Outcome {
    let Request { headers, chunks, trailers, reply, .. } = request;
    let envoys_own = |local: LocalReply| (reply::message(reply::response(&local, grpc_request(&headers))), local.details);
    if let Some(local) = envoys_own::to_request(&headers, false) {
        let (response, details) = envoys_own(local);
        return Outcome { client_response: Some(response), code_details: Some(details), ..Outcome::default() };
    }
    let (client_response, details) = match reply {
        UpstreamReply::Response(response) => (reply::message(response), "via_upstream".to_owned()),
        UpstreamReply::Reset => envoys_own(envoys_own::reset()),
    };
    Outcome {
        upstream_request: Some(crate::calls::message(headers, &chunks, trailers)),
        client_response: Some(client_response),
        code_details: Some(details),
        ..Outcome::default()
    }
}

impl<'a> Exchange<'a> {
    fn new(vm: &'a mut Vm, id: u32) -> Self {
        Self { vm, id, outcome: Outcome::default(), is_last: true, passed: Vec::new() }
    }

    fn run(&mut self, chunks: Vec<Vec<u8>>, reply: UpstreamReply) -> Result<(), Stop> {
        let grpc = self.is_grpc();
        let stop = match self.decode(chunks) {
            Ok(()) => match reply {
                UpstreamReply::Response(response) => return self.encode(response, "via_upstream", false).map(|_| ()),
                UpstreamReply::Reset => Stop::Envoy(envoys_own::reset()),
            },
            Err(stop) => stop,
        };
        match stop {
            Stop::Reply(local) => {
                let response = reply::response(&local, grpc);
                let details = local.details.clone();
                self.outcome.local_reply = Some(local);
                self.encode(response, &details, true).map(|_| ())
            }
            Stop::Envoy(local) => self.encode(reply::response(&local, grpc), &local.details, true).map(|_| ()),
            Stop::Closed | Stop::Hung | Stop::Trapped | Stop::Crash => Err(stop),
        }
    }

    fn decode(&mut self, chunks: Vec<Vec<u8>>) -> Result<(), Stop> {
        let has_trailers = self.stream().is_some_and(|stream| stream.request.trailers.is_some());
        let ends = chunks.is_empty() && !has_trailers;
        let forwarded = self.stream().is_some_and(|stream| stream.request.headers.get("x-forwarded-proto").is_some());
        let goes_on = self.headers_phase(Which::Request, ends)?;
        let headers = self.stream().map(|stream| stream.request.headers.clone()).unwrap_or_default();
        if let Some(local) = envoys_own::to_request(&headers, forwarded).filter(|_| self.is_last) {
            return Err(Stop::Envoy(local));
        }
        self.outcome.upstream_request = Some(Message { headers, ..Message::default() });
        if goes_on && !ends {
            self.body_phase(Which::Request, pieces(chunks, has_trailers), has_trailers)?;
        }
        self.complete(Which::Request);
        Ok(())
    }

    /// A reply that is made here has its end in the last piece of its body; an upstream's has it in an empty one of its own.
    fn encode(&mut self, response: Response, details: &str, local: bool) -> Result<Onward, Stop> {
        let Response { headers, mut chunks, mut trailers } = response;
        if self.stream().is_some_and(|stream| stream.request.headers.get(":method") == Some(b"HEAD")) {
            (chunks, trailers) = (Vec::new(), Headers::new());
        }
        let has_trailers = !trailers.is_empty();
        let ends = chunks.is_empty() && !has_trailers;
        if let Some(stream) = self.stream_mut() {
            let trailers = has_trailers.then_some(trailers);
            stream.response = Side { headers, trailers, present: true, ..Side::default() };
            stream.code_details = Some(details.to_owned());
        }
        let pieces = if local { chunks.into_iter().map(|chunk| (chunk, true)).collect() } else { pieces(chunks, has_trailers) };
        let ran = self.encode_phases(ends, pieces, has_trailers);
        match ran {
            // The response is replaced while nothing of it was sent, and cut short otherwise.
            Err(Stop::Reply(local)) => {
                if self.outcome.client_response.is_none() {
                    let message = reply::message(reply::response(&local, self.is_grpc()));
                    self.replace_response(&message, &local.details);
                    self.outcome.client_response = Some(message);
                } else {
                    self.set_details(&local.details);
                    self.vm.state_mut().recorder.misuse(Misuse::ReplyAfterHeaders);
                }
                self.outcome.local_reply = Some(local);
                Ok(Onward::Client)
            }
            Err(Stop::Envoy(local)) => {
                let message = reply::message(reply::response(&local, self.is_grpc()));
                self.replace_response(&message, &local.details);
                self.outcome.client_response = Some(message);
                Ok(Onward::Client)
            }
            other => other.map(|()| Onward::Next),
        }
    }

    fn encode_phases(&mut self, ends: bool, pieces: Vec<(Vec<u8>, bool)>, has_trailers: bool) -> Result<(), Stop> {
        let goes_on = self.headers_phase(Which::Response, ends)?;
        let headers = self.stream().map(|stream| stream.response.headers.clone()).unwrap_or_default();
        if let Some(local) = envoys_own::to_response(&headers) {
            return Err(Stop::Envoy(local));
        }
        self.outcome.client_response = Some(Message { headers, ..Message::default() });
        if goes_on && !ends {
            self.body_phase(Which::Response, pieces, has_trailers)?;
        }
        self.complete(Which::Response);
        Ok(())
    }

    /// Log, done, delete; none of them for a VM that is lost.
    fn finish(&mut self, ran: Result<(), Stop>) -> Ended {
        let ended = match ran {
            Ok(()) => Ended::Completed,
            Err(Stop::Closed) => {
                if self.stream().is_some_and(|stream| stream.code_details.is_none()) {
                    self.set_details("wasm_close_stream");
                }
                Ended::Closed
            }
            Err(Stop::Hung) => {
                // In the end the client gives up.
                self.set_details("downstream_remote_disconnect");
                Ended::Hung
            }
            Err(Stop::Crash) => return Ended::EnvoyCrash,
            Err(Stop::Trapped | Stop::Reply(_) | Stop::Envoy(..)) => return self.fail(),
        };
        match self.first_farewell().and_then(|()| self.second_farewell()) {
            Ok(()) if self.vm.state().recorder.misuse.iter().any(|misuse| misuse.ends_envoy()) => Ended::EnvoyCrash,
            Ok(()) => ended,
            Err(Trapped) => self.fail(),
        }
    }

    fn log(&mut self) -> Result<(), Trapped> {
        let id = self.id;
        let now = self.vm.state().timeline.nanoseconds();
        if let Some(stream) = self.stream_mut() {
            stream.request.close();
            stream.response.close();
            stream.ended = now;
            stream.logging = true;
        }
        self.vm.invoke("proxy_on_log", id, &[id])?;
        self.vm.log_beside(id)?;
        if let Some(stream) = self.stream_mut() {
            stream.logging = false;
        }
        Ok(())
    }

    /// Envoy goes on whatever this answers.
    fn done(&mut self) -> Result<(), Trapped> {
        let id = self.id;
        let finished = self.vm.invoke("proxy_on_done", id, &[id])?.is_none_or(|done| done != 0);
        if finished || self.profile() == Profile::Envoy {
            return Ok(());
        }
        if let Some(stream) = self.stream_mut() {
            stream.finishing = true;
        }
        while self.stream().is_some_and(|stream| !stream.done) {
            if !self.vm.next_event(Duration::MAX)? {
                self.vm.state_mut().recorder.misuse(Misuse::ContextNeverDone);
                break;
            }
        }
        Ok(())
    }

    /// All filters of a chain say the first of their two farewells, and then all the second.
    fn first_farewell(&mut self) -> Result<(), Trapped> {
        match self.profile() {
            Profile::Envoy => self.log(),
            Profile::Spec => self.done(),
        }
    }

    fn second_farewell(&mut self) -> Result<(), Trapped> {
        match self.profile() {
            Profile::Envoy => self.done()?,
            Profile::Spec => self.log()?,
        }
        self.vm.invoke("proxy_on_delete", self.id, &[self.id])?;
        Ok(())
    }

    fn profile(&self) -> Profile {
        self.vm.state().settings.profile
    }

    fn fail(&mut self) -> Ended {
        if self.outcome.client_response.is_none() {
            self.outcome.client_response = Some(reply::own(503, ""));
            self.set_details(reply::FAILED);
        }
        Ended::Trapped
    }

    fn set_details(&mut self, details: &str) {
        if let Some(stream) = self.stream_mut() {
            stream.code_details = Some(details.to_owned());
        }
    }

    fn replace_response(&mut self, message: &Message, details: &str) {
        self.set_details(details);
        if let Some(stream) = self.stream_mut() {
            stream.response.headers = message.headers.clone();
        }
    }

    fn is_grpc(&self) -> bool {
        self.stream().is_some_and(|stream| grpc_request(&stream.request.headers))
    }

    fn stream(&self) -> Option<&Stream> {
        self.vm.state().streams.get(&self.id)
    }

    fn stream_mut(&mut self) -> Option<&mut Stream> {
        self.vm.state_mut().streams.get_mut(&self.id)
    }
}

/// Over HTTP/1 the end of a body comes as an empty piece of its own.
fn pieces(chunks: Vec<Vec<u8>>, has_trailers: bool) -> Vec<(Vec<u8>, bool)> {
    let end = (!has_trailers).then(|| (Vec::new(), true));
    chunks.into_iter().map(|chunk| (chunk, false)).chain(end).collect()
}

fn grpc_request(headers: &Headers) -> bool {
    headers.text("content-type").is_some_and(|kind| kind == "application/grpc" || kind.starts_with("application/grpc+"))
}
