//! What the workload calls: one HTTP listener that routes by host, and a listener for each TCP service that the sidecar named.

mod hosts;

use std::net::SocketAddr;

use meshwright_config::{OutboundTrafficPolicy, Sidecar};
use meshwright_envoy_config::cluster::{Cluster, Discovery, HttpOptions, HttpVersion};
use meshwright_envoy_config::filter;
use meshwright_envoy_config::hcm::{HttpConnectionManager, Position, Routes};
use meshwright_envoy_config::listener::{ChainMatch, Direction, FilterChain, Inspection, Listener};
use meshwright_envoy_config::pb::envoy::config::listener::v3::Filter;
use meshwright_envoy_config::pb::envoy::config::route::v3::RouteConfiguration;
use meshwright_envoy_config::route::{Action, Forward, Headers, Route, RouteMatch, VirtualHost, route_configuration};
use meshwright_envoy_config::tcp::{Connect, TcpProxy};
use meshwright_policy::wire;
use meshwright_xds::ResourceType;

use crate::TranslateError;
use crate::catalog::Catalog;
use crate::clusters::base_cluster;
use crate::inbound::path_normalization;
use crate::names;
use crate::plugins::Plugins;
use crate::proxy::{Callers, View};
use crate::resources::{Dependencies, Resources};
use crate::scope::Scope;

/// All but the routes.
pub(crate) fn add(view: &View<'_>, plugins: &Plugins, resources: &mut Resources) -> Result<(), TranslateError> {
    if let Some(address) = view.metadata.outbound_address {
        add_http(view, plugins, address, resources)?;
    }
    for (service, &address) in &view.metadata.tcp {
        add_tcp(plugins, service, address, resources)?;
    }
    Ok(())
}

fn add_http(view: &View<'_>, plugins: &Plugins, address: SocketAddr, resources: &mut Resources) -> Result<(), TranslateError> {
    let mut filters = Vec::new();
    if takes_any_host(view) {
        let cluster = Cluster {
            discovery: Discovery::RequestedHost,
            http: Some(HttpOptions::of(HttpVersion::AsDownstream)),
            ..base_cluster(names::ANY_HOST_CLUSTER)
        };
        resources.cluster(&cluster.build(), Dependencies::new());
        filters.push(filter::dynamic_forward_proxy());
    }
    filters.push(filter::router());
    let manager = HttpConnectionManager {
        stat_prefix: names::OUTBOUND.to_owned(),
        position: Position::Outbound,
        path_normalization: path_normalization(view),
        routes: Routes::Discovered(names::OUTBOUND.to_owned()),
        filters,
        access_log: vec![plugins.access_log(wire::Direction::Outbound, wire::Protocol::Http, None)?],
    };
    let dependencies = Dependencies::from([(ResourceType::Route, names::OUTBOUND.to_owned())]);
    resources.listener(&listener(names::OUTBOUND.to_owned(), address, vec![manager.build()]).build(), dependencies);
    Ok(())
}

/// The routes of all callers of a namespace that are told the same, take the same hosts and whose listener has the same address.
pub(crate) fn routes(
    callers: &Callers<'_>,
    catalog: &Catalog<'_>,
    scope: &Scope,
    any_host: bool,
    address: SocketAddr,
) -> Result<RouteConfiguration, TranslateError> {
    let mut virtual_hosts = vec![refuse("loop", own_names(address))];
    virtual_hosts.extend(hosts::virtual_hosts(callers, catalog, scope)?);
    if any_host {
        // Unknown to this proxy, they must not be taken for hosts outside the mesh.
        virtual_hosts.extend(hosts::unreachable(callers, catalog, scope));
        virtual_hosts.push(VirtualHost { routes: vec![route(names::ANY_HOST_CLUSTER)], ..refuse("allow_any", vec!["*".to_owned()]) });
    } else {
        virtual_hosts.push(refuse("block_all", vec!["*".to_owned()]));
    }
    Ok(route_configuration(names::OUTBOUND, &virtual_hosts))
}

/// Whether hosts that the mesh does not know are called as they are.
pub(crate) fn takes_any_host(view: &View<'_>) -> bool {
    let own = view.state.sidecar_for(view.workload).and_then(Sidecar::outbound_traffic_policy);
    own.unwrap_or_else(|| view.mesh.outbound_traffic_policy()) == OutboundTrafficPolicy::AllowAny
}

fn add_tcp(plugins: &Plugins, service: &str, address: SocketAddr, resources: &mut Resources) -> Result<(), TranslateError> {
    let (host, port) = service
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse::<u16>().ok().filter(|port| *port > 0)?)))
        .filter(|(host, _)| !host.is_empty())
        .ok_or_else(|| TranslateError::TcpService(service.to_owned()))?;
    let name = names::outbound_cluster(port, None, host);
    if !resources.contains(ResourceType::Cluster, &name) {
        // No such service, or no longer: connections are closed until there is.
        resources.cluster(&base_cluster(&name).build(), Dependencies::new());
    }
    let proxy = TcpProxy {
        stat_prefix: name.clone(),
        clusters: vec![(name.clone(), 1)],
        access_log: vec![plugins.access_log(wire::Direction::Outbound, wire::Protocol::Tcp, Some(host))?],
        connect: Connect::AtOnce,
    };
    resources.listener(&listener(name, address, vec![proxy.build()]).build(), Dependencies::new());
    Ok(())
}

fn listener(name: String, address: SocketAddr, filters: Vec<Filter>) -> Listener {
    let chain = FilterChain { name: String::new(), matches: ChainMatch::Any, transport_socket: None, filters };
    Listener { name, address, direction: Direction::Outbound, inspection: Inspection::None, filter_chains: vec![chain] }
}

/// The listener's own names: forwarded, such a request would come back for ever.
fn own_names(address: SocketAddr) -> Vec<String> {
    let mut names = vec![address.to_string()];
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        names.push(format!("localhost:{}", address.port()));
    }
    names
}

/// As Istio answers for a host that the mesh does not know under `REGISTRY_ONLY`.
fn refuse(name: &str, domains: Vec<String>) -> VirtualHost {
    let route = Route {
        name: name.to_owned(),
        matches: RouteMatch::any(),
        action: Action::Respond { status: 502, body: None },
        headers: Headers::default(),
    };
    VirtualHost { name: name.to_owned(), domains, routes: vec![route], https_only: false }
}

fn route(cluster: &str) -> Route {
    Route {
        name: "allow_any".to_owned(),
        matches: RouteMatch::any(),
        action: Action::Forward(Forward::to(cluster)),
        headers: Headers::default(),
    }
}
