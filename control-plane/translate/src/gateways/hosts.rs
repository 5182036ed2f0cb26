//! The virtual hosts of a gateway's servers: those of the VirtualServices that are bound to it, as far as the servers take their hosts.

use std::collections::BTreeMap;

use meshwright_config::VirtualService;
use meshwright_envoy_config::route::VirtualHost;

use super::Server;
use crate::TranslateError;
use crate::catalog::Catalog;
use crate::proxy::View;
use crate::routes;

/// A host without a VirtualService has no virtual host, and is answered 404.
pub(super) fn virtual_hosts(
    view: &View<'_>,
    catalog: &Catalog<'_>,
    port: u16,
    servers: &[Server<'_>],
) -> Result<Vec<VirtualHost>, TranslateError> {
    // Two servers of a port may take the same host; Envoy refuses a table in which it is there twice.
    let mut by_host: BTreeMap<String, BTreeMap<String, &VirtualService>> = BTreeMap::new();
    for server in servers {
        for route in view.state.gateway_routes(server.gateway, server.server) {
            let service = route.virtual_service();
            by_host.entry(route.host().to_string()).or_default().insert(service.key().to_string(), service);
        }
    }
    let mut virtual_hosts = Vec::new();
    for (host, services) in by_host {
        let mut routes = Vec::new();
        for service in services.into_values() {
            routes.extend(routes::of_virtual_service(service, port, catalog)?);
        }
        let domains = if host == "*" { vec![host.clone()] } else { vec![format!("{host}:{port}"), host.clone()] };
        virtual_hosts.push(VirtualHost { name: host, domains, routes, https_only: false });
    }
    Ok(virtual_hosts)
}
