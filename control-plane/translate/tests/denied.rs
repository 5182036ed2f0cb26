//! What a deny list makes of each proxy: its policy has the list, and no cluster accepts, or has an endpoint of, who is denied.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

#[path = "../../../envoy/config/tests/support/goldens.rs"]
#[expect(dead_code, reason = "what compares with golden files is not needed here")]
mod goldens;
#[path = "support/state.rs"]
mod state;
#[path = "support/told.rs"]
mod told;

use meshwright_translate::{MeshInputs, NodeMetadata};
use meshwright_xds::{Resource, ResourceType};
use serde_json::Value;

use state::state;
use told::{metadata, told};

const DOCUMENTS: &str = "
apiVersion: meshwright.dev/v1alpha1
kind: Mesh
metadata: {name: mesh}
spec: {trustDomain: mesh.local}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: a}
spec:
  hosts: [a.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: a}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: a, namespace: a, labels: {app: a}}
spec: {address: 127.0.0.8, serviceAccount: one}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: b, namespace: a, labels: {app: a}}
spec: {address: 127.0.0.9, serviceAccount: two}
---
";

fn resources(entries: &str) -> Vec<Resource> {
    let list = match entries {
        "" => String::new(),
        entries => {
            format!("apiVersion: meshwright.dev/v1alpha1\nkind: IdentityDenyList\nmetadata: {{name: l}}\nspec: {{entries: [{entries}]}}\n")
        }
    };
    let metadata =
        NodeMetadata { service_account: "one".to_owned(), apps: [(80, "127.0.0.1:9000".parse().unwrap())].into(), ..metadata("a", "a") };
    told(&state(&format!("{DOCUMENTS}{list}")), &metadata, &MeshInputs::default()).unwrap()
}

fn json(resources: &[Resource], kind: ResourceType, name: &str) -> Value {
    let found = resources.iter().find(|resource| resource.kind() == kind && resource.name() == name).unwrap();
    goldens::to_json(found.kind().type_url(), found.body())
}

/// The identities that the cluster accepts, and the addresses that it has.
fn callable(resources: &[Resource]) -> (Vec<String>, Vec<String>) {
    let cluster = json(resources, ResourceType::Cluster, "outbound|80||a.example");
    let context = &cluster["transport_socket_matches"][0]["transport_socket"]["typed_config"]["common_tls_context"];
    let sans = &context["combined_validation_context"]["default_validation_context"]["match_typed_subject_alt_names"];
    let sans = sans.as_array().unwrap().iter().map(|san| san["matcher"]["exact"].as_str().unwrap().to_owned()).collect();
    let endpoints = json(resources, ResourceType::Endpoint, "outbound|80||a.example").to_string();
    let addresses = ["127.0.0.8", "127.0.0.9"].into_iter().filter(|address| endpoints.contains(&format!("\"{address}\"")));
    (sans, addresses.map(str::to_owned).collect())
}

#[test]
fn nobody_who_is_denied_is_accepted_or_called() {
    let id = |account: &str| format!("spiffe://mesh.local/ns/a/sa/{account}");
    let both = || vec!["127.0.0.8".to_owned(), "127.0.0.9".to_owned()];
    for (entries, sans, addresses) in [
        ("", vec![id("one"), id("two")], both()),
        ("{serial: '0a'}", vec![id("one"), id("two")], both()),
        ("{spiffeId: spiffe://mesh.local/ns/a/sa/one}", vec![id("two")], vec!["127.0.0.9".to_owned()]),
        // No list at all would accept everybody.
        ("{spiffeId: spiffe://mesh.local/ns/a/*}", vec![String::new()], vec![]),
    ] {
        assert_eq!(callable(&resources(entries)), (sans, addresses), "{entries}");
    }
}

#[test]
fn the_policy_of_each_proxy_has_the_list() {
    let policy = |entries: &str| json(&resources(entries), ResourceType::ExtensionConfig, "meshwright.authz/http").to_string();
    assert!(!policy("").contains("denied_peers"));
    let listed = policy("{spiffeId: spiffe://x.example/ns/a/*}, {serial: '00:0A'}").replace('\\', "");
    assert!(listed.contains(r#""denied_peers":{"identities":["spiffe://x.example/ns/a/*"],"serials":["a"]}"#), "{listed}");
}
