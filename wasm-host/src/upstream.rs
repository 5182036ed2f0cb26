//! Services that a filter calls: scripts of answers by cluster.

use std::time::Duration;

use crate::grpc::Grpc;
use crate::message::Response;

/// A cluster that filters can call. Its answers are given in order; the last one is given again to every later call.
///
/// ```
/// # let wasm = wat::parse_file("doc/tour.wat")?;
/// use std::time::Duration;
/// use meshwright_wasm_host::{Answer, Host, Request, Response, Upstream};
///
/// let auth = Upstream::new(Answer::response(Response::new(503)))
///     .then(Answer::response(Response::new(200).body("{}")).after(Duration::from_millis(20)))
///     .then(Answer::never());
/// let mut worker = Host::load(&wasm)?.plugin("", "").upstream("auth", auth).start()?;
/// let statuses = [(); 3].map(|()| worker.request(Request::get("/check")).status());
/// assert_eq!(statuses, [Some(401), Some(200), Some(401)], "the last got Envoy's own 504 after a second");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Upstream {
    first: Answer,
    rest: Vec<Answer>,
}

impl Upstream {
    /// A cluster that answers every call so.
    #[must_use]
    pub const fn new(answer: Answer) -> Self {
        Self { first: answer, rest: Vec::new() }
    }

    /// The answer to the next call.
    #[must_use]
    pub fn then(mut self, answer: Answer) -> Self {
        self.rest.push(answer);
        self
    }

    pub(crate) fn answer(&self, call: usize) -> &Answer {
        let later = call.checked_sub(1).and_then(|index| self.rest.get(index).or(self.rest.last()));
        later.unwrap_or(&self.first)
    }
}

/// How one call is answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(crate) kind: AnswerKind,
    pub(crate) latency: Duration,
}

#[derive(Debug, Clone)]
pub(crate) enum AnswerKind {
    Response(Response),
    Reset,
    Failure,
    ConnectionFailure,
    Never,
    Grpc(Box<Grpc>),
}

impl Answer {
    /// A response. A latency beyond the call's own timeout makes it Envoy's 504 instead.
    #[must_use]
    pub const fn response(response: Response) -> Self {
        Self::of(AnswerKind::Response(response))
    }

    /// The service closes the connection instead: the filter gets Envoy's 503.
    #[must_use]
    pub const fn reset() -> Self {
        Self::of(AnswerKind::Reset)
    }

    /// Envoy gives the call up, as when its answer is too large: the filter gets a response without headers.
    #[must_use]
    pub const fn failure() -> Self {
        Self::of(AnswerKind::Failure)
    }

    /// No connection: the filter gets Envoy's 503.
    #[must_use]
    pub const fn connection_failure() -> Self {
        Self::of(AnswerKind::ConnectionFailure)
    }

    /// No answer ever: the filter gets Envoy's 504 when its timeout is over, or nothing if it set none.
    #[must_use]
    pub const fn never() -> Self {
        Self::of(AnswerKind::Never)
    }

    /// The answer to a gRPC call or stream. An HTTP call gets a 200 without a body.
    #[must_use]
    pub fn grpc(answer: Grpc) -> Self {
        Self::of(AnswerKind::Grpc(Box::new(answer)))
    }

    /// The answer comes so much later, on the virtual clock.
    #[must_use]
    pub const fn after(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    const fn of(kind: AnswerKind) -> Self {
        Self { kind, latency: Duration::ZERO }
    }
}
