use std::rc::Rc;

use meshwright_handover::{self as handover, Left};
use meshwright_policy::{Connection, HeaderChange};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};

use crate::connection::{self, UnknownPeer};
use crate::engine::{Denial, Engine};
use crate::headers::Received;
use crate::host::{self, Host};
use crate::open::Ticket;
use crate::raw;

/// One HTTP request, decided at its headers. Nothing is read later: Envoy has given the headers away by then.
///
/// None of the calls made here can panic in the SDK: the request's headers are there, and writable, until this callback returns, and names
/// of headers are tokens (RFC 9110 section 5.1), hence UTF-8, or the proxy has refused the request.
#[derive(Debug)]
pub(crate) struct HttpRequest {
    engine: Option<Rc<Engine>>,
    open: Ticket,
    left: Left,
}

impl HttpRequest {
    pub(crate) fn new(engine: Option<Rc<Engine>>, open: Ticket) -> Self {
        Self { engine, open, left: Left::default() }
    }
}

impl Context for HttpRequest {}

impl HttpContext for HttpRequest {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        // No host makes a stream for a plugin that it could not configure; should one, the request is denied.
        let Some(engine) = &self.engine else { return reply(&Denial::FORBIDDEN) };
        // Every host has a request's headers here; of one that has not nothing is known.
        let Some(bytes) = raw::request_headers() else { return reply(&Denial::FORBIDDEN) };
        let connection = connection::of_request(&Host, engine.policy());
        if let Ok(connection) = &connection
            && let Some(repeated) = engine.again(connection, &bytes, host::now)
        {
            record_passing(engine, &mut self.left, repeated.record());
            repeated.changes().iter().for_each(apply);
            return Action::Continue;
        }
        decide(engine, connection, &bytes, &mut self.left)
    }

    fn on_log(&mut self) {
        // Of a stream that was ended the filter state says why.
        if !self.open.was_ended() {
            self.left.show();
        }
    }
}

/// For the access log: in this VM if it is here, too.
fn record_passing(engine: &Engine, left: &mut Left, record: &Rc<[u8]>) {
    if engine.policy().logs_in_vm() && handover::is_read() {
        left.keep(Rc::clone(record));
    } else {
        host::record(record);
    }
}

#[inline(never)]
fn decide(engine: &Engine, connection: Result<Connection, UnknownPeer>, bytes: &[u8], left: &mut Left) -> Action {
    let Ok(received) = Received::parse(bytes, engine.policy().owned_headers()) else { return reply(&Denial::FORBIDDEN) };
    received.forged().iter().for_each(|name| remove(name));
    let is_forged = !received.forged().is_empty();
    let outcome = engine.request(connection.as_ref().map_err(|error| *error), received.into_headers(), host::now);
    let mut outcome = engine.if_askable(outcome, host::providers);
    if let Ok(connection) = connection
        && !is_forged
    {
        engine.remember(&mut outcome, connection, bytes);
    }
    // What others are asked about may be denied still, and what is denied is never left to memory alone.
    if outcome.denial.is_none() && outcome.custom.is_empty() {
        record_passing(engine, left, &outcome.record);
    } else {
        host::record(&outcome.record);
    }
    outcome.to_ask().iter().for_each(|providers| host::ask(providers));
    outcome.unknown_key.iter().for_each(|line| host::log_warning(line));
    match outcome.denial {
        None => {
            outcome.changes.iter().for_each(apply);
            Action::Continue
        }
        Some(denial) => reply(&denial),
    }
}

fn apply(change: &HeaderChange) {
    match change {
        HeaderChange::Set(name, value) => set(name, value.as_bytes()),
        HeaderChange::Remove(name) => remove(name),
    }
}

fn set(name: &str, value: &[u8]) {
    let _ = hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, Some(value));
}

fn remove(name: &str) {
    let _ = hostcalls::remove_map_value(MapType::HttpRequestHeaders, name);
}

/// Envoy makes of it what the client understands: a gRPC client gets a status in trailers.
fn reply(denial: &Denial) -> Action {
    let challenge = denial.challenge.as_deref().map(|challenge| ("www-authenticate", challenge));
    let _ = hostcalls::send_http_response(denial.status.into(), challenge.into_iter().collect(), Some(denial.body.as_bytes()));
    Action::Pause
}
