//! What happened: the outcome of an exchange, a connection or a log, as plain data to assert on.

use std::collections::BTreeMap;

use crate::abi::{LogLevel, MetricType, Status};
use crate::headers::Headers;
use crate::message::Message;
use crate::misuse::Misuse;
use crate::value::Value;

/// How an HTTP request ended.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// How the stream came to its end.
    pub ended: Ended,
    /// The reply that the filter sent by `proxy_send_local_response`.
    pub local_reply: Option<LocalReply>,
    /// What the upstream got; `None` when nothing reached it.
    pub upstream_request: Option<Message>,
    /// What the client got; `None` when the stream was reset or hung before a response.
    pub client_response: Option<Message>,
    /// Why Envoy answered so, as the attribute `response.code_details` has it.
    pub code_details: Option<String>,
    /// Everything that is not about the messages.
    pub report: Report,
}

impl Outcome {
    /// The status that the client got.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.client_response.as_ref().and_then(Message::status)
    }
}

/// How a TCP connection ended.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct TcpOutcome {
    /// How the connection came to its end.
    pub ended: Ended,
    /// Whether an upstream connection was opened.
    pub upstream_connected: bool,
    /// What the upstream got.
    pub to_upstream: Vec<u8>,
    /// What the client got.
    pub to_downstream: Vec<u8>,
    /// Everything else.
    pub report: Report,
}

/// How a stream came to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// As streams should.
    #[default]
    Completed,
    /// The filter reset it by `proxy_close_stream`.
    Closed,
    /// The filter paused it, and nothing was left to happen that could resume it.
    Hung,
    /// The filter trapped.
    Trapped,
    /// The filter did what makes Envoy itself crash.
    EnvoyCrash,
}

/// What a filter did beside deciding about messages.
///
/// ```
/// # let wasm = wat::parse_file("doc/tour.wat")?;
/// use meshwright_wasm_host::{Host, LogLevel, Misuse, Request, Value};
///
/// let plugin = Host::load(&wasm)?.plugin("", "");
/// let report = plugin.request(Request::get("/books")).run()?.report;
/// assert_eq!(report.metric("tour.requests"), Some(1));
/// assert_eq!(report.logged(LogLevel::Info).collect::<Vec<_>>(), ["/books"]);
/// assert_eq!(report.property("visited"), Some(&b"yes"[..]));
/// assert_eq!(report.filter_state[&b"wasm.visited"[..]], Value::from("yes"));
/// let order: Vec<_> = report.callbacks().map(|(name, _)| name).collect();
/// assert!(order.ends_with(&["proxy_on_request_headers", "proxy_on_response_headers", "proxy_on_log"]));
/// assert_eq!(report.misuse, []);
///
/// let report = plugin.request(Request::get("/wait")).run()?.report;
/// assert_eq!(report.misuse, [Misuse::PauseForNothing]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Log lines, in order.
    pub logs: Vec<LogLine>,
    /// All metrics by name, with the values they had at the end.
    pub metrics: BTreeMap<String, Metric>,
    /// Set by `proxy_set_property`, by path as given (segments separated by NUL).
    pub properties: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The stream's filter state at its end.
    pub filter_state: BTreeMap<Vec<u8>, Value>,
    /// HTTP calls that were dispatched, in order.
    pub calls: Vec<HttpCall>,
    /// gRPC calls and streams that were started, in order.
    pub grpc_calls: Vec<GrpcCall>,
    /// Every callback and host call, in order.
    pub trace: Vec<TraceEvent>,
    /// Events and log lines left out because there were too many.
    pub dropped: u64,
    /// How often each host function was called.
    pub hostcalls: BTreeMap<&'static str, u64>,
    /// Traps, each with the callback in which it happened.
    pub traps: Vec<Trap>,
    /// What a filter must not do, because of what Envoy makes of it.
    pub misuse: Vec<Misuse>,
    /// What it cost.
    pub cost: Cost,
}

impl Report {
    /// The messages of all log lines of `level`.
    pub fn logged(&self, level: LogLevel) -> impl Iterator<Item = &str> {
        self.logs.iter().filter(move |line| line.level == level).map(|line| line.message.as_str())
    }

    /// The value of a counter or gauge.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<i64> {
        self.metrics.get(name).map(|metric| metric.value)
    }

    /// What `proxy_set_property` set for `path`.
    #[must_use]
    pub fn property(&self, path: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.properties.get(path.as_ref()).map(Vec::as_slice)
    }

    /// The callbacks that ran, in order, as `(name, context)`.
    pub fn callbacks(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.trace.iter().filter_map(|event| match event {
            TraceEvent::Callback { name, context, .. } => Some((*name, *context)),
            TraceEvent::Hostcall { .. } => None,
        })
    }

    pub(crate) fn trap_text(&self) -> String {
        self.traps.first().map_or_else(|| "the module trapped".to_owned(), ToString::to_string)
    }

    pub(crate) fn last_error(&self) -> String {
        let line = self.logs.iter().rfind(|line| line.level >= LogLevel::Warn);
        line.map_or_else(String::new, |line| format!("; it logged: {}", line.message))
    }
}

/// What a filter used, beside the calls that are counted in [`Report::hostcalls`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cost {
    /// Size of the guest's memory at the end, in bytes; it never shrinks.
    pub memory: u64,
    /// About one for each WebAssembly instruction, the same on every machine; `None` unless the engine is [metered](crate::Engine::metered).
    pub fuel: Option<u64>,
    /// Bytes that the host read of the guest's memory.
    pub bytes_from_guest: u64,
    /// Bytes that the host wrote into the guest's memory.
    pub bytes_to_guest: u64,
    /// How often the host called the guest's allocator.
    pub allocations: u64,
}

/// A reply that the filter sent itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalReply {
    /// HTTP status.
    pub status: u32,
    /// Details, with the spaces that Envoy makes underscores.
    pub details: String,
    /// The body.
    pub body: Vec<u8>,
    /// Headers beside those that Envoy adds.
    pub headers: Headers,
    /// The gRPC status; `None` when the filter left it to Envoy.
    pub grpc_status: Option<u32>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// Its severity.
    pub level: LogLevel,
    /// The context that was current.
    pub context: u32,
    /// Its text, with what is not UTF-8 replaced.
    pub message: String,
}

/// A metric and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its kind.
    pub kind: MetricType,
    /// The sum of a counter, the value of a gauge, the number of records of a histogram.
    pub value: i64,
    /// What a histogram recorded, in order.
    pub records: Vec<u64>,
}

/// An HTTP call that the filter dispatched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpCall {
    /// The token that the filter got.
    pub token: u32,
    /// To which cluster.
    pub cluster: String,
    /// What was sent.
    pub request: Message,
    /// The timeout in milliseconds; 0 is none.
    pub timeout_milliseconds: u32,
}

/// A gRPC call or stream that the filter started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrpcCall {
    /// The token that the filter got.
    pub token: u32,
    /// To which cluster.
    pub cluster: String,
    /// The service's full name.
    pub service: String,
    /// The method.
    pub method: String,
    /// Sent before the messages.
    pub initial_metadata: Headers,
    /// The message of a call; those that were sent on a stream, up to the report.
    pub messages: Vec<Vec<u8>>,
    /// A stream rather than a call.
    pub streaming: bool,
    /// The timeout of a call in milliseconds; 0 is none.
    pub timeout_milliseconds: u32,
}

/// Something that host and guest did to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceEvent {
    /// The host called the guest.
    Callback {
        /// Name of the export.
        name: &'static str,
        /// The context that it was about.
        context: u32,
        /// What it returned; `None` when it returns nothing or trapped.
        result: Option<u32>,
    },
    /// The guest called the host. Follows the callback that made the call.
    Hostcall {
        /// Name of the import.
        name: &'static str,
        /// What it answered.
        status: Status,
    },
}

/// The guest trapped. The VM is lost; Envoy answers 503 until it has a new one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{callback} trapped: {message}")]
#[non_exhaustive]
pub struct Trap {
    /// The callback in which it happened.
    pub callback: &'static str,
    /// What kind it is.
    pub kind: TrapKind,
    /// The engine's words, with the guest's stack.
    pub message: String,
}

/// Kinds of traps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrapKind {
    /// `unreachable`, as a panic of the guest ends.
    Unreachable,
    /// The callback took longer than allowed.
    Deadline,
    /// The guest's stack is exhausted.
    StackOverflow,
    /// A host function was called where none may be: inside the allocator or while the module initialises.
    Restricted,
    /// The guest called without end, or handed over more than the host takes: [`Limits::host_memory`](crate::Limits::host_memory).
    Flood,
    /// Any other.
    Other,
}
