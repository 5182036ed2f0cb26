//! What of the mesh one proxy is told: everything, what its Sidecar document imports, what policy does not deny it altogether. Whatever a
//! route that it keeps leads to is kept too, so that no route leads nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meshwright_config::{ProxyScope, VirtualService};

use crate::TranslateError;
use crate::proxy::View;
use crate::reach::Reach;

/// What becomes of a service.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Known {
    /// It can be called.
    #[default]
    Called,
    /// It cannot be called by its name, but routes lead to it.
    RoutedTo,
    /// No Sidecar document imports it.
    NotImported,
    /// Policy denies it every request.
    Denied,
}

impl Known {
    pub(crate) fn has_cluster(self) -> bool {
        matches!(self, Self::Called | Self::RoutedTo)
    }
}

/// See the module.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    /// What becomes of a service that is not in `others`: whatever becomes of most, as there may be thousands of scopes of thousands of services.
    usual: Known,
    /// By host.
    others: BTreeMap<String, Known>,
}

impl Scope {
    pub(crate) fn new(view: &View<'_>, reach: &Reach) -> Result<Self, TranslateError> {
        if !is_scoped(view) {
            return Ok(Self::default());
        }
        let identity = view.callers().identity(view.namespace(), view.workload.service_account())?;
        let denied = match view.mesh.proxy_scope() {
            ProxyScope::Everything => Arc::default(),
            ProxyScope::Allowed => reach.denied(&identity),
        };
        let sidecar = view.state.sidecar_for(view.workload);
        let mut all: BTreeMap<&str, Known> = BTreeMap::new();
        let mut needed: BTreeSet<&str> = view.mesh.providers().iter().map(|provider| provider.host().as_str()).collect();
        for service in view.state.services() {
            for host in service.hosts() {
                let route = view.state.virtual_service_for(host);
                let leads_on = || route.is_some_and(|route| destinations(route).any(|to| !denied.contains(to)));
                let imported = sidecar.is_none_or(|sidecar| sidecar.imports(view.namespace(), service.key().namespace(), host));
                let known = if !imported {
                    Known::NotImported
                } else if denied.contains(host.as_str()) && !leads_on() {
                    Known::Denied
                } else {
                    needed.extend(route.into_iter().flat_map(destinations));
                    Known::Called
                };
                let of_host = all.entry(host.as_str()).or_default();
                // A host of two entries is called only if neither says otherwise.
                if known != Known::Called {
                    *of_host = known;
                }
            }
        }
        let of_gateways = view
            .state
            .gateways_for(view.workload)
            .into_iter()
            .flat_map(|gateway| gateway.servers().iter().flat_map(|server| view.state.gateway_routes(gateway, server)));
        needed.extend(of_gateways.flat_map(|route| destinations(route.virtual_service())));
        for host in needed {
            if let Some(known) = all.get_mut(host).filter(|known| **known != Known::Called) {
                *known = Known::RoutedTo;
            }
        }
        Ok(Self::of_all(&all))
    }

    fn of_all(all: &BTreeMap<&str, Known>) -> Self {
        let count = |of: Known| all.values().filter(|known| **known == of).count();
        let kinds = [Known::Called, Known::RoutedTo, Known::NotImported, Known::Denied];
        let usual = kinds.into_iter().max_by_key(|kind| count(*kind)).unwrap_or_default();
        let others = all.iter().filter(|(_, known)| **known != usual);
        Self { usual, others: others.map(|(host, known)| ((*host).to_owned(), *known)).collect() }
    }

    /// Of a service that there was when the scope was made.
    pub(crate) fn of(&self, host: &str) -> Known {
        self.others.get(host).copied().unwrap_or(self.usual)
    }
}

/// Whether the proxy may be told of less than all.
pub(crate) fn is_scoped(view: &View<'_>) -> bool {
    view.state.sidecar_for(view.workload).is_some() || view.mesh.proxy_scope() == ProxyScope::Allowed
}

fn destinations(route: &VirtualService) -> impl Iterator<Item = &str> {
    route.destinations().map(|(_, destination)| destination.host().as_str())
}
