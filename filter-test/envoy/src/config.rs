//! The bootstrap: a listener for each case, a cluster for each upstream. As little else as possible: nothing adds or takes headers where
//! Envoy lets that be said.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::case::{Case, Traffic};
use crate::tls::Tls;

const HCM: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const STRING: &str = "type.googleapis.com/google.protobuf.StringValue";
const BYTES: &str = "type.googleapis.com/google.protobuf.BytesValue";

/// The listener that only answers, so that its answer comes after all that the worker had to do.
pub(crate) const SENTINEL: &str = "sentinel";

/// Where the parts of one case are.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) case: &'a Case,
    pub(crate) module: &'a Path,
    pub(crate) upstream: SocketAddr,
    /// In the order of the case's clusters.
    pub(crate) services: Vec<SocketAddr>,
    /// For Unix sockets.
    pub(crate) folder: &'a Path,
    pub(crate) index: usize,
}

impl Place<'_> {
    pub(crate) fn listener_name(&self) -> String {
        format!("case-{}", self.index)
    }

    fn bridge(&self, cluster: usize) -> String {
        self.folder.join(format!("grpc-{}-{cluster}", self.index)).display().to_string()
    }
}

pub(crate) fn bootstrap(places: &[Place<'_>], base64: &dyn Fn(&[u8]) -> String) -> Value {
    let mut listeners = vec![sentinel()];
    let mut clusters = Vec::new();
    for place in places {
        listeners.push(listener(place, base64));
        let mut upstream = cluster(&place.listener_name(), &socket(place.upstream), false);
        if let Some(tls) = &place.case.tls {
            insert(&mut upstream, "transport_socket", tls_socket("Upstream", tls));
        }
        clusters.push(upstream);
        for (index, (service, address)) in place.case.clusters.iter().zip(&place.services).enumerate() {
            if service.grpc {
                let behind = format!("{}-{index}", place.listener_name());
                listeners.push(grpc_bridge(&place.bridge(index), &behind));
                clusters.push(cluster(&behind, &socket(*address), false));
                clusters.push(cluster(&service.name, &pipe(&place.bridge(index)), true));
            } else {
                clusters.push(cluster(&service.name, &socket(*address), false));
            }
        }
    }
    json!({
        "node": {"id": "filter-test", "cluster": "filter-test"},
        "admin": {"address": socket_at("127.0.0.1", 0)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
        // Nothing is to be refused because of another case.
        "layered_runtime": {"layers": [{"name": "static", "static_layer": {"overload.global_downstream_max_connections": 50_000}}]},
    })
}

fn socket_at(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

fn socket(address: SocketAddr) -> Value {
    socket_at(&address.ip().to_string(), address.port())
}

fn pipe(path: &str) -> Value {
    json!({"pipe": {"path": path}})
}

fn cluster(name: &str, address: &Value, http2: bool) -> Value {
    let protocol = if http2 { json!({"http2_protocol_options": {}}) } else { json!({"http_protocol_options": {"enable_trailers": true}}) };
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": protocol}},
    })
}

fn listener(place: &Place<'_>, base64: &dyn Fn(&[u8]) -> String) -> Value {
    let name = place.listener_name();
    let wasm = wasm(place, base64);
    let filters = match &place.case.traffic {
        Traffic::Http(_) => {
            let typed = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": wasm});
            let filters = filter_state(place.case, "http").into_iter().chain([json!({"name": "wasm", "typed_config": typed})]);
            vec![http(&name, "HTTP1", routes(&name), filters.collect(), &[])]
        }
        Traffic::AccessLog(_) => {
            let typed = json!({"@type": "type.googleapis.com/envoy.extensions.access_loggers.wasm.v3.WasmAccessLog", "config": wasm});
            vec![http(&name, "HTTP1", routes(&name), Vec::new(), &[json!({"name": "wasm", "typed_config": typed})])]
        }
        Traffic::Tcp(_) => {
            let typed = json!({"@type": "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm", "config": wasm});
            let proxy = json!({"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": name, "cluster": name});
            let filters = filter_state(place.case, "network").into_iter();
            filters.chain([json!({"name": "wasm", "typed_config": typed}), json!({"name": "tcp", "typed_config": proxy})]).collect()
        }
    };
    let mut chain = json!({"filters": filters});
    if let Some(tls) = &place.case.tls {
        insert(&mut chain, "transport_socket", tls_socket("Downstream", tls));
    }
    let mut listener = json!({"name": name, "address": socket_at("127.0.0.1", 0), "filter_chains": [chain]});
    if place.case.tls.is_some() {
        // Without it nobody knows what name the client asked for.
        let inspector = json!({"@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"});
        insert(&mut listener, "listener_filters", json!([{"name": "inspector", "typed_config": inspector}]));
    }
    listener
}

/// Whom Envoy verifies, and what it shows.
fn tls_socket(side: &str, tls: &Tls) -> Value {
    let envoy = json!({"certificate_chain": {"inline_string": tls.envoy.certificate}, "private_key": {"inline_string": tls.envoy.key}});
    let trusted = json!({"trusted_ca": {"inline_string": tls.authority}});
    let verifies = side == "Upstream" || tls.client.is_some();
    let mut common = json!({"tls_certificates": [envoy], "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"}});
    if verifies {
        insert(&mut common, "validation_context", trusted);
    }
    let mut context = json!({
        "@type": format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{side}TlsContext"), "common_tls_context": common,
    });
    if side == "Upstream" {
        insert(&mut context, "sni", json!(tls.upstream_name));
    } else {
        insert(&mut context, "require_client_certificate", json!(verifies));
    }
    json!({"name": "tls", "typed_config": context})
}

fn http(name: &str, codec: &str, route_config: Value, filters: Vec<Value>, access_log: &[Value]) -> Value {
    let router = json!({"name": "router", "typed_config": {"@type": ROUTER, "suppress_envoy_headers": true}});
    let filters: Vec<Value> = filters.into_iter().chain([router]).collect();
    json!({"name": "http", "typed_config": {
        "@type": HCM, "stat_prefix": name, "codec_type": codec, "generate_request_id": false,
        "server_header_transformation": "PASS_THROUGH", "http_protocol_options": {"enable_trailers": true, "accept_http_10": true},
        "access_log": access_log, "route_config": route_config, "http_filters": filters,
    }})
}

fn routes(cluster: &str) -> Value {
    json!({"name": "routes", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
        {"name": "route", "match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}}]}]})
}

fn sentinel() -> Value {
    let routes = json!({"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
        {"match": {"prefix": "/"}, "direct_response": {"status": 200}}]}]});
    let filters = [http(SENTINEL, "HTTP1", routes, Vec::new(), &[])];
    json!({"name": SENTINEL, "address": socket_at("127.0.0.1", 0), "filter_chains": [{"filters": filters}]})
}

/// HTTP/2 in, HTTP/1.1 with trailers out: what a gRPC client needs of a service that speaks HTTP/1.1 only.
fn grpc_bridge(path: &str, cluster: &str) -> Value {
    json!({"name": path, "address": pipe(path), "filter_chains": [{"filters": [http(cluster, "HTTP2", routes(cluster), Vec::new(), &[])]}]})
}

/// A filter in front that sets the case's filter state.
fn filter_state(case: &Case, kind: &str) -> Option<Value> {
    let kind_type = format!("type.googleapis.com/envoy.extensions.filters.{kind}.set_filter_state.v3.Config");
    let field = if kind == "http" { "on_request_headers" } else { "on_new_connection" };
    let values = case.filter_state.iter().map(|(key, value)| {
        json!({"object_key": key, "factory_key": "envoy.string", "format_string": {"text_format_source": {"inline_string": value}}})
    });
    let values: Vec<Value> = values.collect();
    (!values.is_empty()).then(|| json!({"name": "set_filter_state", "typed_config": {"@type": kind_type, field: values}}))
}

fn wasm(place: &Place<'_>, base64: &dyn Fn(&[u8]) -> String) -> Value {
    let case = place.case;
    // A text has the plain form, so that a configuration can be read; what is no text goes as bytes.
    let any = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => json!({"@type": STRING, "value": text}),
        Err(_) => json!({"@type": BYTES, "value": base64(bytes)}),
    };
    let environment: serde_json::Map<String, Value> = case.environment.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let mut vm = json!({
        "vm_id": case.vm_id, "runtime": "envoy.wasm.runtime.v8",
        "code": {"local": {"filename": place.module.display().to_string()}},
        "environment_variables": {"key_values": environment},
    });
    if !case.vm_configuration.is_empty() {
        insert(&mut vm, "configuration", any(&case.vm_configuration));
    }
    if let Some(capabilities) = &case.capabilities {
        let allowed: serde_json::Map<String, Value> = capabilities.iter().map(|name| (name.clone(), json!({}))).collect();
        insert(&mut vm, "capability_restriction_config", json!({"allowed_capabilities": allowed}));
    }
    let mut plugin = json!({"name": case.name, "root_id": case.root_id, "vm_config": vm, "failure_policy": "FAIL_CLOSED"});
    if !case.configuration.is_empty() {
        insert(&mut plugin, "configuration", any(&case.configuration));
    }
    plugin
}

fn insert(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}
