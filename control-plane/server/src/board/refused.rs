//! What the board knows of responses and documents that proxies refuse.

use meshwright_xds::StreamId;
use serde::Serialize;

use super::{Board, Entry};
use crate::receipts::footprint::ResourceKey;
use crate::receipts::{OnProxy, Waiting};
use crate::refusals::Refused;

/// A response that the proxy refused, with Envoy's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Nack {
    pub(crate) resources: Vec<String>,
    pub(crate) message: String,
}

impl Board {
    /// The documents that a proxy does not take; none when all that was refused has been settled.
    pub(crate) fn set_refused(&self, node: &str, refused: Option<Vec<Refused>>) {
        let mut inner = self.lock();
        let entry = inner.proxies.entry(node.to_owned()).or_default();
        entry.refuses = refused.is_some();
        entry.refused = refused.unwrap_or_default();
        drop(inner);
        self.changed.send_replace(());
    }

    /// Whether what the proxy holds of a resource is older than `revision`; not so when it holds nothing.
    pub(crate) fn changed_since_held(&self, node: &str, (kind, name): &ResourceKey, revision: u64) -> bool {
        let inner = self.lock();
        let held = inner.proxies.get(node).and_then(|entry| Some((entry, entry.version_of(*kind, name)?)));
        held.is_some_and(|(entry, held)| !entry.propagation.was_target_since(revision, *kind, name, Some(held)))
    }

    /// The proxy of a stream, if it refuses something.
    pub(crate) fn refusing(&self, stream: StreamId) -> Option<String> {
        let inner = self.lock();
        let node = inner.streams.get(&stream)?;
        inner.proxies.get(node).filter(|entry| entry.refuses)?;
        Some(node.clone())
    }
}

impl Entry {
    /// The proxy's target has an earlier version of the document.
    pub(super) fn keeps(&self, document: &str) -> bool {
        self.refused.iter().any(|refused| refused.document == document)
    }

    pub(super) fn refuses(&self, node: &str, document: &str) -> Option<OnProxy> {
        let refused = self.refused.iter().find(|refused| refused.document == document)?;
        let reason = format!("refused {}: {}", refused.resource, refused.message);
        let (node, resources) = (node.to_owned(), vec![refused.resource.clone()]);
        Some(OnProxy::Waiting(Waiting { node, connected: self.streams > 0, resources, reason, refused: true }))
    }
}
