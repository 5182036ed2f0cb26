//! Which bundle is in force for which trust domain, and which of them a proxy is told to believe.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "../../../envoy/config/tests/support/goldens.rs"]
#[expect(dead_code, reason = "the golden tests need the rest")]
mod goldens;
#[path = "support/state.rs"]
mod state;
#[path = "support/told.rs"]
mod told;

use std::sync::Arc;

use meshwright_bundle::TrustBundle;
use meshwright_config::{FetchedBundle, State};
use meshwright_identity::TrustDomain;
use meshwright_translate::{MeshInputs, NodeMetadata, trust_bundles};
use meshwright_xds::{Resource, ResourceType};
use serde_json::{Value, json};

use told::{metadata, told};

const ROOT: &str = include_str!("../../../identity/bundle/tests/support/root.pem");

/// `domains`: items of `trustDomains` as JSON.
fn state(domains: &Value) -> State {
    let mesh = json!({"apiVersion": "meshwright.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": "mesh"},
        "spec": {"trustDomain": "own.example", "trustDomainAliases": ["old.example", "kept.example"], "trustDomains": domains}});
    let workload = json!({"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": {"name": "w", "namespace": "n"},
        "spec": {"address": "10.0.0.1", "serviceAccount": "w"}});
    state::state(&format!("{mesh}\n---\n{workload}\n"))
}

fn domain(name: &str) -> TrustDomain {
    TrustDomain::parse(name).unwrap()
}

fn fetched(name: &str, url: &str) -> Value {
    json!({"name": name, "bundleEndpointURL": url, "bundleEndpointProfile": {"type": "https_web"}})
}

fn resources(state: &State, inputs: &MeshInputs) -> Vec<Resource> {
    let metadata = NodeMetadata { apps: [(8080, "127.0.0.1:9000".parse().unwrap())].into(), ..metadata("n", "w") };
    told(state, &metadata, inputs).unwrap()
}

#[test]
fn each_domain_has_its_own_bundle_and_an_alias_none_that_is_not_declared() {
    let state =
        state(&json!([{"name": "kept.example", "trustDomainBundle": ROOT}, fetched("late.example", "https://late.example/bundle")]));
    let mesh = state.mesh().unwrap();
    let inputs = MeshInputs { trust_bundle_pem: "ours".into(), ..MeshInputs::default() };
    let root = TrustBundle::from_pem(&domain("kept.example"), ROOT).unwrap().to_pem();
    let bundles = trust_bundles(mesh, &inputs);
    assert_eq!(bundles, [(domain("own.example"), "ours".to_owned()), (domain("kept.example"), root)].into());

    let json: Vec<Value> = resources(&state, &inputs).iter().map(|found| goldens::to_json(found.kind().type_url(), found.body())).collect();
    let secret = json.iter().find(|resource| resource["name"] == "trust-bundle").unwrap();
    assert!(secret["validation_context"].get("trusted_ca").is_none(), "no root is believed for every name: {secret}");
    let told = secret["validation_context"]["custom_validator_config"]["typed_config"]["trust_domains"].as_array().unwrap();
    assert_eq!(told.iter().map(|domain| domain["name"].as_str().unwrap()).collect::<Vec<_>>(), ["kept.example", "own.example"]);
    let listener = json.iter().find(|resource| resource["name"] == "inbound|8080").unwrap().to_string();
    for name in ["own.example", "old.example", "kept.example", "late.example"] {
        assert!(listener.contains(&format!(r#""prefix":"spiffe://{name}/""#)), "{name}: {listener}");
    }
}

#[test]
fn what_was_fetched_holds_for_the_declaration_that_it_was_fetched_by_and_moves_no_listener() {
    let declared = |url: &str| state(&json!([fetched("b.example", url)]));
    let before = declared("https://b.example/bundle");
    let bundle = TrustBundle::from_pem(&domain("b.example"), ROOT).unwrap();
    let found = FetchedBundle { of: before.mesh().unwrap().foreign_domains()[0].clone(), bundle: bundle.clone() };
    let inputs = MeshInputs { foreign_bundles: Arc::new([(domain("b.example"), Arc::new(found))].into()), ..MeshInputs::default() };
    assert_eq!(trust_bundles(before.mesh().unwrap(), &inputs)[&domain("b.example")], bundle.to_pem());
    let elsewhere = declared("https://b.example/other");
    assert!(!trust_bundles(elsewhere.mesh().unwrap(), &inputs).contains_key(&domain("b.example")));

    let (without, with) = (resources(&before, &MeshInputs::default()), resources(&before, &inputs));
    let differ: Vec<_> = without.iter().zip(&with).filter(|(one, other)| one != other).map(|(one, _)| one.kind()).collect();
    assert_eq!((without.len(), differ), (with.len(), vec![ResourceType::Secret]));
}
