//! What cannot be translated exactly is refused, with what is wrong and what is allowed; what is missing only closes what needs it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/state.rs"]
mod state;
#[path = "support/told.rs"]
mod told;

use std::sync::Arc;

use meshwright_config::KeySource;
use meshwright_translate::{MeshInputs, NodeMetadata, TranslateError};
use meshwright_xds::{Resource, ResourceType, Snapshot};

use state::state;
use told::told;

const MESH: &str =
    r#"{"kind": "Mesh", "apiVersion": "meshwright.dev/v1alpha1", "metadata": {"name": "mesh"}, "spec": {"trustDomain": "mesh.local"}}"#;
const WORKLOAD: &str = r#"{"kind": "WorkloadEntry", "apiVersion": "networking.istio.io/v1",
    "metadata": {"name": "a", "namespace": "shop", "labels": {"app": "a", "tier": "edge"}}, "spec": {"address": "127.0.0.9", "serviceAccount": "a"}}"#;
const SERVICE: &str = r#"{"kind": "ServiceEntry", "apiVersion": "networking.istio.io/v1", "metadata": {"name": "a", "namespace": "shop"},
    "spec": {"hosts": ["a.shop.svc.cluster.local"], "location": "MESH_INTERNAL", "resolution": "STATIC",
             "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "workloadSelector": {"labels": {"app": "a"}}}}"#;

fn translated(documents: &[&str], metadata: &NodeMetadata) -> Result<Vec<Resource>, TranslateError> {
    translated_with(documents, metadata, &MeshInputs::default())
}

fn translated_with(documents: &[&str], metadata: &NodeMetadata, inputs: &MeshInputs) -> Result<Vec<Resource>, TranslateError> {
    let text = [MESH].iter().chain(documents).copied().collect::<Vec<&str>>().join("\n---\n");
    told(&state(&text), metadata, inputs)
}

fn metadata() -> NodeMetadata {
    told::metadata("shop", "a")
}

fn refusal(documents: &[&str], metadata: &NodeMetadata) -> String {
    translated(documents, metadata).unwrap_err().to_string()
}

fn names_of(resources: &[Resource], kind: ResourceType) -> Vec<&str> {
    resources.iter().filter(|resource| resource.kind() == kind).map(Resource::name).collect()
}

#[test]
fn a_workload_must_be_in_the_documents_with_an_address_to_bind() {
    let unknown = NodeMetadata { workload: "b".into(), ..metadata() };
    assert_eq!(refusal(&[WORKLOAD], &unknown), "there is no WorkloadEntry `shop/b`");
    let named = WORKLOAD.replace("127.0.0.9", "a.example");
    let serving = NodeMetadata { apps: [(80, "127.0.0.1:9000".parse().unwrap())].into(), ..metadata() };
    assert_eq!(
        refusal(&[&named, SERVICE], &serving),
        "WorkloadEntry `shop/a` has the address `a.example`: a proxy binds an IP address, not a name"
    );
}

#[test]
fn a_tcp_service_is_host_and_port() {
    for bad in ["ledger", "ledger:0", "ledger:65536", ":5000"] {
        let metadata = NodeMetadata { tcp: [(bad.to_owned(), "127.0.0.1:1".parse().unwrap())].into(), ..metadata() };
        assert_eq!(refusal(&[WORKLOAD], &metadata), format!("node metadata `tcp`: `{bad}` is not `HOST:PORT`"));
    }
}

#[test]
fn a_tcp_service_that_nobody_declares_has_a_listener_and_no_endpoint() {
    let metadata = NodeMetadata { tcp: [("gone.shop:5000".to_owned(), "127.0.0.1:15100".parse().unwrap())].into(), ..metadata() };
    let resources = translated(&[WORKLOAD], &metadata).unwrap();
    assert_eq!(names_of(&resources, ResourceType::Listener), ["outbound|5000||gone.shop"]);
    assert_eq!(names_of(&resources, ResourceType::Cluster), ["outbound|5000||gone.shop"]);
    assert!(names_of(&resources, ResourceType::Endpoint).is_empty());
}

#[test]
fn mutual_tls_names_servers_by_spiffe_id() {
    let rule = r#"{"kind": "DestinationRule", "apiVersion": "networking.istio.io/v1", "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"host": "a", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL", "subjectAltNames": ["a.example"]}}}}"#;
    assert_eq!(
        refusal(&[WORKLOAD, SERVICE, rule], &metadata()),
        "DestinationRule shop/a: `a.example` is not a SPIFFE ID, and with mutual TLS nothing else can be required: \
         a SPIFFE ID starts with `spiffe://`"
    );
}

#[test]
fn without_a_mesh_there_is_no_trust_domain() {
    let refused = told(&state(WORKLOAD), &metadata(), &MeshInputs::default()).unwrap_err();
    assert_eq!(refused.to_string(), "there is no `Mesh`: the trust domain is not known");
}

#[test]
fn policy_guards_every_inbound_listener_also_without_any_document() {
    let metadata =
        NodeMetadata { apps: [(80, "127.0.0.1:9000".parse().unwrap()), (7000, "127.0.0.1:9001".parse().unwrap())].into(), ..metadata() };
    let resources = translated(&[WORKLOAD, SERVICE], &metadata).unwrap();
    for (listener, policy) in [("inbound|80", "meshwright.authz/http"), ("inbound|7000", "meshwright.authz/tcp")] {
        let found = resources.iter().find(|resource| resource.kind() == ResourceType::Listener && resource.name() == listener).unwrap();
        assert!(found.dependencies().contains(&(ResourceType::ExtensionConfig, policy.to_owned())), "{listener}");
    }
    assert_eq!(names_of(&resources, ResourceType::ExtensionConfig), ["meshwright.authz/http", "meshwright.authz/tcp"]);
    Snapshot::build(resources).unwrap();
}

#[test]
fn the_module_is_given_fetched_keys_and_without_them_takes_no_token() {
    let tokens = r#"{"kind": "RequestAuthentication", "apiVersion": "security.istio.io/v1", "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"jwtRules": [{"issuer": "https://one.example"}, {"issuer": "two", "jwksUri": "https://two.example/keys", "timeout": "1s"}]}}"#;
    let serving = NodeMetadata { apps: [(80, "127.0.0.1:9000".parse().unwrap())].into(), ..metadata() };
    let rules = |inputs: &MeshInputs| {
        let resources = translated_with(&[WORKLOAD, SERVICE, tokens], &serving, inputs).unwrap();
        let policy = resources.iter().find(|resource| resource.name() == "meshwright.authz/http").unwrap();
        let text = String::from_utf8_lossy(policy.body()).into_owned();
        let (_, rules) = text.split_once(r#""jwt_rules":"#).unwrap();
        rules.split_once("}]}").unwrap().0.to_owned()
    };
    let none = r#""{\"keys\":[]}""#;
    assert_eq!(
        rules(&MeshInputs::default()),
        format!(r#"[{{"issuer":"https://one.example","jwks":{none}}},{{"issuer":"two","jwks":{none}"#)
    );
    let fetched =
        [(KeySource::Issuer("https://one.example".into()), "1".into()), (KeySource::Uri("https://two.example/keys".into()), "2".into())];
    let inputs = MeshInputs { key_sets: Arc::new(fetched.into()), ..MeshInputs::default() };
    assert_eq!(rules(&inputs), r#"[{"issuer":"https://one.example","jwks":"1"},{"issuer":"two","jwks":"2""#);
}
