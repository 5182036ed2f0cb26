//! One website as Envoy sees it: a listener, its routes, a cluster and its endpoints.

use std::net::SocketAddr;

use envoy_types::pb::envoy::config::cluster::v3::{Cluster, cluster};
use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, ConfigSource, SocketAddress, address, config_source::ConfigSourceSpecifier,
    socket_address::PortSpecifier,
};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route, route_action, route_match,
};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_connection_manager::RouteSpecifier, http_filter,
};
use envoy_types::pb::google::protobuf::{Any, Duration};
use meshwright_xds::{Resource, ResourceType};
use prost::Message;

/// A website; its parts change one at a time.
#[derive(Clone, Copy)]
pub(crate) struct Website {
    pub(crate) upstream: SocketAddr,
    /// Seconds.
    pub(crate) connect_timeout: i64,
    pub(crate) prefix: &'static str,
    pub(crate) listeners: &'static [&'static str],
}

impl Website {
    pub(crate) fn at(upstream: SocketAddr) -> Self {
        Self { upstream, connect_timeout: 5, prefix: "/", listeners: &["web"] }
    }

    pub(crate) fn resources(&self) -> Vec<Resource> {
        use ResourceType::{Cluster, Endpoint, Route};
        let mut resources = vec![
            encoded(Cluster, "shop", &self.cluster(), &[(Endpoint, "shop")]),
            encoded(Endpoint, "shop", &self.endpoints(), &[]),
            encoded(Route, "routes", &self.routes(), &[(Cluster, "shop")]),
        ];
        resources.extend(self.listeners.iter().map(|name| encoded(ResourceType::Listener, name, &listener(name), &[(Route, "routes")])));
        resources
    }

    fn cluster(&self) -> Cluster {
        let timeout = Duration { seconds: self.connect_timeout, nanos: 0 };
        Cluster {
            name: "shop".to_owned(),
            connect_timeout: Some(timeout),
            cluster_discovery_type: Some(cluster::ClusterDiscoveryType::Type(cluster::DiscoveryType::Eds.into())),
            eds_cluster_config: Some(cluster::EdsClusterConfig { eds_config: Some(ads()), ..Default::default() }),
            ..Default::default()
        }
    }

    fn endpoints(&self) -> ClusterLoadAssignment {
        let endpoint = Endpoint { address: Some(socket(self.upstream)), ..Default::default() };
        let endpoint = LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..Default::default() };
        let endpoints = vec![LocalityLbEndpoints { lb_endpoints: vec![endpoint], ..Default::default() }];
        ClusterLoadAssignment { cluster_name: "shop".to_owned(), endpoints, ..Default::default() }
    }

    fn routes(&self) -> RouteConfiguration {
        let path = route_match::PathSpecifier::Prefix(self.prefix.to_owned());
        let action =
            RouteAction { cluster_specifier: Some(route_action::ClusterSpecifier::Cluster("shop".to_owned())), ..Default::default() };
        let route = Route {
            r#match: Some(RouteMatch { path_specifier: Some(path), ..Default::default() }),
            action: Some(route::Action::Route(action)),
            ..Default::default()
        };
        let host = VirtualHost { name: "all".to_owned(), domains: vec!["*".to_owned()], routes: vec![route], ..Default::default() };
        RouteConfiguration { name: "routes".to_owned(), virtual_hosts: vec![host], ..Default::default() }
    }
}

/// One whose name begins with `bad` has no address, which Envoy refuses.
fn listener(name: &str) -> Listener {
    let rds = Rds { config_source: Some(ads()), route_config_name: "routes".to_owned() };
    let router = http_filter::ConfigType::TypedConfig(any("envoy.extensions.filters.http.router.v3.Router", &Router::default()));
    let manager = HttpConnectionManager {
        stat_prefix: "web".to_owned(),
        http_filters: vec![HttpFilter { name: "router".to_owned(), config_type: Some(router), ..Default::default() }],
        route_specifier: Some(RouteSpecifier::Rds(rds)),
        ..Default::default()
    };
    let manager = any("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", &manager);
    let filter = Filter { name: "http".to_owned(), config_type: Some(filter::ConfigType::TypedConfig(manager)) };
    Listener {
        name: name.to_owned(),
        address: (!name.starts_with("bad")).then(|| socket(SocketAddr::from(([127, 0, 0, 1], 0)))),
        filter_chains: vec![FilterChain { filters: vec![filter], ..Default::default() }],
        ..Default::default()
    }
}

fn ads() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..Default::default()
    }
}

fn socket(address: SocketAddr) -> Address {
    let (port, address) = (PortSpecifier::PortValue(address.port().into()), address.ip().to_string());
    Address { address: Some(address::Address::SocketAddress(SocketAddress { address, port_specifier: Some(port), ..Default::default() })) }
}

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

fn encoded(kind: ResourceType, name: &str, message: &impl Message, dependencies: &[(ResourceType, &str)]) -> Resource {
    let dependencies = dependencies.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect();
    Resource::new(kind, name, message.encode_to_vec().into(), dependencies)
}
