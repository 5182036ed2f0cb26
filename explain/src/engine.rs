//! Who decides: the filter module itself, or the library that it is made of. Both are given what the proxy would give the filter.

mod native;
mod wasm;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::hcm::Head;

pub(crate) use native::Judge;
pub use native::NativeEngine;
pub use wasm::WasmEngine;

/// Makes deciders of policy sets.
pub trait Engine: fmt::Debug {
    /// Starts a decider with the configuration that a proxy would have.
    ///
    /// # Errors
    /// [`EngineError`], when the configuration is refused.
    fn start(&self, configuration: &str) -> Result<Box<dyn Decider>, EngineError>;
}

/// One policy set, ready to decide. What it remembers of earlier streams never changes an answer.
pub trait Decider: fmt::Debug {
    /// # Errors
    /// [`EngineError`], when no decision came out; the decider may go on.
    fn decide(&mut self, stream: &Stream<'_>) -> Result<Decided, EngineError>;
}

/// Why there is no decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(pub(crate) String);

/// A request, or a TCP connection, where the filter would first see it.
#[derive(Debug)]
pub struct Stream<'a> {
    pub(crate) direct_ip: IpAddr,
    pub(crate) remote_ip: IpAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) principal: Option<&'a str>,
    pub(crate) serial: &'a str,
    pub(crate) sni: Option<&'a str>,
    /// None: a TCP connection.
    pub(crate) head: Option<&'a Head>,
    /// Seconds since the epoch.
    pub(crate) now: u64,
}

impl Stream<'_> {
    /// What Envoy takes for the scheme where nobody says it.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.principal.is_some() { "https" } else { "http" }
    }
}

/// What the filter did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    pub(crate) allowed: bool,
    /// Of a denied request.
    pub(crate) status: Option<u16>,
    pub(crate) policy: Option<String>,
    pub(crate) rule: Option<u32>,
    pub(crate) reason: String,
    pub(crate) token: Option<Token>,
    /// What goes on to the app, with the pseudo headers; none of a denied request.
    pub(crate) headers: Vec<(String, String)>,
    /// Who outside must agree to what is allowed.
    pub(crate) custom: Option<Custom>,
}

/// A verified token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) issuer: String,
    pub(crate) subject: Option<String>,
}

/// An external authorizer, and the rule that asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Custom {
    pub(crate) provider: String,
    pub(crate) policy: String,
    pub(crate) rule: u32,
}
