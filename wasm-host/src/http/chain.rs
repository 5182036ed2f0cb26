//! Several filters in one chain: the request passes them in order, the response in reverse. Each has a VM of its own; filter state is the
//! stream's and all see it. A filter gets a half of the stream when the one before has let all of it through, where Envoy hands on piece by
//! piece: what each sees and what comes out is the same, only calls of different filters are in another order.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Exchange, Onward, Stop, envoys_own, grpc_request, reply};
use crate::chain::ChainOutcome;
use crate::message::{Message, Request, Response, UpstreamReply};
use crate::report::{Ended, LocalReply};
use crate::stream::{Side, Stream};
use crate::value::Value;
use crate::vm::Vm;

/// The filters of one stream.
struct Chain<'a> {
    filters: Vec<Exchange<'a>>,
    filter_state: BTreeMap<Vec<u8>, Value>,
    now: Duration,
    /// Where the filter is that replied, and what.
    reply: Option<(usize, LocalReply)>,
    /// Filters whose VM is lost.
    lost: Vec<usize>,
}

pub(crate) fn chain(vms: Vec<(&mut Vm, u32)>, request: Request) -> ChainOutcome {
    let Request { headers, chunks, trailers, attributes, reply } = request;
    let grpc = grpc_request(&headers);
    let count = vms.len();
    let filter_state = attributes.filter_state.clone();
    let mut chain = Chain { filters: Vec::new(), filter_state, now: Duration::ZERO, reply: None, lost: Vec::new() };
    // Every filter has its context before the first sees the request.
    for (index, (vm, root)) in vms.into_iter().enumerate() {
        chain.now = chain.now.max(vm.state().timeline.now());
        let (id, created) = vm.open_stream(root, Stream { attributes: attributes.clone(), ..Stream::default() });
        if created.is_err() {
            chain.lost.push(index);
        }
        let is_last = index + 1 == count;
        chain.filters.push(Exchange { is_last, ..Exchange::new(vm, id) });
    }
    let message = (headers, chunks, trailers);
    let (upstream_request, ran) = match chain.decode(message) {
        Ok(message) => {
            let ran = match reply {
                UpstreamReply::Response(response) => chain.encode(response, "via_upstream", false),
                UpstreamReply::Reset => {
                    let local = envoys_own::reset();
                    chain.encode(reply::response(&local, grpc), &local.details, true)
                }
            };
            (Some(message), ran)
        }
        Err((index, stop)) => (None, chain.answer_stop(index, stop, grpc)),
    };
    chain.finish(upstream_request, ran)
}

type Parts = (crate::Headers, Vec<Vec<u8>>, crate::Headers);

impl Chain<'_> {
    /// What the upstream gets, or where it stopped and why.
    fn decode(&mut self, message: Parts) -> Result<Message, (usize, Stop)> {
        let (mut headers, mut chunks, mut trailers) = message;
        for index in 0..self.filters.len() {
            if self.lost.contains(&index) {
                return Err((index, Stop::Trapped));
            }
            let side_trailers = (!trailers.is_empty()).then_some(std::mem::take(&mut trailers));
            let request = Side { headers: std::mem::take(&mut headers), trailers: side_trailers, present: true, ..Side::default() };
            let pieces = std::mem::take(&mut chunks);
            let decoded = self.with(index, |filter| {
                if let Some(stream) = filter.stream_mut() {
                    stream.request = request;
                }
                filter.passed.clear();
                filter.decode(pieces)
            });
            decoded.map_err(|stop| (index, stop))?;
            if let Some(filter) = self.filters.get_mut(index) {
                let passed = filter.outcome.upstream_request.clone().unwrap_or_default();
                (headers, trailers, chunks) = (passed.headers, passed.trailers, std::mem::take(&mut filter.passed));
            }
        }
        Ok(crate::calls::message(headers, &chunks, trailers))
    }

    /// Filters that the request did not reach see the response too, as in Envoy.
    fn answer_stop(&mut self, index: usize, stop: Stop, grpc: bool) -> Result<Option<Message>, Stop> {
        match stop {
            Stop::Reply(local) => {
                let (response, details) = (reply::response(&local, grpc), local.details.clone());
                self.reply = Some((index, local));
                self.encode(response, &details, true)
            }
            Stop::Envoy(local) => self.encode(reply::response(&local, grpc), &local.details, true),
            Stop::Trapped => {
                self.lost.push(index);
                self.encode(Response::new(503), reply::FAILED, true)
            }
            Stop::Closed | Stop::Hung | Stop::Crash => Err(stop),
        }
    }

    /// What the client gets.
    fn encode(&mut self, response: Response, details: &str, local: bool) -> Result<Option<Message>, Stop> {
        let mut response = response;
        for index in (0..self.filters.len()).rev().filter(|index| !self.lost.contains(index)).collect::<Vec<_>>() {
            let handed = std::mem::replace(&mut response, Response::new(200));
            let encoded = self.with(index, |filter| {
                filter.passed.clear();
                filter.encode(handed, details, local)
            });
            let Some(filter) = self.filters.get_mut(index) else { continue };
            let message = filter.outcome.client_response.clone();
            match encoded {
                Ok(Onward::Next) => {
                    let Message { headers, trailers, .. } = message.unwrap_or_default();
                    response = Response { headers, chunks: std::mem::take(&mut filter.passed), trailers };
                }
                Ok(Onward::Client) => {
                    self.reply = filter.outcome.local_reply.clone().map(|reply| (index, reply));
                    return Ok(message);
                }
                Err(Stop::Trapped) => {
                    self.lost.push(index);
                    return Ok(Some(message.unwrap_or_else(|| reply::own(503, ""))));
                }
                Err(stop) => return Err(stop),
            }
        }
        Ok(Some(reply::message(response)))
    }

    /// Lets one filter act, with the filter state that the others left and the time that has passed meanwhile.
    fn with<R>(&mut self, index: usize, act: impl FnOnce(&mut Exchange<'_>) -> Result<R, Stop>) -> Result<R, Stop> {
        let Some(filter) = self.filters.get_mut(index) else { return Err(Stop::Trapped) };
        while filter.vm.next_event(self.now)? {}
        filter.vm.state_mut().timeline.move_to(self.now);
        if let Some(stream) = filter.stream_mut() {
            stream.attributes.filter_state.clone_from(&self.filter_state);
        }
        let acted = act(filter);
        self.now = filter.vm.state().timeline.now();
        if let Some(stream) = filter.stream_mut() {
            self.filter_state.clone_from(&stream.attributes.filter_state);
        }
        acted
    }

    /// All log, then all are done and deleted. All see the messages as they went out.
    fn finish(mut self, upstream_request: Option<Message>, ran: Result<Option<Message>, Stop>) -> ChainOutcome {
        let (client_response, mut ended) = match ran {
            Ok(client) => (client, Ended::Completed),
            Err(Stop::Closed) => (None, Ended::Closed),
            Err(Stop::Hung) => (None, Ended::Hung),
            Err(Stop::Crash) => (None, Ended::EnvoyCrash),
            Err(Stop::Trapped | Stop::Reply(_) | Stop::Envoy(..)) => (None, Ended::Trapped),
        };
        let details = self.filters.iter().rev().find_map(|filter| filter.stream().and_then(|stream| stream.code_details.clone()));
        let indices: Vec<usize> = if ended == Ended::EnvoyCrash { Vec::new() } else { (0..self.filters.len()).collect() };
        for delete in [false, true] {
            for index in indices.iter().copied() {
                if self.lost.contains(&index) {
                    continue;
                }
                let client = client_response.as_ref().map(|message| message.headers.clone());
                let said = self.with(index, |filter| {
                    if let (false, Some(stream), Some(headers)) = (delete, filter.stream_mut(), client) {
                        stream.response.headers = headers;
                        stream.response.present = true;
                    }
                    Ok(if delete { filter.second_farewell() } else { filter.first_farewell() }?)
                });
                if said.is_err() {
                    self.lost.push(index);
                }
            }
        }
        let crashed = self.filters.iter().any(|filter| filter.vm.state().recorder.misuse.iter().any(|misuse| misuse.ends_envoy()));
        if crashed {
            ended = Ended::EnvoyCrash;
        } else if !self.lost.is_empty() {
            ended = Ended::Trapped;
        }
        let filter_state = self.filter_state;
        let reports = self.filters.into_iter().map(|filter| {
            filter.vm.close_stream(filter.id);
            crate::Report { filter_state: filter_state.clone(), ..filter.vm.take_report() }
        });
        ChainOutcome {
            ended,
            local_reply: self.reply,
            upstream_request,
            client_response,
            code_details: details,
            reports: reports.collect(),
        }
    }
}
