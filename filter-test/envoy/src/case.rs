//! What is to happen in Envoy, and what was seen of it.

use std::time::Duration;

use meshwright_wasm_host::{Headers, Message};

use crate::log::Line;
use crate::tls::Tls;

/// A plugin and what happens to it.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// The plugin's name.
    pub name: String,
    /// The plugin's `root_id`.
    pub root_id: String,
    /// Must be another for each case of a run: it is how log lines are told apart, and cases with one would share data.
    pub vm_id: String,
    /// The module.
    pub wasm: Vec<u8>,
    /// The plugin's configuration.
    pub configuration: Vec<u8>,
    /// The VM's configuration.
    pub vm_configuration: Vec<u8>,
    /// The VM's environment.
    pub environment: Vec<(String, String)>,
    /// The only capabilities that the VM has; `None` is all.
    pub capabilities: Option<Vec<String>>,
    /// Filter state that is there before the filter runs, as strings.
    pub filter_state: Vec<(String, String)>,
    /// TLS to the client and to the upstream; for HTTP.
    pub tls: Option<Tls>,
    /// Clusters that the filter may call. Their names must not be in another case of the run.
    pub clusters: Vec<Cluster>,
    /// What happens.
    pub traffic: Traffic,
    /// How long the client waits for an answer before it gives up: the stream hangs.
    pub patience: Duration,
}

/// A cluster that a filter may call, with its answers in order; the last is given to every later call too.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Whether it speaks gRPC.
    pub grpc: bool,
    /// Its answers.
    pub replies: Vec<Reply>,
}

impl Cluster {
    /// Whether all its calls are heard, and seen as they were sent.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        !self.grpc && !self.replies.iter().any(|reply| matches!(reply, Reply::Refused))
    }
}

/// What a client does.
#[derive(Debug, Clone)]
pub enum Traffic {
    /// A request to a listener with the filter.
    Http(Exchange),
    /// The same to a listener without it, whose access logger the plugin is.
    AccessLog(Exchange),
    /// A connection.
    Tcp(Vec<TcpStep>),
}

impl Default for Traffic {
    fn default() -> Self {
        Self::Http(Exchange::default())
    }
}

/// A request and the upstream's answer.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    /// With pseudo headers, of which `:scheme` is not sent.
    pub headers: Headers,
    /// The body, each piece sent by itself.
    pub chunks: Vec<Vec<u8>>,
    /// Sent after the body.
    pub trailers: Headers,
    /// What the upstream answers.
    pub reply: Reply,
}

/// How an upstream answers.
#[derive(Debug, Clone, Default)]
pub enum Reply {
    /// It closes the connection instead.
    #[default]
    Reset,
    /// It never answers.
    Never,
    /// Nobody listens.
    Refused,
    /// A response.
    Response {
        /// With `:status`.
        headers: Headers,
        /// The body, each piece sent by itself.
        chunks: Vec<Vec<u8>>,
        /// Sent after the body.
        trailers: Headers,
        /// How long it takes.
        after: Duration,
    },
}

/// What happens on a connection.
#[derive(Debug, Clone)]
pub enum TcpStep {
    /// The client sends.
    Downstream(Vec<u8>),
    /// The upstream sends.
    Upstream(Vec<u8>),
    /// The client closes.
    DownstreamClose,
    /// The upstream closes.
    UpstreamClose,
}

/// What was seen of a case.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// What the upstream got of the request; `None` when nothing reached it.
    pub upstream: Option<Message>,
    /// What the client got; `None` when it got nothing.
    pub client: Option<Message>,
    /// What the client got after the response's end, which should be nothing.
    pub surplus: Vec<u8>,
    /// The client gave up.
    pub hung: bool,
    /// Requests to the clusters that the filter may call, by cluster.
    pub calls: Vec<(String, Message)>,
    /// For a connection.
    pub tcp: Option<ObservedTcp>,
    /// Everything that the filter logged.
    pub lines: Vec<Line>,
    /// Envoy ended while this case ran: its last words.
    pub crash: Option<String>,
}

/// What was seen of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedTcp {
    /// Whether the upstream was connected to.
    pub upstream_connected: bool,
    /// What the upstream got.
    pub to_upstream: Vec<u8>,
    /// What the client got.
    pub to_downstream: Vec<u8>,
    /// Whether the client saw the connection's end before it closed it itself.
    pub closed: bool,
}
