//! What a workload that Gateways select accepts from outside: a listener for each port of their servers.

mod hosts;
mod passthrough;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use meshwright_config::{Gateway, GatewayProtocol, GatewayServer};
use meshwright_envoy_config::filter::Peers;
use meshwright_envoy_config::hcm::{HttpConnectionManager, Position, Routes};
use meshwright_envoy_config::listener::{ChainMatch, Direction, FilterChain, Inspection, Listener};
use meshwright_envoy_config::pb::envoy::config::listener::v3::Filter;
use meshwright_envoy_config::route::route_configuration;
use meshwright_policy::wire;
use meshwright_xds::ResourceType;

use crate::TranslateError;
use crate::catalog::Catalog;
use crate::inbound::{bind_address, path_normalization, policed};
use crate::names;
use crate::plugins::Plugins;
use crate::proxy::View;
use crate::resources::{Dependencies, Resources};

/// A server and the Gateway it is written in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) server: &'a GatewayServer,
}

impl Server<'_> {
    /// For names and messages.
    fn label(&self) -> String {
        format!("{}/{}", self.gateway.key().namespace(), self.gateway.key().name())
    }
}

/// Adds the listeners and returns their ports.
pub(crate) fn add(
    view: &View<'_>,
    catalog: &Catalog<'_>,
    plugins: &Plugins,
    resources: &mut Resources,
) -> Result<BTreeSet<u16>, TranslateError> {
    let by_port = servers(view);
    for (&port, servers) in &by_port {
        // The state has refused ports with both; were there one, what has no certificate would not be served.
        if servers.iter().all(|server| server.server.protocol() == GatewayProtocol::Http) {
            add_http(view, catalog, plugins, port, servers, resources)?;
        } else {
            tls::add(view, catalog, plugins, port, servers, resources)?;
        }
    }
    Ok(by_port.into_keys().collect())
}

/// The servers of all Gateways that select the workload, by port.
fn servers<'a>(view: &View<'a>) -> BTreeMap<u16, Vec<Server<'a>>> {
    let mut by_port: BTreeMap<u16, Vec<Server<'a>>> = BTreeMap::new();
    for gateway in view.state.gateways_for(view.workload) {
        for server in gateway.servers() {
            by_port.entry(server.number()).or_default().push(Server { gateway, server });
        }
    }
    by_port
}

fn add_http(
    view: &View<'_>,
    catalog: &Catalog<'_>,
    plugins: &Plugins,
    port: u16,
    servers: &[Server<'_>],
    resources: &mut Resources,
) -> Result<(), TranslateError> {
    let name = names::gateway_listener(port);
    resources.routes(&route_configuration(&name, &hosts::virtual_hosts(view, catalog, port, servers, &[])?));
    let chain = FilterChain {
        name: "http".to_owned(),
        matches: ChainMatch::Any,
        transport_socket: None,
        filters: manager(view, plugins, port, &name)?,
    };
    let mut dependencies = needs_policy();
    dependencies.insert((ResourceType::Route, name));
    resources.listener(&listener(view, port, Inspection::None, vec![chain])?.build(), dependencies);
    Ok(())
}

fn manager(view: &View<'_>, plugins: &Plugins, port: u16, routes: &str) -> Result<Vec<Filter>, TranslateError> {
    let access_log = vec![plugins.access_log(wire::Direction::Gateway, wire::Protocol::Http, None)?];
    Ok(policed(view, Peers::Outside, |filters| HttpConnectionManager {
        stat_prefix: format!("gateway_{port}"),
        position: Position::Gateway,
        path_normalization: path_normalization(view),
        routes: Routes::Discovered(routes.to_owned()),
        filters,
        access_log,
    }))
}

fn needs_policy() -> Dependencies {
    Dependencies::from([(ResourceType::ExtensionConfig, names::HTTP_POLICY.to_owned())])
}

fn listener(view: &View<'_>, port: u16, inspection: Inspection, filter_chains: Vec<FilterChain>) -> Result<Listener, TranslateError> {
    Ok(Listener {
        name: names::gateway_listener(port),
        address: SocketAddr::new(bind_address(view)?, port),
        direction: Direction::Inbound,
        inspection,
        filter_chains,
    })
}
