//! A proxy that refuses a document which is right by all that is known here.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind as Field};
use envoy_types::pb::google::rpc;
use meshwright_ca::Authority;
use meshwright_config::{DocumentKey, Kind};
use meshwright_federation::Federation;
use meshwright_identity::TrustDomain;
use meshwright_jwks::Fetcher;
use meshwright_sources::{DirectorySource, Guard, SourceHandle};
use meshwright_xds::{Limits, discovery_routes};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::*;
use crate::board::Board;
use crate::connections::{self, Lifetimes, Protection};
use crate::lineage::Lineage;
use crate::metrics::Metrics;
use crate::publisher::Facts;
use crate::receipts::{Receipt, Standing};
use crate::service::Snapshots;

const PATIENCE: Duration = Duration::from_secs(30);
/// What the client refuses, as RE2 does, and the control plane does not.
const TOO_LARGE: &str = "/a{1001}";
const NODE: &str = "sidecar~test/client";

const MESH: &str = "apiVersion: meshwright.dev/v1alpha1
kind: Mesh
metadata: {name: mesh}
spec: {trustDomain: test.local}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: client, namespace: test}
spec: {address: 127.0.0.2, serviceAccount: client, labels: {app: client}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: server, namespace: test}
spec: {address: 127.0.0.3, serviceAccount: server, labels: {app: server}}
";

fn service(name: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: test}}\nspec:\n  \
         hosts: [{name}.test.mesh]\n  location: MESH_INTERNAL\n  resolution: STATIC\n  \
         ports: [{{number: 8080, name: http, protocol: HTTP}}]\n  workloadSelector: {{labels: {{app: server}}}}\n"
    )
}

/// A VirtualService that redirects what matches.
fn redirect(name: &str, regex: &str, to: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: test}}\nspec:\n  \
         hosts: [{name}.test.mesh]\n  http:\n  - match: [{{uri: {{regex: \"{regex}\"}}}}]\n    redirect: {{uri: {to}}}\n"
    )
}

struct Mesh {
    folder: tempfile::TempDir,
    source: SourceHandle,
    publisher: Arc<Publisher>,
    board: Arc<Board>,
    routes: watch::Receiver<String>,
    /// Dropped, it ends the server.
    _stop: watch::Sender<bool>,
}

fn save(folder: &Path, text: &str) {
    std::fs::write(folder.join("config/.new"), text).unwrap();
    std::fs::rename(folder.join("config/.new"), folder.join("config/mesh.yaml")).unwrap();
}

fn documents(routes: &str) -> String {
    format!("{MESH}{}{}{routes}", service("one"), service("other"))
}

impl Mesh {
    async fn start(routes: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        save(folder.path(), &documents(routes));
        let source = DirectorySource::open(folder.path().join("config"), Guard::default(), &folder.path().join("last-good")).unwrap();
        let documents = source.subscribe();
        let loaded = Arc::clone(&documents.borrow());
        let (_fetcher, keys) = Fetcher::open(folder.path(), loaded.state()).unwrap();
        let (_federation, federated) = Federation::open(folder.path(), loaded.state()).unwrap();
        let mesh = loaded.state().mesh().unwrap();
        let authority = Authority::open(folder.path(), mesh.trust_domain(), mesh.root_namespace(), SystemTime::now()).unwrap();
        let board = Arc::new(Board::new(Metrics::new(keys.clone(), federated.clone(), Arc::new(authority), documents.clone())));
        let lineage = Arc::new(Lineage::open(&folder.path().join("states")).unwrap());
        let facts = Facts {
            trust_domain: mesh.trust_domain().to_string(),
            root_namespace: mesh.root_namespace().to_owned(),
            root_expires: String::new(),
            root_fingerprint: String::new(),
            module_sha256: String::new(),
        };
        let publisher =
            Arc::new(Publisher::new(Arc::clone(&board), "roots".to_owned(), keys, federated, facts, documents, Arc::clone(&lineage)));
        let trust_domain = TrustDomain::parse("test.local").unwrap();
        let audit = Arc::new(meshwright_ca::AuditLog::open(folder.path()).unwrap());
        let denials = Arc::new(crate::denials::Denials::new(publisher.in_force(), audit));
        let snapshots = Snapshots { publisher: Arc::clone(&publisher), board: Arc::clone(&board), trust_domain, lineage, denials };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let services = discovery_routes(&Arc::new(snapshots), Limits::default());
        tokio::spawn(connections::serve(listener, Protection::Plaintext, services, stopped, Lifetimes::default()));
        let handle = source.handle();
        tokio::spawn(source.run());
        let routes = client(format!("http://{address}")).await;
        Self { folder, source: handle, publisher, board, routes, _stop: stop }
    }

    async fn save(&self, routes: &str) {
        save(self.folder.path(), &documents(routes));
        assert!(self.source.reload().await);
        self.publisher.publish();
    }

    fn receipt(&self, name: &str) -> Receipt {
        let key = DocumentKey::new(Kind::VirtualService, "test".to_owned(), name.to_owned());
        self.board.receipt(&self.publisher.question(&key).unwrap())
    }

    /// Waits until the client's routes are of these, and the receipt of each document says so.
    async fn until(&mut self, routes: &[&str], standings: &[(&str, Standing)]) {
        let seen = async {
            loop {
                let held = self.routes.borrow_and_update().clone();
                let stands = standings.iter().all(|(name, standing)| self.receipt(name).state == *standing);
                if stands && routes.iter().all(|part| held.contains(part)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, seen).await.is_err() {
            let receipts: Vec<Receipt> = standings.iter().map(|(name, _)| self.receipt(name)).collect();
            panic!("{routes:?} {standings:?}: {receipts:#?} {:?}", self.board.proxies());
        }
    }
}

fn metadata() -> Struct {
    let value = |kind| Value { kind: Some(kind) };
    let text = |text: &str| value(Field::StringValue(text.to_owned()));
    let empty = || value(Field::StructValue(Struct::default()));
    let fields = [
        ("namespace", text("test")),
        ("workload", text("client")),
        ("service_account", text("client")),
        ("module_dir", text("/run")),
        ("module_sha256", text("ab")),
        ("outbound_address", text("127.0.0.1:15001")),
        ("apps", empty()),
        ("tcp", empty()),
        ("envoy_version", text("1.40.0")),
    ];
    let own = Struct { fields: fields.map(|(name, value)| (name.to_owned(), value)).into() };
    Struct { fields: [("meshwright".to_owned(), value(Field::StructValue(own)))].into() }
}

/// Takes everything but routes with [`TOO_LARGE`] in them. What is returned are the routes that it holds.
async fn client(server: String) -> watch::Receiver<String> {
    let (held, routes) = watch::channel(String::new());
    let (requests, sent) = mpsc::unbounded_channel();
    let request = |type_url: &str| DeltaDiscoveryRequest { type_url: type_url.to_owned(), ..Default::default() };
    let node = Node { id: NODE.to_owned(), metadata: Some(metadata()), ..Default::default() };
    requests.send(DeltaDiscoveryRequest { node: Some(node), ..request(ResourceType::Cluster.type_url()) }).unwrap();
    requests.send(request(ResourceType::Listener.type_url())).unwrap();
    let names = vec!["outbound".to_owned()];
    requests.send(DeltaDiscoveryRequest { resource_names_subscribe: names, ..request(ResourceType::Route.type_url()) }).unwrap();
    let mut ads = AggregatedDiscoveryServiceClient::connect(server).await.unwrap();
    let mut responses = ads.delta_aggregated_resources(UnboundedReceiverStream::new(sent)).await.unwrap().into_inner();
    tokio::spawn(async move {
        let mut refused = BTreeMap::new();
        while let Ok(Some(response)) = responses.message().await {
            let DeltaDiscoveryResponse { type_url, nonce, resources, .. } = response;
            let mut answer = DeltaDiscoveryRequest { response_nonce: nonce, ..request(&type_url) };
            for resource in resources.into_iter().filter(|_| type_url == ResourceType::Route.type_url()) {
                let text = String::from_utf8_lossy(&resource.resource.unwrap().value).into_owned();
                if text.contains(TOO_LARGE) {
                    assert_eq!(refused.insert(resource.version, ()), None, "the same is sent again");
                    answer.error_detail = Some(rpc::Status { message: "invalid repetition size".to_owned(), ..Default::default() });
                } else {
                    held.send_replace(text);
                }
            }
            if requests.send(answer).is_err() {
                return;
            }
        }
    });
    routes
}

#[tokio::test]
async fn a_refused_document_stays_as_it_was_and_everything_else_moves_on() {
    let mut mesh = Mesh::start("").await;
    mesh.save(&redirect("other", "/old", "/there")).await;
    mesh.until(&["/old", "/there"], &[("other", Standing::Enforced)]).await;

    // Both at once, and made into one resource: one is to blame.
    let bad = redirect("other", TOO_LARGE, "/new");
    mesh.save(&format!("{bad}{}", redirect("one", "/first", "/here"))).await;
    mesh.until(&["/old", "/there", "/first"], &[("other", Standing::Refused), ("one", Standing::Enforced)]).await;
    let receipt = mesh.receipt("other");
    assert_eq!((receipt.enforced, receipt.proxies), (0, 1));
    assert_eq!(receipt.waiting[0].reason, "refused RDS outbound: invalid repetition size");
    let proxy = mesh.board.proxies().into_iter().find(|proxy| proxy.node == NODE).unwrap();
    assert_eq!((proxy.refused[0].document.as_str(), proxy.in_sync), ("VirtualService test/other", false));

    // What is edited afterwards is not held up, in the same document or in another.
    mesh.save(&format!("{bad}{}", redirect("one", "/second", "/here"))).await;
    mesh.until(&["/old", "/second"], &[("other", Standing::Refused), ("one", Standing::Enforced)]).await;
    mesh.save(&format!("{}{}", redirect("other", TOO_LARGE, "/newer"), redirect("one", "/third", "/here"))).await;
    mesh.until(&["/old", "/there", "/third"], &[("other", Standing::Refused), ("one", Standing::Enforced)]).await;

    // Mended, it is in force.
    mesh.save(&format!("{}{}", redirect("other", "/mended", "/new"), redirect("one", "/third", "/here"))).await;
    mesh.until(&["/mended", "/third"], &[("other", Standing::Enforced), ("one", Standing::Enforced)]).await;
    assert!(mesh.board.proxies().iter().all(|proxy| proxy.refused.is_empty()));
}

#[tokio::test]
async fn a_new_document_that_is_refused_is_as_if_it_were_not_there() {
    let mut mesh = Mesh::start("").await;
    mesh.save(&redirect("one", "/first", "/here")).await;
    mesh.until(&["/first"], &[("one", Standing::Enforced)]).await;
    mesh.save(&format!("{}{}", redirect("one", "/second", "/here"), redirect("other", TOO_LARGE, "/new"))).await;
    mesh.until(&["/second"], &[("other", Standing::Refused), ("one", Standing::Enforced)]).await;
}
