use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, StreamContext};
use proxy_wasm::types::Action;

use crate::connection::{self, Moment};
use crate::engine::Engine;
use crate::host::{self, Host};
use crate::open::{self, Ticket};

/// One TCP connection: no byte passes in either direction before the decision, and none ever after a denial.
///
/// - Plaintext: decided in `on_new_connection`, before the proxy connects to the app.
/// - TLS, the usual case (`tcp_proxy` with `upstream_connect_mode: ON_DOWNSTREAM_TLS_HANDSHAKE`): decided at the first data in either
///   direction; the app's greeting, if it speaks first, waits for the decision.
/// - TLS on an Envoy without that mode (1.36): the app may greet before the handshake is over. Its bytes are held back; they go out with
///   its next ones, after the client's first have been decided on. Pausing in `on_new_connection` instead would be a deadlock: `tcp_proxy`
///   has stopped reading from the client until it runs, so that the handshake never ends.
#[derive(Debug)]
pub(crate) struct Connection {
    engine: Option<Rc<Engine>>,
    state: State,
    _open: Ticket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Undecided,
    Allowed,
    Denied,
}

impl Connection {
    pub(crate) fn new(engine: Option<Rc<Engine>>, open: Ticket) -> Self {
        Self { engine, state: State::Undecided, _open: open }
    }

    fn advance(&mut self, moment: Moment) -> Action {
        if self.state == State::Undecided {
            self.state = self.decide(moment);
        }
        match (self.state, moment) {
            (State::Allowed, _) | (State::Undecided, Moment::New) => Action::Continue,
            (State::Denied, _) | (State::Undecided, Moment::DownstreamData | Moment::UpstreamData) => Action::Pause,
        }
    }

    #[inline(never)]
    fn decide(&self, moment: Moment) -> State {
        // No host makes a stream for a plugin that it could not configure; should one, the connection is closed.
        let Some(engine) = &self.engine else { return deny() };
        let Some(connection) = connection::of_stream(&Host, moment) else { return State::Undecided };
        // The list may have changed since the connection was accepted.
        let refused = connection.as_ref().ok().and_then(|connection| Some((open::denies(&connection.peer)?, connection.peer.clone())));
        if let Some((reason, peer)) = refused {
            host::record(&engine.refused_peer(reason, peer));
            return deny();
        }
        let connection =
            connection.map(|known| meshwright_policy::Connection { metadata: connection::metadata(&Host, engine.policy()), ..known });
        let outcome = engine.if_askable(engine.connection(connection), host::providers);
        host::record(&outcome.record);
        outcome.to_ask().iter().for_each(|providers| host::ask(providers));
        if outcome.denial.is_some() { deny() } else { State::Allowed }
    }
}

/// The connection ends when this callback has returned; what it carried until then is dropped.
fn deny() -> State {
    // Never an error: the host only notes it.
    let _ = hostcalls::close_downstream();
    State::Denied
}

impl Context for Connection {}

impl StreamContext for Connection {
    fn on_new_connection(&mut self) -> Action {
        self.advance(Moment::New)
    }

    fn on_downstream_data(&mut self, _size: usize, _end_of_stream: bool) -> Action {
        self.advance(Moment::DownstreamData)
    }

    fn on_upstream_data(&mut self, _size: usize, _end_of_stream: bool) -> Action {
        self.advance(Moment::UpstreamData)
    }
}
