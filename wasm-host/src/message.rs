//! HTTP requests and responses: those a test sends, and those it finds at the other end.

use crate::attributes::{AttributePath, Attributes};
use crate::headers::Headers;
use crate::tls::Tls;
use crate::value::Value;

/// An HTTP message as one side saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// With the pseudo headers.
    pub headers: Headers,
    /// All of the body.
    pub body: Vec<u8>,
    /// Empty when there were none.
    pub trailers: Headers,
    /// False when the stream ended in the middle of the message.
    pub complete: bool,
}

impl Message {
    /// A response's status.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.headers.text(":status")?.parse().ok()
    }
}

/// A request of a client, what is known of its connection, and what the upstream will answer.
///
/// ```
/// # let wasm = wat::parse_file("doc/tour.wat")?;
/// use meshwright_wasm_host::{Ended, Host, Request, Response};
///
/// let plugin = Host::load(&wasm)?.plugin("", "");
/// let request = Request::post("/who")
///     .header("content-type", "application/json")
///     .chunk("{").chunk("}").trailer("x-checksum", "0")
///     .property("connection.mtls", true)
///     .filter_state("who", "ann")
///     .upstream(Response::new(200).header("etag", "1").body("[]").trailer("x-took", "3"));
/// let outcome = plugin.request(request).run()?;
/// let (upstream, client) = (outcome.upstream_request.unwrap(), outcome.client_response.unwrap());
/// assert_eq!((upstream.headers.text("x-who"), upstream.body.as_slice()), (Some("ann"), &b"{}"[..]));
/// assert_eq!((client.headers.text("etag"), client.trailers.text("x-took")), (Some("1"), Some("3")));
///
/// // An upstream that resets the stream, and a filter that never resumes it.
/// assert_eq!(plugin.request(Request::get("/").upstream_reset()).run()?.status(), Some(503));
/// assert_eq!(plugin.request(Request::get("/wait")).run()?.ended, Ended::Hung);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) headers: Headers,
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) trailers: Headers,
    pub(crate) attributes: Attributes,
    pub(crate) reply: UpstreamReply,
}

#[derive(Debug, Clone)]
pub(crate) enum UpstreamReply {
    Response(Response),
    Reset,
}

impl Request {
    /// A request by `method` for `path` at `https://example.test`.
    pub fn new(method: impl Into<Vec<u8>>, path: impl Into<Vec<u8>>) -> Self {
        let mut headers = Headers::new();
        headers.add(":authority", "example.test");
        headers.add(":path", path);
        headers.add(":method", method);
        headers.add(":scheme", "https");
        let reply = UpstreamReply::Response(Response::new(200));
        Self { headers, chunks: Vec::new(), trailers: Headers::new(), attributes: Attributes::default(), reply }
    }

    /// `GET path`
    pub fn get(path: impl Into<Vec<u8>>) -> Self {
        Self::new("GET", path)
    }

    /// `POST path`
    pub fn post(path: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", path)
    }

    /// Adds a header; a pseudo header replaces the one that is there.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) -> Self {
        if name.as_ref().starts_with(b":") {
            self.headers.set(name, value);
        } else {
            self.headers.add(name, value);
        }
        self
    }

    /// Removes a header, which may be a pseudo header.
    #[must_use]
    pub fn without_header(mut self, name: impl AsRef<[u8]>) -> Self {
        self.headers.remove(name);
        self
    }

    /// The whole body in one piece.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.chunks = vec![body.into()];
        self
    }

    /// One more piece of the body, which the filter gets in a call of its own.
    #[must_use]
    pub fn chunk(mut self, chunk: impl Into<Vec<u8>>) -> Self {
        self.chunks.push(chunk.into());
        self
    }

    /// Adds a trailer.
    #[must_use]
    pub fn trailer(mut self, name: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) -> Self {
        self.trailers.add(name, value);
        self
    }

    /// An attribute of the stream, as `proxy_get_property` finds it. It goes before what the host would compute.
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

    /// The upstream's connection is TLS: attributes under `upstream`, from the response on.
    #[must_use]
    pub fn upstream_tls(mut self, tls: &Tls) -> Self {
        self.attributes.of_upstream = tls.of_either().into_iter().collect();
        self
    }

    /// A filter state object of the stream.
    #[must_use]
    pub fn filter_state(mut self, name: impl Into<Vec<u8>>, value: impl Into<Value>) -> Self {
        self.attributes.filter_state.insert(name.into(), value.into());
        self
    }

    /// What the upstream answers, should the request reach it. Without it: 200 and no body.
    #[must_use]
    pub fn upstream(mut self, response: Response) -> Self {
        self.reply = UpstreamReply::Response(response);
        self
    }

    /// The upstream resets the stream instead of answering: Envoy answers 503.
    #[must_use]
    pub fn upstream_reset(mut self) -> Self {
        self.reply = UpstreamReply::Reset;
        self
    }

    /// What the client sends, with the pseudo headers.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The body, in the pieces in which it is sent.
    #[must_use]
    pub fn chunks(&self) -> &[Vec<u8>] {
        &self.chunks
    }

    /// What follows the body.
    #[must_use]
    pub const fn trailers(&self) -> &Headers {
        &self.trailers
    }

    /// What the upstream answers; `None` when it resets the stream.
    #[must_use]
    pub const fn response(&self) -> Option<&Response> {
        match &self.reply {
            UpstreamReply::Response(response) => Some(response),
            UpstreamReply::Reset => None,
        }
    }

    /// Whether attributes were given that the host would not know by itself.
    #[must_use]
    pub fn has_properties(&self) -> bool {
        self.attributes.any()
    }

    /// The filter state that was given.
    pub fn given_filter_state(&self) -> impl Iterator<Item = (&[u8], &Value)> {
        self.attributes.filter_state.iter().map(|(name, value)| (name.as_slice(), value))
    }
}

/// A response of an upstream, or of a service that a filter calls.
#[derive(Debug, Clone)]
pub struct Response {
    pub(crate) headers: Headers,
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) trailers: Headers,
}

impl Response {
    /// A response with `status` and no body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        let mut headers = Headers::new();
        headers.add(":status", status.to_string());
        Self { headers, chunks: Vec::new(), trailers: Headers::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// The whole body in one piece.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.chunks = vec![body.into()];
        self
    }

    /// One more piece of the body.
    #[must_use]
    pub fn chunk(mut self, chunk: impl Into<Vec<u8>>) -> Self {
        self.chunks.push(chunk.into());
        self
    }

    /// Adds a trailer.
    #[must_use]
    pub fn trailer(mut self, name: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) -> Self {
        self.trailers.add(name, value);
        self
    }

    /// With `:status`.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The body, in the pieces in which it is sent.
    #[must_use]
    pub fn chunks(&self) -> &[Vec<u8>] {
        &self.chunks
    }

    /// What follows the body.
    #[must_use]
    pub const fn trailers(&self) -> &Headers {
        &self.trailers
    }
}
