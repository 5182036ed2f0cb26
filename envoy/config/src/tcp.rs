//! The TCP proxy, the last network filter of every chain that is not HTTP.

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3 as pb;

use crate::filter::network_filter;
use crate::well_known::{pack, uint32};

/// Forwards a connection's bytes to one cluster, or to several by weight.
#[derive(Debug, Clone)]
pub struct TcpProxy {
    pub stat_prefix: String,
    pub clusters: Vec<(String, u32)>,
    pub access_log: Vec<AccessLog>,
    pub connect: Connect,
}

/// When the cluster is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connect {
    AtOnce,
    /// Not before the peer is known, so that a server that speaks first does not speak to whoever connects. Envoy 1.36 does not know this
    /// and connects at once; there the policy filter holds the bytes back.
    AfterHandshake,
    /// Not before the client has sent something, and what stands before has let it pass; a server that speaks first cannot be served so.
    /// Envoy 1.36 does not know this either.
    AfterFirstData,
}

impl TcpProxy {
    #[must_use]
    pub fn build(&self) -> listener::Filter {
        let specifier = match self.clusters.as_slice() {
            [(only, _)] => pb::tcp_proxy::ClusterSpecifier::Cluster(only.clone()),
            several => pb::tcp_proxy::ClusterSpecifier::WeightedClusters(pb::tcp_proxy::WeightedCluster {
                clusters: several
                    .iter()
                    .map(|(name, weight)| pb::tcp_proxy::weighted_cluster::ClusterWeight {
                        name: name.clone(),
                        weight: *weight,
                        ..Default::default()
                    })
                    .collect(),
            }),
        };
        let config = pb::TcpProxy {
            stat_prefix: self.stat_prefix.clone(),
            access_log: self.access_log.clone(),
            cluster_specifier: Some(specifier),
            upstream_connect_mode: match self.connect {
                Connect::AtOnce => pb::UpstreamConnectMode::Immediate,
                Connect::AfterHandshake => pb::UpstreamConnectMode::OnDownstreamTlsHandshake,
                Connect::AfterFirstData => pb::UpstreamConnectMode::OnDownstreamData,
            }
            .into(),
            max_early_data_bytes: match self.connect {
                Connect::AtOnce => None,
                Connect::AfterHandshake | Connect::AfterFirstData => uint32(0),
            },
            ..Default::default()
        };
        network_filter("envoy.filters.network.tcp_proxy", pack(&config))
    }
}
