//! What a decision is made of: the connection, the HTTP request on it, and what became of its token.

use std::net::{IpAddr, SocketAddr};

use crate::headers::Headers;
use crate::jwt::Authentication;
use crate::metadata::Metadata;

/// One request, or one TCP connection.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub connection: &'a Connection,
    /// None for a TCP connection.
    pub http: Option<&'a HttpRequest<'a>>,
    pub authentication: &'a Authentication,
}

/// What is known of the connection. An unknown address matches no block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Who opened the connection (`ipBlocks`).
    pub direct_ip: Option<IpAddr>,
    /// Who sent the request, by X-Forwarded-For or PROXY (`remoteIpBlocks`).
    pub remote_ip: Option<IpAddr>,
    pub peer: Peer,
    pub sni: Option<String>,
    /// The workload's own address and port.
    pub destination: Option<SocketAddr>,
    /// What other filters say, as far as rules ask ([`crate::Policy::metadata`]).
    pub metadata: Metadata,
}

impl Connection {
    /// As `==`; apart, since it is much code.
    #[must_use]
    #[inline(never)]
    pub fn is_same(&self, other: &Self) -> bool {
        self == other
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// No certificate, or none that was verified.
    Plaintext,
    /// The names of a verified certificate.
    Authenticated {
        uri_sans: Vec<String>,
        dns_sans: Vec<String>,
        subject: Option<String>,
        /// In lower case hexadecimal digits; none where it is not known.
        serial: Option<String>,
    },
}

/// The head of an HTTP request. What Envoy normalised is what policy and app see.
#[derive(Debug, Clone)]
pub struct HttpRequest<'a> {
    headers: Headers<'a>,
    method: &'a [u8],
    authority: &'a [u8],
    path: &'a [u8],
    query: &'a [u8],
}

impl<'a> HttpRequest<'a> {
    #[must_use]
    pub fn new(headers: Headers<'a>) -> Self {
        let (mut method, mut authority, mut target) = (None, None, None);
        // One pass, since every rule asks for these.
        for (name, value) in headers.iter().filter(|(name, _)| name.starts_with(b":")) {
            let found = match *name {
                b":method" => &mut method,
                b":authority" => &mut authority,
                b":path" => &mut target,
                _ => continue,
            };
            found.get_or_insert(*value);
        }
        let target: &[u8] = target.unwrap_or_default();
        let end = target.iter().position(|byte| *byte == b'#').unwrap_or(target.len());
        let target = target.get(..end).unwrap_or_default();
        let question = target.iter().position(|byte| *byte == b'?');
        let (path, query) = match question.and_then(|question| target.split_at_checked(question)) {
            Some((path, query)) => (path, query.get(1..).unwrap_or_default()),
            None => (target, &[][..]),
        };
        Self { headers, method: method.unwrap_or_default(), authority: authority.unwrap_or_default(), path, query }
    }

    #[must_use]
    pub fn headers(&self) -> &Headers<'a> {
        &self.headers
    }

    #[must_use]
    pub fn method(&self) -> &'a [u8] {
        self.method
    }

    #[must_use]
    pub fn authority(&self) -> &'a [u8] {
        self.authority
    }

    /// As sent: with query.
    #[must_use]
    pub fn target(&self) -> &'a [u8] {
        self.headers.first(":path").unwrap_or_default()
    }

    /// Without query and fragment.
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        self.path
    }

    /// Behind the first `?`, without fragment; empty when there is none.
    #[must_use]
    pub fn query(&self) -> &'a [u8] {
        self.query
    }
}
