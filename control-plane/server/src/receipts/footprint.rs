//! What of a proxy depends on a document: found by translating without the document, and with what it was before. So it is true whatever
//! the translation comes to read, and costs nothing until somebody asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meshwright_config::{Document, DocumentKey, Kind, ProxyScope, State, Workload};
use meshwright_translate::{Proxy, Translator};
use meshwright_xds::{ResourceType, Snapshot};

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
    now: Arc<State>,
    /// One for each alternative, which takes over from what is now what does not depend on the document.
    translators: Vec<Translator>,
}

impl Alternatives {
    /// `before`: what the document was before its last change.
    pub(crate) fn new(translator: &Translator, key: DocumentKey, before: Option<&Document>) -> Self {
        let now = Arc::clone(translator.state());
        let alternative = |document: Option<&Document>| {
            let mut translator = translator.clone();
            translator.change(Arc::new(now.with(&key, document)), translator.inputs().clone());
            translator
        };
        let translators = std::iter::once(None).chain(before.map(Some)).map(alternative).collect();
        Self { key, now, translators }
    }

    /// What depends on the document of what `proxy` should hold now.
    pub(crate) fn footprint(&mut self, proxy: &Proxy, target: &Snapshot) -> Footprint {
        let mut footprint = Footprint::default();
        let Self { key, now, translators } = self;
        for translator in translators {
            if !may_matter(translator.state(), now, key, proxy) {
                continue;
            }
            match translator.snapshot(proxy) {
                Ok(alternative) => footprint.add(target, &alternative),
                // Nothing could be made without it: everything depends on it.
                Err(_) => footprint.add(target, &Snapshot::default()),
            }
        }
        footprint.present.sort();
        footprint.present.dedup();
        footprint.absent.sort();
        footprint.absent.dedup();
        footprint
    }
}

/// False where it is clear without translating that an alternative is the same for this proxy.
fn may_matter(alternative: &State, now: &State, key: &DocumentKey, proxy: &Proxy) -> bool {
    let metadata = proxy.metadata();
    let holds = |state: &State| {
        let Some(workload) = state.workload(&metadata.namespace, &metadata.workload) else { return true };
        is_for(state, key, workload)
    };
    holds(alternative) || holds(now)
}

/// Whether a policy decides for a workload. Of other documents this cannot be told so easily.
fn is_for(state: &State, key: &DocumentKey, workload: &Workload) -> bool {
    if state.mesh().is_none_or(|mesh| mesh.proxy_scope() == ProxyScope::Allowed) {
        // What is decided there is known here: callers are told of what they may call.
        return true;
    }
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
        | Kind::Sidecar
        | Kind::IdentityDenyList
        | Kind::Secret => true,
    }
}

impl Footprint {
    fn add(&mut self, target: &Snapshot, alternative: &Snapshot) {
        for kind in ResourceType::ALL {
            match alternative.changes_since(target, kind) {
                Some(names) => names.iter().for_each(|name| self.add_name(target, alternative, kind, name)),
                None => {
                    let names = target.resources(kind).chain(alternative.resources(kind)).map(|resource| resource.name());
                    names.collect::<BTreeSet<_>>().into_iter().for_each(|name| self.add_name(target, alternative, kind, name));
                }
            }
        }
    }

    fn add_name(&mut self, target: &Snapshot, alternative: &Snapshot, kind: ResourceType, name: &str) {
        match (target.get(kind, name), alternative.get(kind, name)) {
            (Some(now), other) if other.is_none_or(|other| other.version() != now.version()) => self.present.push((kind, name.to_owned())),
            (None, Some(_)) if tells_removal(kind) => self.absent.push((kind, name.to_owned())),
            (Some(_) | None, _) => {}
        }
    }
}
