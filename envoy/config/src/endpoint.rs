//! Endpoints of a cluster.

use envoy_types::pb::envoy::config::core::v3::{Locality, Metadata};
use envoy_types::pb::envoy::config::endpoint::v3 as pb;

use crate::listener::host_address;
use crate::well_known::{string, structure, uint32};

/// Key and value of the endpoint metadata by which a cluster chooses mutual TLS.
pub(crate) const TLS_MODE_KEY: &str = "tlsMode";
pub(crate) const TLS_MODE_MESH: &str = "meshwright";

/// One address that serves a cluster's requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub locality: EndpointLocality,
    /// An IP address; a name only in a cluster that resolves names.
    pub host: String,
    pub port: u16,
    /// 1 or more; Envoy refuses 0.
    pub weight: u32,
    /// Whether the endpoint's proxy terminates the mesh's mutual TLS.
    pub mutual_tls: bool,
}

/// Region, zone and sub-zone; empty where unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointLocality {
    pub region: String,
    pub zone: String,
    pub sub_zone: String,
}

/// All endpoints of one EDS name, in an order that does not depend on the order of `endpoints`.
#[must_use]
pub fn load_assignment(name: &str, endpoints: &[Endpoint]) -> pb::ClusterLoadAssignment {
    let mut sorted: Vec<&Endpoint> = endpoints.iter().collect();
    sorted.sort();
    let localities = sorted
        .chunk_by(|left, right| left.locality == right.locality)
        .map(|group| pb::LocalityLbEndpoints {
            locality: group.first().and_then(|endpoint| locality(&endpoint.locality)),
            lb_endpoints: group.iter().map(|endpoint| lb_endpoint(endpoint)).collect(),
            ..Default::default()
        })
        .collect();
    pb::ClusterLoadAssignment { cluster_name: name.to_owned(), endpoints: localities, ..Default::default() }
}

fn locality(locality: &EndpointLocality) -> Option<Locality> {
    let EndpointLocality { region, zone, sub_zone } = locality.clone();
    (!region.is_empty()).then_some(Locality { region, zone, sub_zone })
}

fn lb_endpoint(endpoint: &Endpoint) -> pb::LbEndpoint {
    let message = pb::Endpoint { address: Some(host_address(&endpoint.host, endpoint.port)), ..Default::default() };
    pb::LbEndpoint {
        host_identifier: Some(pb::lb_endpoint::HostIdentifier::Endpoint(message)),
        load_balancing_weight: uint32(endpoint.weight),
        metadata: endpoint.mutual_tls.then(|| Metadata {
            filter_metadata: [("envoy.transport_socket_match".to_owned(), structure(TLS_MODE_KEY, string(TLS_MODE_MESH)))].into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}
