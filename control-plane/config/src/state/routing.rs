//! Which rules say how a host is called.

use std::collections::BTreeSet;

use super::State;
use super::index::range_of;
use super::topology::{covering, is_subset, specificity};
use crate::credential::Credential;
use crate::destination_rule::DestinationRule;
use crate::gateway::{ClientRoots, Gateway, GatewayHost, GatewayServer, ROOTS_SUFFIX, RouteNamespace};
use crate::host::Host;
use crate::virtual_service::{GatewayRef, HttpAction, TlsRoute, VirtualService};
use crate::workload::Workload;

/// A host that a gateway's server takes, and the VirtualService that routes it.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayRoute<'a> {
    host: Host,
    virtual_service: &'a VirtualService,
}

impl<'a> GatewayRoute<'a> {
    /// The narrower of the server's and the VirtualService's host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    #[must_use]
    pub fn virtual_service(&self) -> &'a VirtualService {
        self.virtual_service
    }
}

/// A name by which clients ask for what passes through a gateway, and where that goes.
#[derive(Debug, Clone, PartialEq)]
pub struct PassthroughRoute<'a> {
    sni: Host,
    virtual_service: &'a VirtualService,
    route: &'a TlsRoute,
}

impl<'a> PassthroughRoute<'a> {
    /// The narrower of the server's host and the route's SNI.
    #[must_use]
    pub fn sni(&self) -> &Host {
        &self.sni
    }

    #[must_use]
    pub fn virtual_service(&self) -> &'a VirtualService {
        self.virtual_service
    }

    #[must_use]
    pub fn route(&self) -> &'a TlsRoute {
        self.route
    }
}

impl State {
    /// The DestinationRules that are written in a namespace.
    #[must_use]
    pub fn destination_rules_of(&self, namespace: &str) -> &[DestinationRule] {
        self.destination_rules.get(range_of(&self.destination_rules, DestinationRule::key, namespace)).unwrap_or_default()
    }

    /// The DestinationRule that callers in `client_namespace` follow for a host: one of their own namespace, else one of the service's, else
    /// one of the root namespace; within a namespace the most specific host.
    #[must_use]
    pub fn destination_rule_for(&self, host: &Host, client_namespace: &str) -> Option<&DestinationRule> {
        let service = self.service(host).map(|service| service.key().namespace());
        [Some(client_namespace), service, Some(self.root_namespace())].into_iter().flatten().find_map(|namespace| {
            let rules = self.destination_rules_of(namespace).iter().filter(|rule| rule.host().covers(host));
            rules.max_by_key(|rule| specificity(rule.host()))
        })
    }

    /// The VirtualService that sidecars follow for a host: the one whose host is the most specific. No two have the same.
    #[must_use]
    pub fn virtual_service_for(&self, host: &Host) -> Option<&VirtualService> {
        let rules = self.places_routing(host.as_str()).filter_map(|place| self.virtual_services.get(place));
        let covering = rules.filter_map(|rule| Some((specificity(covering(rule.hosts(), host)?), rule)));
        covering.max_by_key(|(specificity, _)| *specificity).map(|(_, rule)| rule)
    }

    /// The Gateways that a workload serves.
    #[must_use]
    pub fn gateways_for(&self, workload: &Workload) -> Vec<&Gateway> {
        self.gateways.iter().filter(|gateway| is_subset(gateway.selector(), workload.labels())).collect()
    }

    /// What a server of a gateway routes, most specific host first: by requests, or by TLS where that passes through.
    #[must_use]
    pub fn gateway_routes(&self, gateway: &Gateway, server: &GatewayServer) -> Vec<GatewayRoute<'_>> {
        let own = GatewayRef::Gateway { namespace: gateway.key().namespace().to_owned(), name: gateway.key().name().to_owned() };
        let has_routes = |rule: &&VirtualService| if server.passes_through() { !rule.tls().is_empty() } else { !rule.http().is_empty() };
        let mut routes = Vec::new();
        for virtual_service in self.virtual_services.iter().filter(|rule| rule.gateways().contains(&own)).filter(has_routes) {
            for host in virtual_service.hosts() {
                let takes = |taken: &&GatewayHost| may_route(taken, gateway, virtual_service) && taken.host().overlaps(host);
                for taken in server.hosts().iter().filter(takes) {
                    let narrow = if taken.host().covers(host) { host } else { taken.host() };
                    routes.push((specificity(host), GatewayRoute { host: narrow.clone(), virtual_service }));
                }
            }
        }
        let order = |(own, route): &(_, GatewayRoute<'_>)| {
            (std::cmp::Reverse(specificity(&route.host)), route.host.clone(), std::cmp::Reverse(*own))
        };
        routes.sort_by_key(order);
        // Where two reach the same name, the one that says it more exactly comes first, and stays.
        routes.dedup_by(|(_, later), (_, first)| later.host == first.host);
        routes.into_iter().map(|(_, route)| route).collect()
    }

    /// Where what passes through a server goes, most specific name first, each name once.
    #[must_use]
    pub fn passthrough_routes(&self, gateway: &Gateway, server: &GatewayServer) -> Vec<PassthroughRoute<'_>> {
        let mut found: Vec<PassthroughRoute<'_>> = Vec::new();
        for bound in self.gateway_routes(gateway, server) {
            let virtual_service = bound.virtual_service;
            for route in virtual_service.tls() {
                let here = route.matches().iter().filter(|matches| matches.is_for(server.number()));
                for sni in here.flat_map(|matches| matches.sni_hosts()).filter(|sni| sni.overlaps(&bound.host)) {
                    let sni = if sni.covers(&bound.host) { bound.host.clone() } else { sni.clone() };
                    if !found.iter().any(|earlier| earlier.sni == sni) {
                        found.push(PassthroughRoute { sni, virtual_service, route });
                    }
                }
            }
        }
        found.sort_by_key(|found| std::cmp::Reverse(specificity(&found.sni)));
        found
    }

    /// The Secret with the roots that a server verifies its clients against; none when they are in a file.
    #[must_use]
    pub fn client_roots(&self, gateway: &Gateway, roots: &ClientRoots) -> Option<&Credential> {
        let named = |name: &str| self.credential(gateway.key().namespace(), name).filter(|credential| credential.roots().is_some());
        match roots {
            ClientRoots::Secret(name) => named(name),
            // As Istio: the Secret of its own goes first.
            ClientRoots::BesideCertificate(name) => named(&format!("{name}{ROOTS_SUFFIX}")).or_else(|| named(name)),
            ClientRoots::File(_) => None,
        }
    }

    /// Replaces short names by those they stand for.
    pub(super) fn complete_names(&mut self) {
        // Only names without a dot may stand for longer ones.
        let hosts = self.services.iter().flat_map(|service| service.hosts().iter());
        let known: BTreeSet<Host> = hosts.filter(|host| !host.as_str().contains('.')).cloned().collect();
        let registered = |host: &Host| known.contains(host);
        for rule in self.destination_rules.iter_mut() {
            rule.host = rule.host.qualified(rule.key.namespace(), registered);
        }
        for rule in self.virtual_services.iter_mut() {
            let namespace = rule.key.namespace().to_owned();
            for host in &mut rule.hosts {
                *host = host.qualified(&namespace, registered);
            }
            for route in &mut rule.http {
                if let HttpAction::Route(destinations) = &mut route.action {
                    for weighted in destinations {
                        weighted.destination.host = weighted.destination.host.qualified(&namespace, registered);
                    }
                }
            }
            for weighted in rule.tls.iter_mut().flat_map(|route| &mut route.route) {
                weighted.destination.host = weighted.destination.host.qualified(&namespace, registered);
            }
        }
    }
}

fn may_route(taken: &GatewayHost, gateway: &Gateway, rule: &VirtualService) -> bool {
    match taken.namespace() {
        RouteNamespace::Any => true,
        RouteNamespace::Own => rule.key().namespace() == gateway.key().namespace(),
        RouteNamespace::Named(namespace) => rule.key().namespace() == namespace,
    }
}
