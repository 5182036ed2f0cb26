//! gRPC calls and streams that a filter opens, and how a scripted service answers them. Messages are bytes: no protobuf is looked at.

use std::collections::BTreeMap;

use crate::headers::Headers;
use crate::report::GrpcCall;

/// What a gRPC service answers to one call or stream.
///
/// ```
/// # let wasm = wat::parse_file("doc/tour.wat")?;
/// use meshwright_wasm_host::{Answer, Grpc, Host, Request, Upstream};
///
/// let limits = Upstream::new(Answer::grpc(Grpc::message(b"\x08\x01"))).then(Answer::grpc(Grpc::status(8, "too many requests")));
/// let mut worker = Host::load(&wasm)?.plugin("", "").upstream("limits", limits).start()?;
/// assert_eq!(worker.request(Request::get("/limit")).status(), Some(200));
/// let outcome = worker.request(Request::get("/limit"));
/// assert_eq!(outcome.status(), Some(429));
/// assert_eq!(outcome.report.grpc_calls[0].service, "pkg.Limits");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Grpc {
    pub(crate) initial: Headers,
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) trailing: Headers,
    pub(crate) status: u32,
    pub(crate) text: String,
    pub(crate) on_send: bool,
    /// What Envoy says of how it came to the status, if not that the upstream sent it.
    pub(crate) details: Option<&'static str>,
}

impl Grpc {
    /// One message, then OK.
    #[must_use]
    pub fn message(message: impl Into<Vec<u8>>) -> Self {
        Self { messages: vec![message.into()], ..Self::default() }
    }

    /// No message, and this status.
    #[must_use]
    pub fn status(status: u32, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), ..Self::default() }
    }

    /// Envoy's own status, when the service did not answer.
    pub(crate) fn of_envoy(text: &str, details: &'static str) -> Self {
        const UNAVAILABLE: u32 = 14;
        Self { details: Some(details), ..Self::status(UNAVAILABLE, text) }
    }

    /// One more message, of a stream.
    #[must_use]
    pub fn and_message(mut self, message: impl Into<Vec<u8>>) -> Self {
        self.messages.push(message.into());
        self
    }

    /// This status after the messages.
    #[must_use]
    pub fn and_status(mut self, status: u32, text: impl Into<String>) -> Self {
        (self.status, self.text) = (status, text.into());
        self
    }

    /// Metadata before the messages, which only streams are told of.
    #[must_use]
    pub fn initial_metadata(mut self, name: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) -> Self {
        self.initial.add(name, value);
        self
    }

    /// Metadata after the messages, which only streams are told of.
    #[must_use]
    pub fn trailing_metadata(mut self, name: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) -> Self {
        self.trailing.add(name, value);
        self
    }

    /// Each message answers one that the filter sent, and the stream ends when the filter has closed its half. Without it, all follow the
    /// stream's start.
    #[must_use]
    pub const fn on_send(mut self) -> Self {
        self.on_send = true;
        self
    }
}

/// Something that a gRPC call's filter is told.
#[derive(Debug, Clone)]
pub(crate) enum GrpcEvent {
    Initial(Headers),
    Message(Vec<u8>),
    Trailing(Headers),
    Close(u32, String),
}

/// One call or stream that is open.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) root: u32,
    pub(crate) streaming: bool,
    /// What is left of a script that waits for the filter to send.
    pub(crate) waiting: Option<Grpc>,
    /// The filter has closed its half.
    pub(crate) half_closed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct GrpcCalls {
    pub(crate) open: BTreeMap<u32, Open>,
    /// Readable only while its callback runs.
    pub(crate) delivering: Option<GrpcEvent>,
    /// Dispatched, for the report.
    pub(crate) made: Vec<GrpcCall>,
}

impl GrpcCalls {
    pub(crate) fn record_message(&mut self, token: u32, message: Vec<u8>) {
        // One of an earlier report has been handed out already.
        if let Some(call) = self.made.iter_mut().find(|call| call.token == token) {
            call.messages.push(message);
        }
    }
}
