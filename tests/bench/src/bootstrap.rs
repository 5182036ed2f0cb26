//! The Envoy around the compared filters: one listener, which answers by itself, so that what is measured is Envoy and not an app.

use std::path::Path;

use meshwright_envoy_config::allocator;
use serde_json::{Value, json};

/// What stands in the listener.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    /// Network filters before the HTTP connection manager.
    pub(crate) network_filters: Vec<Value>,
    /// HTTP filters before the router.
    pub(crate) filters: Vec<Value>,
    pub(crate) access_log: Vec<Value>,
}

pub(crate) fn bootstrap(content: &Content, port: u16, admin: &Path) -> Value {
    let mut filters = content.filters.clone();
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    }));
    let mut network_filters = content.network_filters.clone();
    network_filters.push(manager(&content.access_log, &filters));
    json!({
        "node": {"id": "bench", "cluster": "bench"},
        "admin": {"address": {"pipe": {"path": admin}}},
        // As in a sidecar's bootstrap.
        "memory_allocator_manager": allocator::manager(true),
        "static_resources": {"listeners": [{
            "name": "bench",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{"filters": network_filters}],
        }]},
    })
}

fn manager(access_log: &[Value], filters: &[Value]) -> Value {
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "bench", "codec_type": "HTTP1", "normalize_path": true, "access_log": access_log,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}},
            ]}]},
            "http_filters": filters,
        },
    })
}

/// A filter that is read from a file with [`resource`] in it, again whenever a new file takes its place: ECDS without a server.
pub(crate) fn discovered(name: &str, file: &Path, typed_config: &Value) -> Value {
    json!({"name": name, "config_discovery": {
        "config_source": {"path_config_source": {"path": file}, "resource_api_version": "V3"},
        "type_urls": [typed_config.get("@type")],
    }})
}

/// The content of that file.
pub(crate) fn resource(name: &str, version: usize, typed_config: &Value) -> Value {
    json!({"version_info": version.to_string(), "resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": name, "typed_config": typed_config,
    }]})
}
