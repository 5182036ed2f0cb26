//! What of a proxy depends on a document: found by translating without the document, and with what it was before. So it is true whatever
//! the translation comes to read, and costs nothing until somebody asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshwright_config::{Document, DocumentKey, Kind, State, Workload};
use meshwright_translate::{MeshInputs, Proxy, translate};
use meshwright_xds::{Resource, ResourceType, Snapshot};

use super::Found;
use super::propagation::tells_removal;

/// Type and name of a resource.
pub(crate) type ResourceKey = (ResourceType, String);

/// The part of one proxy's resources that depends on a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// It must hold these as they are in its target.
    pub(crate) present: Vec<ResourceKey>,
    /// It must not hold these.
    pub(crate) absent: Vec<ResourceKey>,
}

impl Footprint {
    pub(crate) fn is_empty(&self) -> bool {
        self.present.is_empty() && self.absent.is_empty()
    }
}

/// A document, and what depends on it on each proxy that it concerns.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) found: Found,
    pub(crate) footprints: BTreeMap<String, Footprint>,
}

/// How the mesh is, and how it would be.
#[derive(Debug)]
pub(crate) struct Alternatives {
    key: DocumentKey,
    /// Now, and then each alternative.
    states: Vec<State>,
    now: Arc<State>,
    inputs: MeshInputs,
}

impl Alternatives {
    /// `before`: what the document was before its last change.
    pub(crate) fn new(now: Arc<State>, inputs: MeshInputs, key: DocumentKey, before: Option<&Document>) -> Self {
        let mut states = vec![now.with(&key, None)];
        states.extend(before.map(|before| now.with(&key, Some(before))));
        Self { key, states, now, inputs }
    }

    /// What depends on the document of what `proxy` should hold now.
    pub(crate) fn footprint(&self, proxy: &Proxy, target: &Snapshot) -> Footprint {
        let mut footprint = Footprint::default();
        for state in &self.states {
            if !self.may_matter(state, proxy) {
                continue;
            }
            match translate(state, proxy, &self.inputs) {
                Ok(resources) => footprint.add(target, &resources),
                // Nothing could be made without it: everything depends on it.
                Err(_) => footprint.add(target, &[]),
            }
        }
        footprint.present.sort();
        footprint.present.dedup();
        footprint.absent.sort();
        footprint.absent.dedup();
        footprint
    }

    /// False where it is clear without translating that an alternative is the same for this proxy.
    fn may_matter(&self, alternative: &State, proxy: &Proxy) -> bool {
        let metadata = proxy.metadata();
        let holds = |state: &State| {
            let Some(workload) = state.workload(&metadata.namespace, &metadata.workload) else { return true };
            is_for(state, &self.key, workload)
        };
        holds(alternative) || holds(&self.now)
    }
}

/// Whether a policy decides for a workload. Of other documents this cannot be told so easily.
fn is_for(state: &State, key: &DocumentKey, workload: &Workload) -> bool {
    match key.kind() {
        Kind::AuthorizationPolicy => state.authorization_for(workload).iter().any(|policy| policy.key() == key),
        Kind::RequestAuthentication => state.request_authentication_for(workload).iter().any(|rule| rule.key() == key),
        Kind::Mesh
        | Kind::PeerAuthentication
        | Kind::ServiceEntry
        | Kind::WorkloadEntry
        | Kind::DestinationRule
        | Kind::VirtualService
        | Kind::Gateway
        | Kind::Secret => true,
    }
}

impl Footprint {
    fn add(&mut self, target: &Snapshot, alternative: &[Resource]) {
        let other: BTreeMap<(ResourceType, &str), &Resource> =
            alternative.iter().map(|resource| ((resource.kind(), resource.name()), resource)).collect();
        for kind in ResourceType::ALL {
            let differs =
                |resource: &&Arc<Resource>| other.get(&(kind, resource.name())).is_none_or(|other| other.version() != resource.version());
            self.present.extend(target.resources(kind).filter(differs).map(|resource| (kind, resource.name().to_owned())));
        }
        let gone = other.into_keys().filter(|(kind, name)| tells_removal(*kind) && target.get(*kind, name).is_none());
        self.absent.extend(gone.map(|(kind, name)| (kind, name.to_owned())));
    }
}
