//! What can be said of one proxy.

use std::time::{Duration, Instant};

use meshwright_xds::ResourceType;

use super::Entry;
use crate::receipts::footprint::ResourceKey;
use crate::receipts::{Footprint, OnProxy, Waiting, label};

impl Entry {
    /// A type that the proxy has not asked for yet counts as not acknowledged.
    pub(super) fn in_sync(&self) -> bool {
        if !self.refused.is_empty() {
            return false;
        }
        let Some(target) = &self.target else { return false };
        self.held.is_complete(target)
    }

    pub(super) fn version_of(&self, kind: ResourceType, name: &str) -> Option<&str> {
        self.held.version(self.target.as_deref(), kind, name)
    }

    pub(super) fn acknowledged(&mut self, kind: ResourceType) -> Vec<Duration> {
        let Self { held, target, propagation, .. } = self;
        let held = |kind: ResourceType, name: &str| held.version(target.as_deref(), kind, name);
        propagation.acknowledged(kind, &held, Instant::now())
    }

    /// Whether the proxy holds what a document has been since `revision`.
    pub(super) fn enforces(&self, node: &str, revision: u64, footprint: &Footprint) -> OnProxy {
        let Some(target) = self.target.as_ref().filter(|_| self.revision >= revision) else {
            return OnProxy::Waiting(self.waiting(node, Vec::new()));
        };
        let lacks = |(kind, name): &&ResourceKey| {
            let held = self.version_of(*kind, name);
            let wanted = target.get(*kind, name).map(|resource| resource.version());
            held != wanted && !self.propagation.was_target_since(revision, *kind, name, held)
        };
        let lacking: Vec<ResourceKey> = footprint.present.iter().chain(&footprint.absent).filter(lacks).cloned().collect();
        if lacking.is_empty() {
            return OnProxy::Enforced(self.propagation.latency(revision));
        }
        OnProxy::Waiting(self.waiting(node, lacking))
    }

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

    pub(super) fn waiting(&self, node: &str, lacking: Vec<ResourceKey>) -> Waiting {
        // What was refused together is tried again in parts: the fewest names are nearest to the cause.
        let refusals = lacking.iter().flat_map(|(kind, name)| {
            let of_type = self.nacks.get(kind).map(Vec::as_slice).unwrap_or_default();
            of_type.iter().filter(move |nack| nack.resources.contains(name))
        });
        let refusal = refusals.min_by_key(|nack| nack.resources.len());
        let connected = self.streams > 0;
        let reason = match (&self.error, refusal, connected) {
            (Some(error), ..) => format!("its configuration cannot be made: {error}"),
            (None, Some(nack), _) => format!("refused {}: {}", nack.resources.join(", "), nack.message),
            (None, None, false) => "not connected: it decides by what it has".to_owned(),
            (None, None, true) => "has not acknowledged it yet".to_owned(),
        };
        let resources = match refusal {
            Some(nack) => lacking.iter().filter(|(_, name)| nack.resources.contains(name)).map(|(kind, name)| label(*kind, name)).collect(),
            None => lacking.iter().map(|(kind, name)| label(*kind, name)).collect(),
        };
        Waiting { node: node.to_owned(), connected, resources, reason, refused: refusal.is_some() }
    }
}
