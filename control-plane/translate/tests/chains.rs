//! Which connections an inbound listener takes, in every mode of mutual TLS and for every protocol, and that policy is in each of its
//! chains; which external authorizers stand in them.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

#[path = "../../../envoy/config/tests/support/goldens.rs"]
#[expect(dead_code, reason = "what compares with golden files is not needed here")]
mod goldens;
#[path = "support/state.rs"]
mod state;
#[path = "support/told.rs"]
mod told;

use meshwright_translate::{MeshInputs, NodeMetadata};
use meshwright_xds::ResourceType;
use serde_json::Value;

use state::state;
use told::{metadata, told};

const DOCUMENTS: &str = "
apiVersion: meshwright.dev/v1alpha1
kind: Mesh
metadata: {name: mesh}
spec:
  trustDomain: mesh.local
  trustDomainAliases: [old.local]
  extensionProviders:
  - {name: opa, envoyExtAuthzGrpc: {service: opa.example, port: 9191}}
  - {name: legacy, envoyExtAuthzHttp: {service: opa.example, port: 8181}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: opa, namespace: a}
spec:
  hosts: [opa.example]
  resolution: DNS
  ports: [{number: 9191, name: grpc, protocol: GRPC}, {number: 8181, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: a}
spec:
  hosts: [a.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 81, name: http2, protocol: HTTP2}
  - {number: 82, name: grpc, protocol: GRPC}
  - {number: 90, name: tcp, protocol: TCP}
  - {number: 91, name: tls, protocol: TLS}
  - {number: 92, name: https, protocol: HTTPS}
  workloadSelector: {labels: {app: a}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: a, namespace: a, labels: {app: a}}
spec: {address: 127.0.0.9, serviceAccount: a}
---
";
/// Ports that speak HTTP, and ports that do not; nobody declares the last.
const HTTP: [u16; 3] = [80, 81, 82];
const TCP: [u16; 4] = [90, 91, 92, 93];

/// The inbound listener of a port, with `more` documents.
fn listeners(more: &str) -> impl Fn(u16) -> Value + use<> {
    listeners_for("1.40.0", more)
}

fn listeners_for(envoy_version: &str, more: &str) -> impl Fn(u16) -> Value + use<> {
    let metadata = NodeMetadata {
        apps: HTTP.into_iter().chain(TCP).map(|port| (port, "127.0.0.1:9000".parse().unwrap())).collect(),
        envoy_version: envoy_version.to_owned(),
        ..metadata("a", "a")
    };
    let resources = told(&state(&format!("{DOCUMENTS}{more}")), &metadata, &MeshInputs::default()).unwrap();
    move |port| {
        let name = format!("inbound|{port}");
        let found = resources.iter().find(|resource| resource.kind() == ResourceType::Listener && resource.name() == name).unwrap();
        goldens::to_json(found.kind().type_url(), found.body())
    }
}

fn mode(mode: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: p, namespace: a}}\nspec: {{mtls: {{mode: {mode}}}}}\n---\n"
    )
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A chain as `transport protocol, application protocols, whether it ends mutual TLS, whether it is HTTP`.
type Chain = (String, Vec<String>, bool, bool);

fn chain(chain: &Value) -> Chain {
    let matches = &chain["filter_chain_match"];
    let tls = &chain["transport_socket"]["typed_config"];
    let mutual = tls.is_object();
    if mutual {
        assert_eq!(tls["require_client_certificate"], true, "{tls}");
        let context = &tls["common_tls_context"];
        let sans = list(&context["combined_validation_context"]["default_validation_context"]["match_typed_subject_alt_names"]);
        let prefixes: Vec<&str> = sans.iter().filter_map(|san| san["matcher"]["prefix"].as_str()).collect();
        assert_eq!(prefixes, ["spiffe://mesh.local/", "spiffe://old.local/"], "{context}");
    }
    let protocols = list(&matches["application_protocols"]).iter().map(|protocol| protocol.as_str().unwrap().to_owned());
    let transport = matches["transport_protocol"].as_str().unwrap_or_default().to_owned();
    (transport, protocols.collect(), mutual, filters(chain).iter().any(|name| name.contains("router")))
}

/// The names of a chain's filters, in the order in which they see a request; an HTTP connection manager's own stand in its place.
fn filters(chain: &Value) -> Vec<String> {
    let own = |filter: &Value| match filter["typed_config"]["http_filters"].as_array() {
        Some(own) => own.clone(),
        None => vec![filter.clone()],
    };
    let all = list(&chain["filters"]).iter().flat_map(own);
    all.map(|filter| filter["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn who_a_peer_is_is_noted_once_where_envoy_can() {
    for (version, first) in [
        ("1.36.4", "envoy.filters.http.set_filter_state"),
        ("1.37.0", "envoy.filters.network.set_filter_state"),
        ("1.40.0", "envoy.filters.network.set_filter_state"),
    ] {
        let listener = listeners_for(version, &mode("STRICT"));
        for port in HTTP {
            for chain in list(&listener(port)["filter_chains"]) {
                let found = filters(chain);
                assert_eq!(found.iter().filter(|name| name.ends_with("set_filter_state")).count(), 1, "{version}: {found:?}");
                assert_eq!(found[..2], [first, "meshwright.authz/http"], "{version} port {port}");
            }
        }
    }
}

#[test]
fn every_mode_and_protocol_has_its_chains() {
    let plain = |transport: &str, http| (transport.to_owned(), Vec::new(), false, http);
    let mutual = |protocols: &[&str], http| ("tls".to_owned(), protocols.iter().map(|name| (*name).to_owned()).collect(), true, http);
    for (document, http, tcp) in [
        (mode("STRICT"), vec![mutual(&[], true)], vec![mutual(&[], false)]),
        // Callers that still have, or already have, another mode are not refused where that can be seen without waiting for them.
        (mode("DISABLE"), vec![mutual(&["meshwright"], true), plain("", true)], vec![plain("", false)]),
        (
            mode("PERMISSIVE"),
            vec![mutual(&["meshwright"], true), plain("raw_buffer", true)],
            // TLS that is the app's own passes as the bytes it is.
            vec![mutual(&["meshwright"], false), plain("raw_buffer", false), plain("tls", false)],
        ),
        (
            mode("UNSET"),
            vec![mutual(&["meshwright"], true), plain("raw_buffer", true)],
            vec![mutual(&["meshwright"], false), plain("raw_buffer", false), plain("tls", false)],
        ),
    ] {
        let listener = listeners(&document);
        for (port, expected) in HTTP.iter().map(|port| (port, &http)).chain(TCP.iter().map(|port| (port, &tcp))) {
            let listener = listener(*port);
            let chains = list(&listener["filter_chains"]);
            assert_eq!(&chains.iter().map(chain).collect::<Vec<_>>(), expected, "{document} port {port}");
            let policy = if HTTP.contains(port) { "meshwright.authz/http" } else { "meshwright.authz/tcp" };
            for chain in chains {
                let filters = filters(chain);
                assert!(filters[0].ends_with("set_filter_state") && filters[1] == policy, "{document} port {port}: {filters:?}");
            }
            let inspected = !list(&listener["listener_filters"]).is_empty();
            assert_eq!(inspected, HTTP.contains(port) || !document.contains("DISABLE"), "{document} port {port}");
        }
    }
}

#[test]
fn authorizers_stand_behind_the_policy_where_they_may_be_asked() {
    let custom = |provider: &str, port: u16| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {provider}-{port}, namespace: a}}\n\
             spec: {{action: CUSTOM, provider: {{name: {provider}}}, rules: [{{to: [{{operation: {{ports: ['{port}']}}}}]}}]}}\n---\n"
        )
    };
    let listener = listeners(&[mode("PERMISSIVE"), custom("opa", 90), custom("legacy", 93)].concat());
    for port in HTTP.into_iter().chain(TCP) {
        let listener = listener(port);
        for chain in list(&listener["filter_chains"]) {
            let found = filters(chain);
            let authorizers: Vec<&str> = found.iter().skip(2).map(String::as_str).collect();
            let expected: &[&str] = match port {
                80..90 => &["meshwright.ext-authz/opa", "meshwright.ext-authz/legacy", "envoy.filters.http.router"],
                90 => &["envoy.filters.network.rbac", "envoy.filters.network.ext_authz", "envoy.filters.network.tcp_proxy"],
                // Nobody can be asked over HTTP about a connection: the policy finds nobody in the chain, and denies.
                _ => &["envoy.filters.network.tcp_proxy"],
            };
            assert_eq!(authorizers, expected, "port {port}");
            let text = chain.to_string();
            let named = text.contains(",opa,legacy,") || text.contains(r#""inline_string":",opa,""#);
            assert_eq!((named, text.contains("ON_DOWNSTREAM_DATA")), (port <= 90, port == 90), "port {port}: {text}");
        }
    }
}
