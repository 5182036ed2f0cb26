//! A small mesh, proxy by proxy: golden files of everything each is told, which the real Envoy accepts, and which does not depend on the
//! order in which the documents were read.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

#[path = "../../../envoy/config/tests/support/goldens.rs"]
mod goldens;
#[path = "support/told.rs"]
mod told;

use std::net::SocketAddr;

use meshwright_config::{Document, State, parse_file};
use meshwright_envoy_config::{Admin, BootstrapParams, ControlPlaneAddress, bootstrap, names};
use meshwright_translate::{MeshInputs, NodeMetadata, TranslateError};
use meshwright_xds::{Resource, ResourceType, Snapshot};
use serde_json::{Value, json};

const MESH: &str = include_str!("mesh.yaml");
const CERTIFICATE: &str = include_str!("../../../envoy/config/tests/support/certificate.pem");
const KEY: &str = include_str!("../../../envoy/config/tests/support/key.pem");

fn parse(text: &str) -> Vec<Document> {
    parse_file("mesh.yaml", text).into_iter().map(|document| document.unwrap_or_else(|rejected| panic!("{rejected:?}"))).collect()
}

fn documents() -> Vec<Document> {
    let credential = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop", "namespace": "edge"}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": CERTIFICATE, "tls.key": KEY, "ca.crt": CERTIFICATE}
    });
    parse(&format!("{MESH}\n---\n{credential}\n"))
}

fn state(documents: Vec<Document>) -> State {
    let (state, errors) = State::assemble(documents);
    assert!(errors.is_empty(), "{errors:?}");
    state
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn metadata(namespace: &str, workload: &str, account: &str) -> NodeMetadata {
    NodeMetadata {
        service_account: account.into(),
        module_dir: "/run/meshwright".into(),
        module_sha256: "00ff".into(),
        ..told::metadata(namespace, workload)
    }
}

fn proxies() -> Vec<(&'static str, NodeMetadata)> {
    let orders = NodeMetadata {
        outbound_address: Some(address("127.0.0.1:15001")),
        apps: [(8080, address("127.0.0.1:9003"))].into(),
        tcp: [("ledger.bank.svc.cluster.local:5000".to_owned(), address("127.0.0.1:15100"))].into(),
        ..metadata("shop", "orders-1", "orders")
    };
    let catalog = [(8080, address("127.0.0.1:9001")), (9090, address("127.0.0.1:9002")), (7777, address("127.0.0.1:9009"))];
    vec![
        ("catalog", NodeMetadata { apps: catalog.into(), ..metadata("shop", "catalog-1", "catalog") }),
        ("orders", orders),
        ("ledger", NodeMetadata { apps: [(5000, address("127.0.0.1:9004"))].into(), ..metadata("bank", "ledger-1", "ledger") }),
        ("legacy", NodeMetadata { apps: [(8081, address("127.0.0.1:9005"))].into(), ..metadata("bank", "legacy-1", "legacy") }),
        ("edge", metadata("edge", "edge-1", "edge")),
    ]
}

fn translated(state: &State, metadata: &NodeMetadata) -> Result<Vec<Resource>, TranslateError> {
    told::told(state, metadata, &MeshInputs { trust_bundle_pem: CERTIFICATE.to_owned(), ..MeshInputs::default() })
}

fn json_of(resource: &Resource) -> Value {
    goldens::to_json(resource.kind().type_url(), resource.body())
}

fn of_kind(resources: &[Resource], kind: ResourceType) -> Vec<Value> {
    resources.iter().filter(|resource| resource.kind() == kind).map(json_of).collect()
}

/// The bootstrap with everything in it, each reference replaced by what it refers to.
fn inlined(metadata: &NodeMetadata, resources: &[Resource]) -> Value {
    let mut clusters = of_kind(resources, ResourceType::Cluster);
    // Beside their clusters, not in them: Envoy loads static clusters before ADS, and one that then asks ADS for a secret crashes it.
    for assignment in of_kind(resources, ResourceType::Endpoint) {
        let name = format!("endpoints of {}", assignment["cluster_name"]);
        clusters.push(json!({ "name": name, "type": "STATIC", "load_assignment": assignment }));
    }
    let routes = of_kind(resources, ResourceType::Route);
    let extensions = of_kind(resources, ResourceType::ExtensionConfig);
    let mut listeners = Value::Array(of_kind(resources, ResourceType::Listener));
    goldens::inline_extensions(&mut listeners, &extensions);
    goldens::for_each_object(&mut listeners, &mut |fields| {
        if let Some(rds) = fields.remove("rds") {
            let table = routes.iter().find(|table| table["name"] == rds["route_config_name"]).unwrap();
            fields.insert("route_config".into(), table.clone());
        }
    });
    with_static(metadata, clusters, listeners, of_kind(resources, ResourceType::Secret))
}

fn with_static(metadata: &NodeMetadata, clusters: Vec<Value>, listeners: Value, secrets: Vec<Value>) -> Value {
    let mut config = bootstrap(&BootstrapParams {
        node_id: names::node_id(&metadata.namespace, &metadata.workload),
        metadata: metadata.clone(),
        control_plane: ControlPlaneAddress { host: "127.0.0.1".into(), port: 15012 },
        control_plane_identity: "spiffe://mesh.local/ns/meshwright-system/sa/meshwright-control-plane".parse().unwrap(),
        sds_socket: "/run/meshwright/sds.sock".into(),
        admin: Admin::Loopback(0),
    });
    let resources = config["static_resources"].as_object_mut().unwrap();
    resources["clusters"].as_array_mut().unwrap().extend(clusters);
    resources.insert("listeners".into(), listeners);
    resources.insert("secrets".into(), secrets.into());
    config
}

#[test]
fn every_proxy_has_its_golden_file_and_envoy_accepts_it() {
    let state = state(documents());
    for (name, metadata) in proxies() {
        let resources = translated(&state, &metadata).unwrap();
        let entries: Vec<Value> = resources
            .iter()
            .map(|resource| {
                let needs: Vec<String> =
                    resource.dependencies().iter().map(|(kind, name)| format!("{} {name}", kind.short_name())).collect();
                json!({ "kind": resource.kind().short_name(), "name": resource.name(), "needs": needs, "resource": json_of(resource) })
            })
            .collect();
        goldens::check("tests/golden", name, &json!(entries));
        let as_sent = with_static(
            &metadata,
            of_kind(&resources, ResourceType::Cluster),
            of_kind(&resources, ResourceType::Listener).into(),
            of_kind(&resources, ResourceType::Secret),
        );
        goldens::accepted(name, &as_sent);
        goldens::accepted(name, &inlined(&metadata, &resources));
        Snapshot::build(resources).unwrap();
    }
}

#[test]
fn order_of_documents_changes_no_byte() {
    let expected: Vec<_> = proxies().iter().map(|(_, metadata)| translated(&state(documents()), metadata).unwrap()).collect();
    for turn in 1..documents().len() {
        let mut shuffled = documents();
        shuffled.rotate_left(turn);
        shuffled.swap(0, turn / 2);
        let state = state(shuffled);
        for ((name, metadata), expected) in proxies().iter().zip(&expected) {
            assert!(*expected == translated(&state, metadata).unwrap(), "{name} after {turn} turns");
        }
    }
}
