//! Where Envoy asks for what a resource names.
//!
//! These bytes never change: Envoy treats a changed source as another subscription, stops asking for the secret that it already has, and
//! after its timeout serves without a certificate.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::SdsSecretConfig;

use crate::names;
use crate::well_known::duration;

/// EDS, RDS and ECDS, with Envoy's default timeout of 15 seconds.
#[must_use]
pub fn ads() -> core::ConfigSource {
    core::ConfigSource {
        resource_api_version: core::ApiVersion::V3.into(),
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(core::AggregatedConfigSource {})),
        ..Default::default()
    }
}

/// A secret that the control plane serves, such as the trust bundle. The listener or cluster waits for it for as long as it takes.
#[must_use]
pub fn ads_secret(name: &str) -> SdsSecretConfig {
    let source = core::ConfigSource { initial_fetch_timeout: duration(Duration::ZERO), ..ads() };
    SdsSecretConfig { name: name.to_owned(), sds_config: Some(source) }
}

/// The workload's own certificate, from the sidecar's socket. Waits likewise.
#[must_use]
pub fn workload_secret() -> SdsSecretConfig {
    let target = core::grpc_service::EnvoyGrpc { cluster_name: names::SDS_CLUSTER.to_owned(), ..Default::default() };
    let api = core::ApiConfigSource {
        api_type: core::api_config_source::ApiType::DeltaGrpc.into(),
        transport_api_version: core::ApiVersion::V3.into(),
        grpc_services: vec![core::GrpcService {
            target_specifier: Some(core::grpc_service::TargetSpecifier::EnvoyGrpc(target)),
            ..Default::default()
        }],
        set_node_on_first_message_only: true,
        ..Default::default()
    };
    let source = core::ConfigSource {
        initial_fetch_timeout: duration(Duration::ZERO),
        resource_api_version: core::ApiVersion::V3.into(),
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::ApiConfigSource(api)),
        ..Default::default()
    };
    SdsSecretConfig { name: names::WORKLOAD_SECRET.to_owned(), sds_config: Some(source) }
}
