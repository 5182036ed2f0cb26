//! The state as it would be with one document more, less or otherwise: to find out what depends on it.

use super::State;
use crate::document::{Content, Document};
use crate::key::{DocumentKey, Kind};

impl State {
    /// This state with `document` in place of what `key` names; without it where there is none. What the other documents say of it is not
    /// checked: the result is for comparing, not for serving.
    #[must_use]
    pub fn with(&self, key: &DocumentKey, document: Option<&Document>) -> Self {
        let mut state = self.clone();
        let others = |found: &DocumentKey| found != key;
        match key.kind() {
            Kind::Mesh => state.mesh = None,
            Kind::IdentityDenyList => state.deny_lists.retain(|list| others(list.key())),
            Kind::AuthorizationPolicy => state.authorization_policies.retain(|policy| others(policy.key())),
            Kind::RequestAuthentication => state.request_authentications.retain(|rule| others(rule.key())),
            Kind::PeerAuthentication => state.peer_authentications.retain(|rule| others(rule.key())),
            Kind::ServiceEntry => state.services.retain(|service| others(service.key())),
            Kind::WorkloadEntry => state.workloads.retain(|workload| others(workload.key())),
            Kind::DestinationRule => state.destination_rules.retain(|rule| others(rule.key())),
            Kind::VirtualService => state.virtual_services.retain(|rule| others(rule.key())),
            Kind::Gateway => state.gateways.retain(|gateway| others(gateway.key())),
            Kind::Sidecar => state.sidecars.retain(|sidecar| others(sidecar.key())),
            Kind::Secret => state.credentials.retain(|credential| others(credential.key())),
        }
        if let Some(document) = document {
            state.insert(document.content().clone());
            state.sort(document.content());
            state.complete_names();
        }
        state
    }

    /// Puts the list of a kind back in order.
    fn sort(&mut self, of: &Content) {
        match of {
            Content::Mesh(_) => {}
            Content::IdentityDenyList(_) => self.deny_lists.sort_by(|a, b| a.key().cmp(b.key())),
            Content::AuthorizationPolicy(_) => self.authorization_policies.sort_by(|a, b| a.key().cmp(b.key())),
            Content::RequestAuthentication(_) => self.request_authentications.sort_by(|a, b| a.key().cmp(b.key())),
            Content::PeerAuthentication(_) => self.peer_authentications.sort_by(|a, b| a.key().cmp(b.key())),
            Content::ServiceEntry(_) => self.services.sort_by(|a, b| a.key().cmp(b.key())),
            Content::WorkloadEntry(_) => self.workloads.sort_by(|a, b| a.key().cmp(b.key())),
            Content::DestinationRule(_) => self.destination_rules.sort_by(|a, b| a.key().cmp(b.key())),
            Content::VirtualService(_) => self.virtual_services.sort_by(|a, b| a.key().cmp(b.key())),
            Content::Gateway(_) => self.gateways.sort_by(|a, b| a.key().cmp(b.key())),
            Content::Sidecar(_) => self.sidecars.sort_by(|a, b| a.key().cmp(b.key())),
            Content::Secret(_) => self.credentials.sort_by(|a, b| a.key().cmp(b.key())),
        }
    }
}
