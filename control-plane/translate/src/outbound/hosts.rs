//! The virtual hosts of the outbound routes: every name that a service is called by, with and without port.

use std::collections::BTreeSet;

use meshwright_config::ServicePort;
use meshwright_envoy_config::route::{Action, Headers, Route, RouteMatch, VirtualHost};

use crate::TranslateError;
use crate::catalog::{Catalog, Service};
use crate::names;
use crate::proxy::Callers;
use crate::routes;
use crate::scope::{Known, Scope};

/// The port of an HTTP request whose host says none.
const HTTP_PORT: u16 = 80;
/// What the peer would answer.
const FORBIDDEN: u32 = 403;
/// As for a host that the mesh does not know under `REGISTRY_ONLY`.
const UNKNOWN: u32 = 502;

/// One virtual host for every HTTP port of every service.
pub(super) fn virtual_hosts(callers: &Callers<'_>, catalog: &Catalog<'_>, scope: &Scope) -> Result<Vec<VirtualHost>, TranslateError> {
    let mut virtual_hosts = Vec::new();
    for called in called(callers, catalog).into_iter().filter(|called| scope.of(called.service.host()) == Known::Called) {
        let service = called.service;
        for (number, domains) in called.domains {
            virtual_hosts.push(VirtualHost {
                name: format!("{}:{number}", service.host()),
                domains,
                routes: service_routes(callers, catalog, service, number)?,
                https_only: false,
            });
        }
    }
    Ok(virtual_hosts)
}

/// The names of what this proxy is not told of: answered as the peer would where policy is the reason, else as a host that nobody knows.
pub(super) fn unreachable(callers: &Callers<'_>, catalog: &Catalog<'_>, scope: &Scope) -> Vec<VirtualHost> {
    let kinds =
        [("denied", FORBIDDEN, [Known::Denied].as_slice()), ("not_imported", UNKNOWN, [Known::NotImported, Known::RoutedTo].as_slice())];
    let all = called(callers, catalog);
    let refused = kinds.into_iter().map(|(name, status, kinds)| {
        let hosts = all.iter().filter(|called| kinds.contains(&scope.of(called.service.host())));
        let domains: Vec<String> = hosts.flat_map(|called| called.domains.iter().flat_map(|(_, domains)| domains.clone())).collect();
        let route = Route {
            name: name.to_owned(),
            matches: RouteMatch::any(),
            action: Action::Respond { status, body: None },
            headers: Headers::default(),
        };
        VirtualHost { name: name.to_owned(), domains, routes: vec![route], https_only: false }
    });
    refused.filter(|host| !host.domains.is_empty()).collect()
}

/// A service, and for each HTTP port the names by which it is called.
struct Called<'c, 'a> {
    service: &'c Service<'a>,
    domains: Vec<(u16, Vec<String>)>,
}

/// Of all services, also of those that a proxy is not told of: a name must not come to mean another.
fn called<'c, 'a>(callers: &Callers<'_>, catalog: &'c Catalog<'a>) -> Vec<Called<'c, 'a>> {
    let mut taken: BTreeSet<String> = catalog.services().map(|service| service.host().to_owned()).collect();
    let mut all = Vec::new();
    for service in catalog.services() {
        let mut names = vec![service.host().to_owned()];
        // Envoy refuses a table in which a name is there twice: a service's own name goes before another's alias, then the first by host.
        names.extend(aliases(callers, service).into_iter().filter(|alias| taken.insert(alias.clone())));
        let ports: Vec<&ServicePort> = service.ports().iter().filter(|port| port.protocol().is_http()).collect();
        let unsaid = ports.iter().find(|port| port.number() == HTTP_PORT).or(ports.first()).map(|port| port.number());
        let mut domains = Vec::new();
        for port in ports {
            let number = port.number();
            let mut of_port: Vec<String> = names.iter().map(|name| format!("{name}:{number}")).collect();
            if unsaid == Some(number) {
                of_port.extend(names.iter().cloned());
            }
            domains.push((number, of_port));
        }
        all.push(Called { service, domains });
    }
    all
}

fn service_routes(callers: &Callers<'_>, catalog: &Catalog<'_>, service: &Service<'_>, port: u16) -> Result<Vec<Route>, TranslateError> {
    match callers.state.virtual_service_for(service.host) {
        Some(virtual_service) => routes::of_virtual_service(virtual_service, port, catalog),
        None => Ok(vec![routes::default_route(&names::outbound_cluster(port, None, service.host()))]),
    }
}

/// The short forms of a name as Kubernetes gives them (`catalog.shop.svc`, `catalog.shop`, and `catalog` in its own namespace), and the
/// service's addresses.
fn aliases(callers: &Callers<'_>, service: &Service<'_>) -> Vec<String> {
    let mut aliases = Vec::new();
    if let Some((name, namespace)) = service.host().strip_suffix(".svc.cluster.local").and_then(|short| short.rsplit_once('.')) {
        aliases.push(format!("{name}.{namespace}.svc"));
        aliases.push(format!("{name}.{namespace}"));
        if namespace == callers.namespace {
            aliases.push(name.to_owned());
        }
    }
    let single = service.entry.addresses().iter().filter(|network| network.prefix_len() == network.max_prefix_len());
    aliases.extend(single.map(|network| match network.addr() {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    }));
    aliases
}
