//! One listener with the roles in place, as the control plane would configure it (docs/ARCHITECTURE.md, "Names on the wire").

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::envoy::module;

const PEER: &str = "%DOWNSTREAM_PEER_SERIAL%|%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%|%DOWNSTREAM_PEER_URI_SAN%";

fn typed(kind: &str, mut fields: Value) -> Value {
    fields["@type"] = json!(format!("type.googleapis.com/envoy.extensions.{kind}"));
    fields
}

pub(crate) fn plugin(root_id: &str, configuration: &Value) -> Value {
    json!({
        "name": format!("meshwright.{root_id}"), "root_id": root_id, "failure_policy": "FAIL_RELOAD",
        "vm_config": {
            "vm_id": "meshwright", "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": module()}},
        },
        "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration.to_string()},
    })
}

fn peer_object() -> Value {
    json!([{
        "object_key": "meshwright.peer", "factory_key": "envoy.string", "read_only": true,
        "format_string": {"text_format_source": {"inline_string": PEER}, "omit_empty_values": true},
    }])
}

pub(crate) fn access_log(protocol: &str) -> Value {
    let configuration = json!({
        "version": 1, "direction": "inbound", "protocol": protocol, "namespace": "shop", "workload": "ledger-1", "service": "ledger.shop.mesh",
        "principal": "spiffe://mesh.local/ns/shop/sa/ledger", "trust_domain": "mesh.local",
    });
    let config = json!({"config": plugin("access-log", &configuration)});
    json!([{"name": "envoy.access_loggers.wasm", "typed_config": typed("access_loggers.wasm.v3.WasmAccessLog", config)}])
}

/// What stands before the router.
pub(crate) fn http_filters(authz: &Value) -> Vec<Value> {
    vec![
        json!({
            "name": "envoy.filters.http.set_filter_state",
            "typed_config": typed("filters.http.set_filter_state.v3.Config", json!({"on_request_headers": peer_object()})),
        }),
        http_wasm(plugin("authz", authz)),
    ]
}

pub(crate) fn http_wasm(plugin: Value) -> Value {
    json!({"name": "meshwright.authz", "typed_config": typed("filters.http.wasm.v3.Wasm", json!({"config": plugin}))})
}

/// The filter chain of an HTTP service.
pub(crate) fn http(filters: Vec<Value>) -> Value {
    let mut http_filters = filters;
    http_filters.push(json!({"name": "envoy.filters.http.router", "typed_config": typed("filters.http.router.v3.Router", json!({}))}));
    let manager = json!({
        "stat_prefix": "inbound", "access_log": access_log("http"), "http_filters": http_filters, "normalize_path": true,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]},
    });
    let typed_config = typed("filters.network.http_connection_manager.v3.HttpConnectionManager", manager);
    json!([{"name": "envoy.filters.network.http_connection_manager", "typed_config": typed_config}])
}

/// The filter chain of a TCP service.
pub(crate) fn tcp(authz: &Value) -> Value {
    let state = json!({"on_downstream_tls_handshake": peer_object()});
    let proxy = json!({
        "stat_prefix": "inbound", "cluster": "app", "access_log": access_log("tcp"),
        "upstream_connect_mode": "ON_DOWNSTREAM_TLS_HANDSHAKE", "max_early_data_bytes": 0,
    });
    json!([
        {"name": "envoy.filters.network.set_filter_state", "typed_config": typed("filters.network.set_filter_state.v3.Config", state)},
        {"name": "meshwright.authz", "typed_config": typed("filters.network.wasm.v3.Wasm", json!({"config": plugin("authz", authz)}))},
        {"name": "envoy.filters.network.tcp_proxy", "typed_config": typed("filters.network.tcp_proxy.v3.TcpProxy", proxy)},
    ])
}

/// A bootstrap with `filters` in front of `app`; by mutual TLS when `certificates` is the folder that has them.
pub(crate) fn bootstrap(filters: &Value, app: SocketAddr, certificates: Option<&Path>) -> Value {
    let mut chain = json!({"filters": filters});
    if let Some(folder) = certificates {
        let file = |name: &str| json!({"filename": folder.join(name)});
        let tls = json!({
            "require_client_certificate": true,
            "common_tls_context": {
                "tls_certificates": [{"certificate_chain": file("server.pem"), "private_key": file("server.key")}],
                "validation_context": {"trusted_ca": file("ca.pem")},
            },
        });
        chain["transport_socket"] =
            json!({"name": "envoy.transport_sockets.tls", "typed_config": typed("transport_sockets.tls.v3.DownstreamTlsContext", tls)});
    }
    let address = |address: SocketAddr| json!({"socket_address": {"address": address.ip(), "port_value": address.port()}});
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    json!({
        "admin": {"address": address(any)},
        "stats_config": stats_config(),
        "static_resources": {
            "listeners": [{"name": "inbound", "address": address(any), "filter_chains": [chain]}],
            "clusters": [{
                "name": "app", "type": "STATIC", "connect_timeout": "5s",
                "load_assignment": {"cluster_name": "app", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(app)}}]}]},
            }],
        },
    })
}

/// As sidecars have it.
fn stats_config() -> Value {
    let bootstrap = include_str!("../../../../envoy/config/tests/golden/bootstrap.json");
    serde_json::from_str::<Value>(bootstrap).unwrap()["stats_config"].clone()
}
