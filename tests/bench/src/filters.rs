//! The HTTP filters that are compared, as Envoy's configuration.

use std::path::Path;

use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://bench.example";

/// An HTTP filter as a listener names it and as ECDS delivers it.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) name: &'static str,
    pub(crate) typed_config: Value,
}

impl Filter {
    fn new(name: &'static str, kind: &str, mut config: Value) -> Self {
        if let Value::Object(fields) = &mut config {
            fields.insert("@type".to_owned(), json!(format!("type.googleapis.com/envoy.extensions.filters.http.{kind}")));
        }
        Self { name, typed_config: config }
    }

    pub(crate) fn in_listener(&self) -> Value {
        json!({"name": self.name, "typed_config": self.typed_config})
    }
}

/// With a cache of verified tokens, which is off unless it is asked for.
pub(crate) fn jwt_authn(jwks: &str) -> Filter {
    let config = json!({
        "providers": {"bench": {
            "issuer": ISSUER, "local_jwks": {"inline_string": jwks}, "payload_in_metadata": "payload", "forward": true,
            "jwt_cache_config": {"jwt_cache_size": 1000},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": [
            {"provider_name": "bench"}, {"allow_missing": {}},
        ]}}}],
    });
    Filter::new("envoy.filters.http.jwt_authn", "jwt_authn.v3.JwtAuthentication", config)
}

/// One ALLOW filter for all policies, as Istio makes it.
pub(crate) fn rbac(policies: &Value) -> Filter {
    Filter::new("envoy.filters.http.rbac", "rbac.v3.RBAC", json!({"rules": {"action": "ALLOW", "policies": policies}}))
}

/// What a sidecar's listener puts before the module (docs/ARCHITECTURE.md, "Names on the wire"): it belongs to the cost. Of a network filter,
/// once for each connection.
pub(crate) fn peer_of_connection() -> Value {
    let config = json!({"@type": "type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config", "on_downstream_tls_handshake": peer()});
    json!({"name": "envoy.filters.network.set_filter_state", "typed_config": config})
}

/// The same for each request, where Envoy has no such network filter yet.
pub(crate) fn peer_of_request() -> Filter {
    Filter::new("envoy.filters.http.set_filter_state", "set_filter_state.v3.Config", json!({"on_request_headers": peer()}))
}

fn peer() -> Value {
    json!([{
        "object_key": "meshwright.peer", "factory_key": "envoy.string", "read_only": true,
        "format_string": {
            "text_format_source": {"inline_string": "%DOWNSTREAM_PEER_SERIAL%|%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%|%DOWNSTREAM_PEER_URI_SAN%"},
            "omit_empty_values": true,
        },
    }])
}

pub(crate) fn authz(module: &Path, config: &Value) -> Filter {
    Filter::new("meshwright.authz", "wasm.v3.Wasm", json!({"config": plugin(module, "authz", config)}))
}

/// The sidecar's other use of the module.
pub(crate) fn access_log(module: &Path) -> Value {
    let config = json!({
        "version": 1, "direction": "inbound", "protocol": "http", "namespace": "bench", "workload": "books",
        "principal": "spiffe://bench.local/ns/bench/sa/books", "trust_domain": "bench.local",
    });
    json!({
        "name": "envoy.access_loggers.wasm",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.wasm.v3.WasmAccessLog",
            "config": plugin(module, "access-log", &config),
        },
    })
}

/// The same, asked of no request: as native filters are compared without a log, it writes none, but it is there.
pub(crate) fn silent_access_log(module: &Path) -> Value {
    let mut log = access_log(module);
    if let Value::Object(fields) = &mut log {
        // No healthy upstream: never where the listener answers by itself.
        fields.insert("filter".to_owned(), json!({"response_flag_filter": {"flags": ["UH"]}}));
    }
    log
}

/// As a sidecar has it: one VM for both roles.
fn plugin(module: &Path, root_id: &str, config: &Value) -> Value {
    json!({
        "name": format!("meshwright.{root_id}"), "root_id": root_id, "failure_policy": "FAIL_RELOAD",
        "vm_config": {
            "vm_id": "meshwright", "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": module}},
        },
        "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string()},
    })
}
