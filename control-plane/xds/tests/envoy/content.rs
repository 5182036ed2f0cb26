//! One website as Envoy sees it: a listener, its routes, a cluster and its endpoints.

use std::net::SocketAddr;

use envoy_types::pb::envoy::config::cluster::v3::{Cluster, cluster};
use envoy_types::pb::envoy::config::core::v3::{Address, SocketAddress, address, socket_address::PortSpecifier};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route, route_action, route_match,
};
use envoy_types::pb::envoy::r#type::matcher::v3::RegexMatcher;
use envoy_types::pb::google::protobuf::{Any, Duration};
use meshwright_xds::{Resource, ResourceType};
use prost::Message;

use crate::listening::{Listening, Sources};

/// A website; its parts change one at a time.
#[derive(Clone, Copy)]
pub(crate) struct Website {
    pub(crate) upstream: SocketAddr,
    /// Seconds.
    pub(crate) connect_timeout: i64,
    /// Whether its cluster has endpoints, and whether there are any among these.
    pub(crate) endpoints: Endpoints,
    pub(crate) prefix: &'static str,
    /// In place of the prefix.
    pub(crate) regex: Option<&'static str>,
    /// Whether its routes exist; where they do not, it is not said either that the listener needs them.
    pub(crate) has_routes: bool,
    pub(crate) listeners: &'static [&'static str],
    pub(crate) listening: Listening,
    pub(crate) sources: Sources,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoints {
    Present,
    /// An assignment without any.
    Empty,
    /// No assignment.
    Missing,
}

impl Website {
    pub(crate) fn at(upstream: SocketAddr) -> Self {
        let (listening, sources) = (Listening::default(), Sources::Aggregated);
        Self {
            upstream,
            connect_timeout: 5,
            endpoints: Endpoints::Present,
            prefix: "/",
            regex: None,
            has_routes: true,
            listeners: &["web"],
            listening,
            sources,
        }
    }

    pub(crate) fn resources(&self) -> Vec<Resource> {
        use ResourceType::{Cluster, Endpoint, Route};
        let is_missing = self.endpoints == Endpoints::Missing;
        let needed: &[(ResourceType, &str)] = if is_missing { &[] } else { &[(Endpoint, "shop")] };
        let mut resources = vec![encoded(Cluster, "shop", &self.cluster(), needed)];
        if self.has_routes {
            resources.push(encoded(Route, "routes", &self.routes(), &[(Cluster, "shop")]));
        }
        if !is_missing {
            resources.push(encoded(Endpoint, "shop", &self.assignment(), &[]));
        }
        let mut needs = self.listening.needs();
        needs.extend(self.has_routes.then_some((Route, "routes")));
        for name in self.listeners {
            resources.push(encoded(ResourceType::Listener, name, &self.listening.listener(name, self.sources), &needs));
        }
        resources.extend(self.listening.resources());
        resources
    }

    fn cluster(&self) -> Cluster {
        let timeout = Duration { seconds: self.connect_timeout, nanos: 0 };
        Cluster {
            name: "shop".to_owned(),
            connect_timeout: Some(timeout),
            cluster_discovery_type: Some(cluster::ClusterDiscoveryType::Type(cluster::DiscoveryType::Eds.into())),
            eds_cluster_config: Some(cluster::EdsClusterConfig { eds_config: Some(self.sources.source(None)), ..Default::default() }),
            ..Default::default()
        }
    }

    fn assignment(&self) -> ClusterLoadAssignment {
        let endpoint = Endpoint { address: Some(socket(self.upstream)), ..Default::default() };
        let endpoint = LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..Default::default() };
        let lb_endpoints = if self.endpoints == Endpoints::Empty { Vec::new() } else { vec![endpoint] };
        let endpoints = vec![LocalityLbEndpoints { lb_endpoints, ..Default::default() }];
        ClusterLoadAssignment { cluster_name: "shop".to_owned(), endpoints, ..Default::default() }
    }

    fn routes(&self) -> RouteConfiguration {
        let regex = self.regex.map(|regex| RegexMatcher { regex: regex.to_owned(), ..Default::default() });
        let prefix = route_match::PathSpecifier::Prefix(self.prefix.to_owned());
        let path = regex.map_or(prefix, route_match::PathSpecifier::SafeRegex);
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

pub(crate) fn socket(address: SocketAddr) -> Address {
    let (port, address) = (PortSpecifier::PortValue(address.port().into()), address.ip().to_string());
    Address { address: Some(address::Address::SocketAddress(SocketAddress { address, port_specifier: Some(port), ..Default::default() })) }
}

pub(crate) fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

pub(crate) fn encoded(kind: ResourceType, name: &str, message: &impl Message, dependencies: &[(ResourceType, &str)]) -> Resource {
    let dependencies = dependencies.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect();
    Resource::new(kind, name, message.encode_to_vec().into(), dependencies)
}
