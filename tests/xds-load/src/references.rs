//! What a resource makes an Envoy ask for over ADS.

use envoy_types::pb::envoy::config::cluster::v3::{Cluster, cluster::ClusterDiscoveryType, cluster::DiscoveryType};
use envoy_types::pb::envoy::config::core::v3::{ConfigSource, TransportSocket, config_source, transport_socket};
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, Listener, filter};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_connection_manager::RouteSpecifier, http_filter,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, UpstreamTlsContext, common_tls_context::ValidationContextType,
};
use envoy_types::pb::google::protobuf::Any;
use prost::Message;

use crate::wire::Kind;

/// Names by type, each once.
pub(crate) type References = Vec<(Kind, String)>;

/// Nothing for what cannot be decoded: it is the server's content, and it is not what is measured.
pub(crate) fn of(kind: Kind, body: &[u8]) -> References {
    let mut found = match kind {
        Kind::Cluster => Cluster::decode(body).map(|cluster| of_cluster(&cluster)).unwrap_or_default(),
        Kind::Listener => Listener::decode(body).map(|listener| of_listener(&listener)).unwrap_or_default(),
        Kind::Endpoint | Kind::Route | Kind::Secret | Kind::Extension => References::new(),
    };
    found.sort();
    found.dedup();
    found
}

fn of_cluster(cluster: &Cluster) -> References {
    let mut found = References::new();
    if cluster.cluster_discovery_type == Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())) {
        let service = cluster.eds_cluster_config.as_ref().map(|eds| eds.service_name.clone()).filter(|name| !name.is_empty());
        found.push((Kind::Endpoint, service.unwrap_or_else(|| cluster.name.clone())));
    }
    let sockets = cluster.transport_socket_matches.iter().filter_map(|matched| matched.transport_socket.as_ref());
    for socket in sockets.chain(&cluster.transport_socket) {
        of_socket(socket, &mut found);
    }
    found
}

fn of_listener(listener: &Listener) -> References {
    let mut found = References::new();
    for chain in listener.filter_chains.iter().chain(&listener.default_filter_chain) {
        of_chain(chain, &mut found);
    }
    found
}

fn of_chain(chain: &FilterChain, found: &mut References) {
    if let Some(socket) = &chain.transport_socket {
        of_socket(socket, found);
    }
    for filter in &chain.filters {
        match &filter.config_type {
            Some(filter::ConfigType::ConfigDiscovery(source)) if is_ads(source.config_source.as_ref()) => {
                found.push((Kind::Extension, filter.name.clone()));
            }
            Some(filter::ConfigType::TypedConfig(any)) => {
                if let Some(manager) = decode::<HttpConnectionManager>(any, "HttpConnectionManager") {
                    of_manager(&manager, found);
                }
            }
            Some(filter::ConfigType::ConfigDiscovery(_)) | None => {}
        }
    }
}

fn of_manager(manager: &HttpConnectionManager, found: &mut References) {
    if let Some(RouteSpecifier::Rds(rds)) = &manager.route_specifier
        && is_ads(rds.config_source.as_ref())
    {
        found.push((Kind::Route, rds.route_config_name.clone()));
    }
    for filter in &manager.http_filters {
        if let Some(http_filter::ConfigType::ConfigDiscovery(source)) = &filter.config_type
            && is_ads(source.config_source.as_ref())
        {
            found.push((Kind::Extension, filter.name.clone()));
        }
    }
}

fn of_socket(socket: &TransportSocket, found: &mut References) {
    let Some(transport_socket::ConfigType::TypedConfig(any)) = &socket.config_type else { return };
    let upstream = decode::<UpstreamTlsContext>(any, "UpstreamTlsContext").and_then(|tls| tls.common_tls_context);
    let downstream = || decode::<DownstreamTlsContext>(any, "DownstreamTlsContext").and_then(|tls| tls.common_tls_context);
    if let Some(common) = upstream.or_else(downstream) {
        of_tls(&common, found);
    }
}

fn of_tls(common: &CommonTlsContext, found: &mut References) {
    let validation = match &common.validation_context_type {
        Some(ValidationContextType::ValidationContextSdsSecretConfig(secret)) => Some(secret),
        Some(ValidationContextType::CombinedValidationContext(combined)) => combined.validation_context_sds_secret_config.as_ref(),
        Some(_) | None => None,
    };
    let is_asked = |secret: &&SdsSecretConfig| is_ads(secret.sds_config.as_ref());
    let secrets = common.tls_certificate_sds_secret_configs.iter().chain(validation).filter(is_asked);
    found.extend(secrets.map(|secret| (Kind::Secret, secret.name.clone())));
}

fn is_ads(source: Option<&ConfigSource>) -> bool {
    source.is_some_and(|source| matches!(source.config_source_specifier, Some(config_source::ConfigSourceSpecifier::Ads(_))))
}

fn decode<M: Message + Default>(any: &Any, name: &str) -> Option<M> {
    any.type_url.ends_with(name).then(|| M::decode(any.value.as_slice()).ok())?
}
