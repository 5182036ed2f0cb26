//! What a test lets happen other than HTTP requests: TCP connections, and ended streams for an access logger.

use crate::attributes::{AttributePath, Attributes};
use crate::headers::Headers;
use crate::tls::Tls;
use crate::value::Value;

/// A TCP connection: what its two ends do, in order.
///
/// ```
/// # let wasm = wat::parse_file("doc/tour.wat")?;
/// use meshwright_wasm_host::{Ended, Host, Tcp};
///
/// let connection = Tcp::new()
///     .property("connection.requested_server_name", "db.test")
///     .downstream("PING\r\n").upstream("PONG\r\n").downstream_close();
/// let outcome = Host::load(&wasm)?.plugin("", "").tcp(connection).run()?;
/// assert_eq!((outcome.ended, outcome.upstream_connected), (Ended::Completed, true));
/// assert_eq!(outcome.to_downstream, b"PONG\r\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tcp {
    pub(crate) steps: Vec<TcpStep>,
    pub(crate) attributes: Attributes,
}

#[derive(Debug, Clone)]
pub(crate) enum TcpStep {
    Downstream(Vec<u8>),
    Upstream(Vec<u8>),
    DownstreamClose,
    UpstreamClose,
}

impl Tcp {
    /// A connection on which nothing happens; it is closed by the client when the script ends.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The client sends `data`.
    #[must_use]
    pub fn downstream(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.steps.push(TcpStep::Downstream(data.into()));
        self
    }

    /// The upstream sends `data`.
    #[must_use]
    pub fn upstream(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.steps.push(TcpStep::Upstream(data.into()));
        self
    }

    /// The client closes the connection.
    #[must_use]
    pub fn downstream_close(mut self) -> Self {
        self.steps.push(TcpStep::DownstreamClose);
        self
    }

    /// The upstream closes the connection.
    #[must_use]
    pub fn upstream_close(mut self) -> Self {
        self.steps.push(TcpStep::UpstreamClose);
        self
    }

    /// An attribute of the connection.
    #[must_use]
    pub fn property(mut self, path: impl Into<AttributePath>, value: impl Into<Value>) -> Self {
        self.attributes.insert(&path.into(), value.into());
        self
    }

    /// The client's connection is TLS: what Envoy knows of it are attributes under `connection`.
    #[must_use]
    pub fn tls(mut self, tls: &Tls) -> Self {
        for (name, value) in tls.of_client() {
            self.attributes.insert(&["connection", name].into(), value);
        }
        self
    }

    /// A filter state object of the connection.
    #[must_use]
    pub fn filter_state(mut self, name: impl Into<Vec<u8>>, value: impl Into<Value>) -> Self {
        self.attributes.filter_state.insert(name.into(), value.into());
        self
    }
}

/// An ended stream, for a plugin that is an access logger.
///
/// ```
/// use meshwright_wasm_host::StreamInfo;
///
/// let stream = StreamInfo::new().request_header(":path", "/").response_header(":status", "200").property("response.flags", 0);
/// # let _ = stream;
/// ```
#[derive(Debug, Clone, Default)]
pub struct StreamInfo {
    pub(crate) request_headers: Headers,
    pub(crate) response_headers: Option<Headers>,
    pub(crate) response_trailers: Option<Headers>,
    pub(crate) attributes: Attributes,
}

impl StreamInfo {
    /// A stream of which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A header that the request had.
    #[must_use]
    pub fn request_header(mut self, name: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) -> Self {
        self.request_headers.add(name, value);
        self
    }

    /// A header that the response had.
    #[must_use]
    pub fn response_header(mut self, name: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) -> Self {
        self.response_headers.get_or_insert_default().add(name, value);
        self
    }

    /// A trailer that the response had.
    #[must_use]
    pub fn response_trailer(mut self, name: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) -> Self {
        self.response_trailers.get_or_insert_default().add(name, value);
        self
    }

    /// An attribute of the stream.
    #[must_use]
    pub fn property(mut self, path: impl Into<AttributePath>, value: impl Into<Value>) -> Self {
        self.attributes.insert(&path.into(), value.into());
        self
    }

    /// A filter state object of the stream.
    #[must_use]
    pub fn filter_state(mut self, name: impl Into<Vec<u8>>, value: impl Into<Value>) -> Self {
        self.attributes.filter_state.insert(name.into(), value.into());
        self
    }
}
