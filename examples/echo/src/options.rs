use std::net::SocketAddr;
use std::time::Duration;

/// What one echo server is and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoOptions {
    /// The service that it says it is.
    pub name: String,
    /// The version that it says it is.
    pub version: String,
    /// Where it answers HTTP/1.1 and HTTP/2 without TLS. Port 0 takes a free one.
    pub listen: Option<SocketAddr>,
    /// Where it answers each line with `<name>: <line>`. Port 0 takes a free one.
    pub tcp: Option<SocketAddr>,
    /// Its sidecar's outbound listener: every call to another service goes through it, and without it there are none.
    pub proxy: Option<SocketAddr>,
    /// Hosts that may be called through the proxy; empty allows any.
    pub allow_call: Vec<String>,
    /// How long one call may take.
    pub call_timeout: Duration,
    /// How long running requests may take after the shutdown signal.
    pub drain_timeout: Duration,
}

impl Default for EchoOptions {
    fn default() -> Self {
        Self {
            name: "echo".to_owned(),
            version: "v1".to_owned(),
            listen: None,
            tcp: None,
            proxy: None,
            allow_call: Vec::new(),
            call_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(5),
        }
    }
}
