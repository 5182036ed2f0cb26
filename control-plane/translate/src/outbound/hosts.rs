//! The virtual hosts of the outbound routes: every name that a service is called by, with and without port.

use std::collections::BTreeSet;

use meshwright_config::ServicePort;
use meshwright_envoy_config::route::VirtualHost;

use crate::TranslateError;
use crate::catalog::{Catalog, Service};
use crate::names;
use crate::proxy::Callers;
use crate::routes;

/// The port of an HTTP request whose host says none.
const HTTP_PORT: u16 = 80;

/// One virtual host for every HTTP port of every service.
pub(super) fn virtual_hosts(callers: &Callers<'_>, catalog: &Catalog<'_>) -> Result<Vec<VirtualHost>, TranslateError> {
    let mut taken: BTreeSet<String> = catalog.services().map(|service| service.host().to_owned()).collect();
    let mut virtual_hosts = Vec::new();
    for service in catalog.services() {
        let mut called = vec![service.host().to_owned()];
        // Envoy refuses a table in which a name is there twice: a service's own name goes before another's alias, then the first by host.
        called.extend(aliases(callers, service).into_iter().filter(|alias| taken.insert(alias.clone())));
        let ports: Vec<&ServicePort> = service.ports().iter().filter(|port| port.protocol().is_http()).collect();
        let unsaid = ports.iter().find(|port| port.number() == HTTP_PORT).or(ports.first()).map(|port| port.number());
        for port in ports {
            let number = port.number();
            let mut domains: Vec<String> = called.iter().map(|name| format!("{name}:{number}")).collect();
            if unsaid == Some(number) {
                domains.extend(called.iter().cloned());
            }
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

fn service_routes(
    callers: &Callers<'_>,
    catalog: &Catalog<'_>,
    service: &Service<'_>,
    port: u16,
) -> Result<Vec<meshwright_envoy_config::route::Route>, TranslateError> {
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
