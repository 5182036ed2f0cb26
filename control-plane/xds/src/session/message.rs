use std::sync::Arc;
use std::time::Duration;

use crate::{Resource, ResourceType};

/// Which of the two protocol variants a stream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Delta,
    StateOfTheWorld,
}

/// What of a `DeltaDiscoveryRequest` matters after the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeltaRequest {
    pub type_url: String,
    pub subscribe: Vec<String>,
    pub unsubscribe: Vec<String>,
    /// Name and version of what the client holds from an earlier stream.
    pub initial_versions: Vec<(String, String)>,
    /// Empty: it acknowledges nothing.
    pub nonce: String,
    /// The client's words when it refuses; that alone makes a NACK.
    pub error: Option<String>,
}

/// What of a `DiscoveryRequest` matters after the node. `version_info` does not: only the nonce and the error say what it answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SotwRequest {
    pub type_url: String,
    pub names: Vec<String>,
    pub nonce: String,
    pub error: Option<String>,
}

/// What the stream's owner is to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Send(Response),
    /// The client holds these now; `removed` no longer.
    Acked {
        kind: ResourceType,
        versions: Vec<(Arc<str>, Arc<str>)>,
        removed: Vec<String>,
    },
    /// The client refused these.
    Nacked {
        kind: ResourceType,
        names: Vec<String>,
        message: String,
    },
}

/// A response to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub(super) kind: ResourceType,
    pub(super) nonce: String,
    pub(super) resources: Arc<[Arc<Resource>]>,
    pub(super) removed: Vec<String>,
}

impl Response {
    #[must_use]
    pub fn kind(&self) -> ResourceType {
        self.kind
    }

    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    #[must_use]
    pub fn resources(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    /// Names that are gone; in state of the world they are so by their absence.
    #[must_use]
    pub fn removed(&self) -> &[String] {
        &self.removed
    }
}

/// What one client may ask for: on a stream, and on all its streams together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Names of one type.
    pub names: usize,
    /// Bytes of one name.
    pub name_bytes: usize,
    /// Bytes of one request.
    pub request_bytes: usize,
    /// Requests that are read at once; after that, one per `request_interval`.
    pub request_burst: u32,
    pub request_interval: Duration,
    /// Streams of one client, over however many connections.
    pub client_streams: usize,
    /// Names of all types on all streams of one client.
    pub client_names: usize,
    /// As `request_burst` and `request_interval`, on all streams of one client.
    pub client_burst: u32,
    pub client_interval: Duration,
}

impl Default for Limits {
    /// Far above what Envoy needs for the largest mesh, far below what hurts.
    fn default() -> Self {
        Self {
            names: 50_000,
            name_bytes: 1024,
            request_bytes: 4 * 1024 * 1024,
            request_burst: 1_000,
            request_interval: Duration::from_millis(10),
            client_streams: 2_000,
            client_names: 600_000,
            client_burst: 10_000,
            client_interval: Duration::from_millis(2),
        }
    }
}

/// Why a stream is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("at most {limit} {} resources may be subscribed to", kind.short_name())]
    TooManyNames { kind: ResourceType, limit: usize },
    #[error("at most {limit} names may be in one request")]
    TooManyNamesAtOnce { limit: usize },
    #[error("a resource name has {found} bytes, at most {limit} are allowed")]
    NameTooLong { found: usize, limit: usize },
}

impl Limits {
    pub(super) fn check<'a>(&self, names: impl Iterator<Item = &'a String>) -> Result<(), Refused> {
        let mut count = 0_usize;
        for name in names {
            count = count.saturating_add(1);
            // Subscriptions, their reverse and versions may each be in one request.
            if count > self.names.saturating_mul(3) {
                return Err(Refused::TooManyNamesAtOnce { limit: self.names });
            }
            if name.len() > self.name_bytes {
                return Err(Refused::NameTooLong { found: name.len(), limit: self.name_bytes });
            }
        }
        Ok(())
    }
}
