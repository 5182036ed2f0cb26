//! Clusters.

mod policy;

use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3 as pb;
use envoy_types::pb::envoy::config::core::v3::{self as core, TransportSocket};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::extensions::clusters::dynamic_forward_proxy::v3 as forward_proxy;
use envoy_types::pb::envoy::extensions::upstreams::http::v3 as http;
use pb::cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, TransportSocketMatch};

pub use policy::{CircuitBreakers, LoadBalancer, OutlierDetection, TcpKeepalive};

use crate::endpoint::{TLS_MODE_KEY, TLS_MODE_MESH};
use crate::filter;
use crate::source;
use crate::tls;
use crate::well_known::{duration, pack, string, structure, uint32};

/// Where a cluster's requests go, and how.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub name: String,
    pub discovery: Discovery,
    pub tls: UpstreamTls,
    /// None for TCP.
    pub http: Option<HttpOptions>,
    pub connect_timeout: Duration,
    pub load_balancer: LoadBalancer,
    pub circuit_breakers: CircuitBreakers,
    pub outlier_detection: Option<OutlierDetection>,
    pub tcp_keepalive: Option<TcpKeepalive>,
}

/// How a cluster's endpoints are found.
#[derive(Debug, Clone)]
pub enum Discovery {
    /// By EDS, under the cluster's own name.
    Eds,
    Static(ClusterLoadAssignment),
    /// All addresses of the names in the assignment.
    StrictDns(ClusterLoadAssignment),
    /// No endpoint: connections fail at once.
    Nowhere,
    /// Whatever host the request names; needs [`filter::dynamic_forward_proxy`] in the chain.
    RequestedHost,
}

/// TLS towards the endpoints.
#[derive(Debug, Clone)]
pub enum UpstreamTls {
    None,
    Always(TransportSocket),
    /// To those endpoints that say they terminate the mesh's mutual TLS; plaintext to the others.
    WhereOffered(TransportSocket),
}

/// HTTP towards the endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpOptions {
    pub version: HttpVersion,
    pub idle_timeout: Option<Duration>,
    pub max_requests_per_connection: Option<u32>,
    pub max_concurrent_streams: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    Http1,
    Http2,
    /// Whichever the caller used.
    AsDownstream,
}

impl HttpOptions {
    /// This version, everything else as Envoy's defaults.
    #[must_use]
    pub const fn of(version: HttpVersion) -> Self {
        Self { version, idle_timeout: None, max_requests_per_connection: None, max_concurrent_streams: None }
    }
}

impl Cluster {
    #[must_use]
    pub fn build(&self) -> pb::Cluster {
        let (discovery, eds, endpoints) = self.discovery();
        let (transport_socket, transport_socket_matches) = self.transport();
        let (lb_policy, lb_config) = match self.discovery {
            Discovery::RequestedHost => (pb::cluster::LbPolicy::ClusterProvided, None),
            Discovery::Eds | Discovery::Static(_) | Discovery::StrictDns(_) | Discovery::Nowhere => self.load_balancer.build(),
        };
        pb::Cluster {
            name: self.name.clone(),
            cluster_discovery_type: Some(discovery),
            eds_cluster_config: eds,
            load_assignment: endpoints,
            transport_socket,
            transport_socket_matches,
            connect_timeout: duration(self.connect_timeout),
            lb_policy: lb_policy.into(),
            lb_config,
            circuit_breakers: Some(self.circuit_breakers.build()),
            outlier_detection: self.outlier_detection.as_ref().map(OutlierDetection::build),
            common_lb_config: self.outlier_detection.as_ref().map(OutlierDetection::panic_threshold),
            upstream_connection_options: self
                .tcp_keepalive
                .map(|keepalive| pb::UpstreamConnectionOptions { tcp_keepalive: Some(keepalive.build()), ..Default::default() }),
            // One entry: with two, the encoding would depend on a hash map's order.
            typed_extension_protocol_options: self
                .http
                .map(|options| ("envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned(), pack(&self.http_protocol(options))))
                .into_iter()
                .collect(),
            per_connection_buffer_limit_bytes: uint32(1 << 20),
            ..Default::default()
        }
    }

    fn discovery(&self) -> (ClusterDiscoveryType, Option<EdsClusterConfig>, Option<ClusterLoadAssignment>) {
        let kind = |kind: DiscoveryType| ClusterDiscoveryType::Type(kind.into());
        match &self.discovery {
            Discovery::Eds => {
                let eds = EdsClusterConfig { eds_config: Some(source::ads()), service_name: self.name.clone() };
                (kind(DiscoveryType::Eds), Some(eds), None)
            }
            Discovery::Static(endpoints) => (kind(DiscoveryType::Static), None, Some(endpoints.clone())),
            Discovery::StrictDns(endpoints) => (kind(DiscoveryType::StrictDns), None, Some(endpoints.clone())),
            Discovery::Nowhere => {
                let nothing = ClusterLoadAssignment { cluster_name: self.name.clone(), ..Default::default() };
                (kind(DiscoveryType::Static), None, Some(nothing))
            }
            Discovery::RequestedHost => {
                let specifier = forward_proxy::cluster_config::ClusterImplementationSpecifier::DnsCacheConfig(filter::dns_cache());
                let config = forward_proxy::ClusterConfig { cluster_implementation_specifier: Some(specifier), ..Default::default() };
                let custom = pb::cluster::CustomClusterType {
                    name: "envoy.clusters.dynamic_forward_proxy".to_owned(),
                    typed_config: Some(pack(&config)),
                };
                (ClusterDiscoveryType::ClusterType(custom), None, None)
            }
        }
    }

    fn http_protocol(&self, options: HttpOptions) -> http::HttpProtocolOptions {
        let mut message = options.build();
        if matches!(self.discovery, Discovery::RequestedHost) {
            // Envoy insists: were TLS added, the certificate would have to be the requested host's.
            message.upstream_http_protocol_options =
                Some(core::UpstreamHttpProtocolOptions { auto_sni: true, auto_san_validation: true, ..Default::default() });
        }
        message
    }

    fn transport(&self) -> (Option<TransportSocket>, Vec<TransportSocketMatch>) {
        match &self.tls {
            UpstreamTls::None => (None, Vec::new()),
            UpstreamTls::Always(socket) => (Some(socket.clone()), Vec::new()),
            UpstreamTls::WhereOffered(socket) => {
                let offered = TransportSocketMatch {
                    name: "mutual-tls".to_owned(),
                    r#match: Some(structure(TLS_MODE_KEY, string(TLS_MODE_MESH))),
                    transport_socket: Some(socket.clone()),
                };
                let otherwise = TransportSocketMatch {
                    name: "plaintext".to_owned(),
                    r#match: Some(envoy_types::pb::google::protobuf::Struct::default()),
                    transport_socket: Some(tls::plaintext()),
                };
                (None, vec![offered, otherwise])
            }
        }
    }
}

impl HttpOptions {
    fn build(self) -> http::HttpProtocolOptions {
        use http::http_protocol_options::{
            ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig, explicit_http_config::ProtocolConfig,
        };
        let http2 =
            core::Http2ProtocolOptions { max_concurrent_streams: self.max_concurrent_streams.and_then(uint32), ..Default::default() };
        let explicit = |config| UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig { protocol_config: Some(config) });
        let version = match self.version {
            HttpVersion::Http1 => explicit(ProtocolConfig::HttpProtocolOptions(core::Http1ProtocolOptions::default())),
            HttpVersion::Http2 => explicit(ProtocolConfig::Http2ProtocolOptions(http2)),
            HttpVersion::AsDownstream => UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
                http_protocol_options: Some(core::Http1ProtocolOptions::default()),
                http2_protocol_options: Some(http2),
                ..Default::default()
            }),
        };
        let common = core::HttpProtocolOptions {
            idle_timeout: self.idle_timeout.and_then(duration),
            max_requests_per_connection: self.max_requests_per_connection.and_then(uint32),
            ..Default::default()
        };
        http::HttpProtocolOptions {
            common_http_protocol_options: Some(common),
            upstream_protocol_options: Some(version),
            ..Default::default()
        }
    }
}
