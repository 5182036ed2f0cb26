//! What callers of a namespace hold alike: the clusters of every service that they are told of, their endpoints and the trust bundle.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use meshwright_config::{Host, ServiceEntry, State, Workload};
use meshwright_cores::on_all_cores;
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

/// By host.
type Services = BTreeMap<Arc<str>, Arc<[Arc<Resource>]>>;

#[derive(Debug, Clone)]
pub(super) struct Shared {
    /// One of those that it was made for.
    namespace: String,
    bundle: Vec<Arc<Resource>>,
    services: Services,
    /// Hosts whose resources are not what they were; none when that is not known.
    changed: Option<Vec<Arc<str>>>,
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
        let services = match last.and_then(|last| Self::with_other_instances(callers, last).transpose()) {
            Some(services) => services?,
            None => Self::services(callers, last)?,
        };
        let mut bundle = Resources::default();
        bundle.trust_bundles(&trust_bundles(callers.mesh, inputs));
        let bundle = bundle.finish_shared();
        let changed = last.filter(|(last, ..)| last.bundle == bundle).map(|(last, ..)| differing(&last.services, &services));
        Ok(Self { namespace: callers.namespace.to_owned(), bundle, services, changed, bases: HashMap::new() })
    }

    /// The short way where nothing but workloads has changed: only services that select one of those are looked at.
    fn with_other_instances(
        callers: &Callers<'_>,
        (last, old, changes): (&Self, &State, &Changes),
    ) -> Result<Option<Services>, TranslateError> {
        if changes.of_workloads_alone().is_none() {
            return Ok(None);
        }
        let workloads = changes.workloads(old, callers.state);
        let touched = callers.state.services().iter().filter(|service| workloads.iter().any(|workload| service.selects(workload)));
        let hosts: BTreeSet<&Host> = touched.flat_map(ServiceEntry::hosts).collect();
        let mut services = last.services.clone();
        for service in Catalog::of(callers, |host| hosts.contains(host)).services() {
            let made = make(callers, service, last.services.get(service.host()))?;
            services.insert(service.host().into(), made);
        }
        Ok(Some(services))
    }

    fn services(callers: &Callers<'_>, last: Option<(&Self, &State, &Changes)>) -> Result<Services, TranslateError> {
        let mut services = Services::new();
        let catalog = Catalog::new(callers);
        let before = last.filter(|(_, _, changes)| !changes.concern_all_clusters()).and_then(|(last, state, _)| {
            let callers = Callers { state, mesh: state.mesh()?, namespace: &last.namespace };
            Some((last, callers, Catalog::new(&callers)))
        });
        let mut missing = Vec::new();
        for service in catalog.services() {
            let same = before.as_ref().and_then(|(last, old, old_catalog)| {
                let before = old_catalog.get(service.host())?;
                is_same(old, before, callers, service).then(|| last.services.get_key_value(service.host()))?
            });
            match same {
                Some((host, resources)) => _ = services.insert(Arc::clone(host), Arc::clone(resources)),
                None => missing.push(service),
            }
        }
        let made = on_all_cores(&missing, |service| make(callers, service, last.and_then(|(last, ..)| last.services.get(service.host()))));
        for (service, made) in missing.into_iter().zip(made) {
            services.insert(service.host().into(), made?);
        }
        Ok(services)
    }

    /// What has changed of what a scope is told, where no name came or went.
    fn replaced(&self, last: &Self, is_told: impl Fn(&str) -> bool) -> Option<Vec<Arc<Resource>>> {
        let mut replaced = Vec::new();
        for host in self.changed.iter().flatten().filter(|host| is_told(host)) {
            let (before, now) = (last.services.get(host)?, self.services.get(host)?);
            let same_names =
                before.len() == now.len() && before.iter().zip(now.iter()).all(|(a, b)| (a.kind(), a.name()) == (b.kind(), b.name()));
            replaced.extend(same_names.then_some(now)?.iter().cloned());
        }
        Some(replaced)
    }

    /// The resources of one scope. `last`: what all of this was.
    pub(super) fn base(&mut self, id: ScopeId, scope: &Scope, last: Option<&Self>) -> Result<Arc<Base>, TranslateError> {
        if let Some(base) = self.bases.get(&id) {
            return Ok(Arc::clone(base));
        }
        let before = last.and_then(|last| last.bases.get(&id));
        let is_told = |host: &str| scope.of(host).has_cluster();
        let told = || self.services.iter().filter(|(host, _)| is_told(host)).flat_map(|(_, resources)| resources.iter());
        let all = || told().chain(&self.bundle).map(Arc::clone);
        let replaced = last.filter(|_| self.changed.is_some()).and_then(|last| self.replaced(last, is_told));
        let base = match (before, replaced) {
            (Some(before), Some(replaced)) => match Base::replaced(before, replaced)? {
                Some(base) => base,
                None => Base::after(before, all())?,
            },
            (Some(before), None) => Base::after(before, all())?,
            (None, _) => Arc::new(Base::build(all())?),
        };
        self.bases.insert(id, Arc::clone(&base));
        Ok(base)
    }
}

/// Hosts that came, went, or have other resources.
fn differing(old: &Services, new: &Services) -> Vec<Arc<str>> {
    let is_same = |a: &Arc<[Arc<Resource>]>, b: &Arc<[Arc<Resource>]>| {
        Arc::ptr_eq(a, b) || (a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| Arc::ptr_eq(a, b)))
    };
    let changed = new.iter().filter(|(host, now)| old.get(*host).is_none_or(|then| !is_same(then, now)));
    let gone = old.keys().filter(|host| !new.contains_key(*host));
    changed.map(|(host, _)| host).chain(gone).cloned().collect()
}

/// The resources of one service.
fn make(
    callers: &Callers<'_>,
    service: &Service<'_>,
    before: Option<&Arc<[Arc<Resource>]>>,
) -> Result<Arc<[Arc<Resource>]>, TranslateError> {
    let mut resources = Resources::default();
    clusters::add_service(callers, service, &mut resources)?;
    Ok(resources.finish_shared().into_iter().map(|made| as_before(made, before)).collect())
}

/// The resource of before where the new one is equal to it.
fn as_before(made: Arc<Resource>, before: Option<&Arc<[Arc<Resource>]>>) -> Arc<Resource> {
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
