//! The file that Envoy starts from: who it is, and how it reaches the control plane. Everything else arrives over ADS.

use std::net::IpAddr;

use meshwright_identity::SpiffeId;
use serde_json::{Value, json};

use crate::allocator;
use crate::metadata::NodeMetadata;
use crate::names;

/// What the bootstrap depends on. Paths are strings because Envoy's configuration is JSON, which has no other bytes.
#[derive(Debug, Clone)]
pub struct BootstrapParams {
    /// As [`names::node_id`] makes it.
    pub node_id: String,
    pub metadata: NodeMetadata,
    pub control_plane: ControlPlaneAddress,
    /// The only identity that the control plane's certificate may have.
    pub control_plane_identity: SpiffeId,
    /// The sidecar's SDS socket.
    pub sds_socket: String,
    pub admin: Admin,
}

/// Where the control plane listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlaneAddress {
    /// A name or an IP address.
    pub host: String,
    pub port: u16,
}

/// Where Envoy's admin interface listens. There is no way to say an address that others can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admin {
    UnixSocket(String),
    /// `127.0.0.1` and this port; 0 lets the kernel choose.
    Loopback(u16),
}

/// The JSON for `envoy --config-path`.
#[must_use]
pub fn bootstrap(params: &BootstrapParams) -> Value {
    let metadata = &params.metadata;
    json!({
        "node": {
            "id": params.node_id,
            "cluster": format!("{}.{}", metadata.workload, metadata.namespace),
            "metadata": { (names::NODE_METADATA_KEY): metadata },
        },
        "admin": { "address": admin_address(&params.admin) },
        "dynamic_resources": dynamic_resources(),
        "static_resources": { "clusters": [sds_cluster(&params.sds_socket), xds_cluster(params)] },
        "layered_runtime": layered_runtime(),
        "stats_config": stats_config(),
        "memory_allocator_manager": allocator::manager(metadata.limits_its_memory()),
    })
}

fn admin_address(admin: &Admin) -> Value {
    match admin {
        Admin::UnixSocket(path) => json!({ "pipe": { "path": path, "mode": 0o600 } }),
        Admin::Loopback(port) => json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } }),
    }
}

/// Zero on LDS and CDS: Envoy never reports itself ready with part of its configuration.
fn dynamic_resources() -> Value {
    let ads = json!({ "ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3" });
    json!({
        "ads_config": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": true,
            "grpc_services": [{ "envoy_grpc": { "cluster_name": names::XDS_CLUSTER } }],
        },
        "lds_config": ads,
        "cds_config": ads,
    })
}

fn sds_cluster(socket: &str) -> Value {
    json!({
        "name": names::SDS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": http2(&json!({})),
        "load_assignment": load_assignment(names::SDS_CLUSTER, &json!({ "pipe": { "path": socket } })),
    })
}

/// Mutual TLS with the workload's own certificate, so that the private key has one home. Keepalive, because a half-open connection is
/// otherwise noticed only when something has to be sent.
fn xds_cluster(params: &BootstrapParams) -> Value {
    let ControlPlaneAddress { host, port } = &params.control_plane;
    let discovery = if host.parse::<IpAddr>().is_ok() { "STATIC" } else { "STRICT_DNS" };
    let address = json!({ "socket_address": { "address": host, "port_value": port } });
    json!({
        "name": names::XDS_CLUSTER,
        "type": discovery,
        "connect_timeout": "1s",
        "typed_extension_protocol_options": http2(&json!({ "connection_keepalive": { "interval": "30s", "timeout": "5s" } })),
        "load_assignment": load_assignment(names::XDS_CLUSTER, &address),
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "common_tls_context": {
                    "tls_params": { "tls_minimum_protocol_version": "TLSv1_2" },
                    "alpn_protocols": ["h2"],
                    "tls_certificate_sds_secret_configs": [sds_secret(names::WORKLOAD_SECRET)],
                    "combined_validation_context": {
                        "default_validation_context": {
                            "match_typed_subject_alt_names": [{ "san_type": "URI", "matcher": { "exact": params.control_plane_identity } }],
                        },
                        "validation_context_sds_secret_config": sds_secret(names::TRUST_BUNDLE_SECRET),
                    },
                },
            },
        },
    })
}

fn sds_secret(name: &str) -> Value {
    json!({
        "name": name,
        "sds_config": {
            "api_config_source": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{ "envoy_grpc": { "cluster_name": names::SDS_CLUSTER } }],
            },
            "initial_fetch_timeout": "0s",
            "resource_api_version": "V3",
        },
    })
}

fn http2(options: &Value) -> Value {
    json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": options },
        },
    })
}

fn load_assignment(cluster: &str, address: &Value) -> Value {
    json!({ "cluster_name": cluster, "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }] })
}

/// The fragment is stripped rather than refused, as Istio does; policies match on the path without it either way.
fn layered_runtime() -> Value {
    json!({
        "layers": [
            {
                "name": "meshwright",
                "static_layer": {
                    "envoy.reloadable_features.http_reject_path_with_fragment": false,
                    "re2.max_program_size.error_level": 32768,
                },
            },
            { "name": "admin", "admin_layer": {} },
        ],
    })
}

/// Statistics are memory per cluster and listener; these are the ones that somebody reads.
fn stats_config() -> Value {
    let prefixes = [
        "cluster_manager.",
        "cluster.xds-grpc.",
        "cluster.sds-grpc.",
        "control_plane.",
        "extension_config_discovery.",
        "http.",
        "listener.",
        "listener_manager.",
        "sds.",
        "server.",
        "tcp.",
        "wasm",
    ];
    let suffixes = [
        "membership_healthy",
        "membership_total",
        "outlier_detection.ejections_active",
        "ssl.connection_error",
        "ssl.fail_verify_error",
        "ssl.fail_verify_san",
        "ssl.handshake",
        "upstream_cx_active",
        "upstream_cx_connect_fail",
        "upstream_cx_overflow",
        "upstream_cx_total",
        "upstream_rq_active",
        "upstream_rq_pending_overflow",
        "upstream_rq_retry",
        "upstream_rq_total",
    ];
    let patterns: Vec<Value> = prefixes
        .iter()
        .map(|prefix| json!({ "prefix": prefix }))
        .chain(suffixes.iter().map(|suffix| json!({ "suffix": suffix })))
        .collect();
    json!({ "stats_matcher": { "inclusion_list": { "patterns": patterns } }, "stats_tags": stats_tags() })
}

/// The module's metrics have their labels in their names, `…;verdict=DENY;policy=shop/web;reason=deny_rule_matched`: Envoy takes them out
/// again. The first group is taken from the name, the second is the label's value.
fn stats_tags() -> Value {
    let labels = ["verdict", "policy", "reason", "outcome"];
    let tag = |label: &&str| json!({ "tag_name": label, "regex": format!(r"^wasmcustom\.meshwright\..*(;{label}=([^;]*))") });
    labels.iter().map(tag).collect()
}
