//! The Envoys that are compared: the same listener and route, with nothing, with Envoy's own filters, with ours in front.

use std::path::Path;

use meshwright_demo::keys::Issuer;
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://bench.example";
const CLAIM: &str = "groups";
const GROUP: &str = "customer";

/// One of the compared configurations.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) filters: Vec<Value>,
}

/// No filter, jwt_authn with its token cache and rbac, our module; all decide the same: a valid token with the claim may GET /books*.
pub(crate) fn all(issuer: &Issuer, module: &Path) -> anyhow::Result<Vec<Case>> {
    let jwks = issuer.jwks()?;
    Ok(vec![
        Case { name: "no filter", filters: Vec::new() },
        Case { name: "jwt_authn + rbac", filters: vec![jwt_authn(&jwks), rbac()] },
        Case { name: "meshwright", filters: vec![peer_state(), wasm(module, &authz_config(&jwks))] },
    ])
}

pub(crate) fn group() -> [&'static str; 1] {
    [GROUP]
}

fn jwt_authn(jwks: &str) -> Value {
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"bench": {
                "issuer": ISSUER, "local_jwks": {"inline_string": jwks}, "payload_in_metadata": "payload", "forward": true,
                "jwt_cache_config": {"jwt_cache_size": 1000},
            }},
            "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": [
                {"provider_name": "bench"}, {"allow_missing": {}},
            ]}}}],
        },
    })
}

fn rbac() -> Value {
    let claim = json!({"metadata": {
        "filter": "envoy.filters.http.jwt_authn",
        "path": [{"key": "payload"}, {"key": CLAIM}],
        "value": {"list_match": {"one_of": {"string_match": {"exact": GROUP}}}},
    }});
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": {"books": {
                "permissions": [{"and_rules": {"rules": [
                    {"header": {"name": ":method", "string_match": {"exact": "GET"}}},
                    {"url_path": {"path": {"prefix": "/books"}}},
                ]}}],
                "principals": [claim],
            }}},
        },
    })
}

fn authz_config(jwks: &str) -> Value {
    json!({
        "version": 1, "protocol": "http", "trust_domain": "bench.local",
        "request_authentication": [{"namespace": "bench", "name": "tokens", "jwt_rules": [
            {"issuer": ISSUER, "jwks": jwks, "forwardOriginalToken": true},
        ]}],
        "authorization": [{"namespace": "bench", "name": "books", "action": "ALLOW", "rules": [{
            "to": [{"operation": {"methods": ["GET"], "paths": ["/books*"]}}],
            "when": [{"key": format!("request.auth.claims[{CLAIM}]"), "values": [GROUP]}],
        }]}],
    })
}

/// What a sidecar's listener puts before the module (docs/ARCHITECTURE.md, "Names on the wire"): it belongs to the cost.
fn peer_state() -> Value {
    json!({
        "name": "envoy.filters.http.set_filter_state",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
            "on_request_headers": [{
                "object_key": "meshwright.peer", "factory_key": "envoy.string", "read_only": true,
                "format_string": {"text_format_source": {"inline_string": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%|%DOWNSTREAM_PEER_URI_SAN%"}, "omit_empty_values": true},
            }],
        },
    })
}

fn wasm(module: &Path, config: &Value) -> Value {
    json!({
        "name": "meshwright.authz",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "meshwright.authz", "root_id": "authz", "failure_policy": "FAIL_RELOAD",
                "vm_config": {
                    "vm_id": "meshwright-authz", "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": module}},
                },
                "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string()},
            },
        },
    })
}

/// A bootstrap with one listener on `port` of the loopback address, which answers by itself: what is measured is Envoy, not an app.
pub(crate) fn bootstrap(case: &Case, port: u16, admin: &Path) -> Value {
    let mut filters = case.filters.clone();
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    }));
    json!({
        "admin": {"address": {"pipe": {"path": admin}}},
        "static_resources": {"listeners": [{
            "name": "bench",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                    "stat_prefix": "bench", "codec_type": "HTTP1", "normalize_path": true,
                    "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                        {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}},
                    ]}]},
                    "http_filters": filters,
                },
            }]}],
        }]},
    })
}
