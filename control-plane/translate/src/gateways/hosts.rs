//! The virtual hosts of a gateway's servers: those of the VirtualServices that are bound to it, as far as the servers take their hosts.

use std::collections::BTreeMap;

use meshwright_config::{Host, VirtualService};
use meshwright_envoy_config::route::{Action, Headers, Route, RouteMatch, VirtualHost};

use super::Server;
use crate::TranslateError;
use crate::catalog::Catalog;
use crate::proxy::View;
use crate::routes;

/// The connection is not one for this host (RFC 9110, section 15.5.20); a client may try another.
const MISDIRECTED: u32 = 421;

/// A host without a VirtualService has no virtual host, and is answered 404. `port_servers`: those among which SNI chooses. A host that one of the
/// others takes more exactly is answered 421: who names this server in TLS, and that host in HTTP, would otherwise be past what the other asks
/// of its clients.
pub(super) fn virtual_hosts(
    view: &View<'_>,
    catalog: &Catalog<'_>,
    port: u16,
    servers: &[Server<'_>],
    port_servers: &[Server<'_>],
) -> Result<Vec<VirtualHost>, TranslateError> {
    let own: Vec<&Host> = hosts(servers).collect();
    let others: Vec<&Host> =
        hosts(port_servers).filter(|other| !own.contains(other) && own.iter().any(|host| host.covers(other))).collect();
    // Two servers of a port may take the same host; Envoy refuses a table in which it is there twice.
    let mut by_host: BTreeMap<String, BTreeMap<String, &VirtualService>> = BTreeMap::new();
    for server in servers {
        for route in view.state.gateway_routes(server.gateway, server.server) {
            let service = route.virtual_service();
            if !is_of_another(route.host(), &own, &others) {
                by_host.entry(route.host().to_string()).or_default().insert(service.key().to_string(), service);
            }
        }
    }
    let mut virtual_hosts = Vec::new();
    for (host, services) in by_host {
        let mut routes = Vec::new();
        for service in services.into_values() {
            routes.extend(routes::of_virtual_service(service, port, catalog)?);
        }
        virtual_hosts.push(VirtualHost { domains: domains(&host, port), name: host, routes, https_only: false });
    }
    virtual_hosts.extend(others.into_iter().map(|host| misdirected(host, port)));
    Ok(virtual_hosts)
}

fn hosts<'a>(servers: &[Server<'a>]) -> impl Iterator<Item = &'a Host> {
    servers.iter().flat_map(|server| server.server.hosts()).map(|host| host.host())
}

/// Whether SNI would choose another server for it. Of two hosts that cover it one covers the other.
fn is_of_another(host: &Host, own: &[&Host], others: &[&Host]) -> bool {
    let covering = others.iter().filter(|other| other.covers(host));
    covering.into_iter().any(|other| !own.iter().any(|own| other.covers(own) && own.covers(host)))
}

fn misdirected(host: &Host, port: u16) -> VirtualHost {
    let route = Route {
        name: "misdirected".to_owned(),
        matches: RouteMatch::any(),
        action: Action::Respond { status: MISDIRECTED, body: None },
        headers: Headers::default(),
    };
    VirtualHost { name: host.to_string(), domains: domains(host.as_str(), port), routes: vec![route], https_only: false }
}

fn domains(host: &str, port: u16) -> Vec<String> {
    if host == "*" { vec![host.to_owned()] } else { vec![format!("{host}:{port}"), host.to_owned()] }
}
