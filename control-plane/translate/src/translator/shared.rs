//! What callers of a namespace hold alike: the clusters of every service that they are told of, their endpoints and the trust bundle.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use meshwright_config::{State, Workload};
use meshwright_xds::{Base, Resource};

use crate::TranslateError;
use crate::catalog::{Catalog, Service};
use crate::clusters;
use crate::proxy::{Callers, MeshInputs};
use crate::resources::Resources;
use crate::scope::Scope;
use crate::translator::changes::Changes;
use crate::translator::scopes::ScopeId;
use crate::trust::trust_bundles;

#[derive(Debug, Clone)]
pub(super) struct Shared {
    /// One of those that it was made for.
    namespace: String,
    bundle: Vec<Arc<Resource>>,
    /// By host.
    services: BTreeMap<String, Vec<Arc<Resource>>>,
    /// Hosts whose resources are not what they were; none when that is not known.
    changed: Option<Vec<String>>,
    /// By what is told of.
    bases: HashMap<ScopeId, Arc<Base>>,
}

/// Whether callers of the namespace follow a rule of their own for a service of another. All other namespaces see every service alike.
pub(super) fn has_own_rules(callers: &Callers<'_>) -> bool {
    let own = callers.state.destination_rules_of(callers.namespace);
    let is_of_another = |service: &meshwright_config::ServiceEntry| service.key().namespace() != callers.namespace;
    own.iter().any(|rule| rule.host().is_wildcard() || callers.state.service(rule.host()).is_none_or(is_of_another))
}

impl Shared {
    /// `last`: what it was, of which state, and what has changed since.
    pub(super) fn new(callers: &Callers<'_>, inputs: &MeshInputs, last: Option<(&Self, &State, &Changes)>) -> Result<Self, TranslateError> {
        let mut services = BTreeMap::new();
        let catalog = Catalog::new(callers);
        let before = last.filter(|(_, _, changes)| !changes.concern_all_clusters()).and_then(|(last, state, _)| {
            let callers = Callers { state, mesh: state.mesh()?, namespace: &last.namespace };
            Some((last, callers, Catalog::new(&callers)))
        });
        for service in catalog.services() {
            let same = before.as_ref().and_then(|(last, old, old_catalog)| {
                let before = old_catalog.get(service.host())?;
                is_same(old, before, callers, service).then(|| last.services.get(service.host()))?
            });
            let resources = match same {
                Some(resources) => resources.clone(),
                None => {
                    let mut resources = Resources::default();
                    clusters::add_service(callers, service, &mut resources)?;
                    let before = last.and_then(|(last, ..)| last.services.get(service.host()));
                    resources.finish_shared().into_iter().map(|made| as_before(made, before)).collect()
                }
            };
            services.insert(service.host().to_owned(), resources);
        }
        let mut bundle = Resources::default();
        bundle.trust_bundles(&trust_bundles(callers.mesh, inputs));
        let bundle = bundle.finish_shared();
        let changed = last.filter(|(last, ..)| last.bundle == bundle).map(|(last, ..)| differing(&last.services, &services));
        Ok(Self { namespace: callers.namespace.to_owned(), bundle, services, changed, bases: HashMap::new() })
    }

    /// The resources of one scope. `last`: what all of this was.
    pub(super) fn base(&mut self, id: ScopeId, scope: &Scope, last: Option<&Self>) -> Result<Arc<Base>, TranslateError> {
        if let Some(base) = self.bases.get(&id) {
            return Ok(Arc::clone(base));
        }
        let before = last.and_then(|last| last.bases.get(&id));
        let is_told = |host: &String| scope.of(host).has_cluster();
        let is_same = self.changed.as_ref().is_some_and(|changed| !changed.iter().any(is_told));
        let told = || self.services.iter().filter(|(host, _)| is_told(host)).flat_map(|(_, resources)| resources);
        let all = || told().chain(&self.bundle).map(Arc::clone);
        let base = match before {
            Some(before) if is_same => Arc::clone(before),
            Some(before) => Base::after(before, all())?,
            None => Arc::new(Base::build(all())?),
        };
        self.bases.insert(id, Arc::clone(&base));
        Ok(base)
    }
}

/// Hosts that came, went, or have other resources.
fn differing(old: &BTreeMap<String, Vec<Arc<Resource>>>, new: &BTreeMap<String, Vec<Arc<Resource>>>) -> Vec<String> {
    let is_same = |a: &[Arc<Resource>], b: &[Arc<Resource>]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b));
    let changed = new.iter().filter(|(host, now)| old.get(*host).is_none_or(|then| !is_same(then, now)));
    let gone = old.keys().filter(|host| !new.contains_key(*host));
    changed.map(|(host, _)| host).chain(gone).cloned().collect()
}

/// The resource of before where the new one is equal to it.
fn as_before(made: Arc<Resource>, before: Option<&Vec<Arc<Resource>>>) -> Arc<Resource> {
    let same = before.and_then(|before| before.iter().find(|known| **known == made));
    same.map_or(made, Arc::clone)
}

/// Whether all that the clusters of a service are made of is what it was.
fn is_same(old: &Callers<'_>, before: &Service<'_>, new: &Callers<'_>, service: &Service<'_>) -> bool {
    fn instances<'a>(callers: &Callers<'a>, service: &Service<'a>) -> Vec<&'a Workload> {
        callers.state.instances(service.entry)
    }
    before.entry == service.entry && before.rule == service.rule && instances(old, before) == instances(new, service)
}
