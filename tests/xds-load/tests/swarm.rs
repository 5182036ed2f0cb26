//! A small swarm against a real server of the protocol: in sync, edits seen by all, and nothing sent again to who comes back.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::config::cluster::v3::{Cluster, cluster::ClusterDiscoveryType, cluster::DiscoveryType};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meshwright_workloads::ProxyLine;
use meshwright_xds::{AdsService, Node, Resource, ResourceType, Snapshot, SnapshotSource, StreamEvent};
use meshwright_xds_load::{Pace, Swarm, Target};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::{Extensions, Status};

const PATIENCE: Duration = Duration::from_secs(20);
const CLIENTS: usize = 40;

struct Source(watch::Receiver<Arc<Snapshot>>);

impl SnapshotSource for Source {
    async fn subscribe(&self, _: Node, _: Extensions) -> Result<watch::Receiver<Arc<Snapshot>>, Status> {
        Ok(self.0.clone())
    }

    fn observe(&self, _: StreamEvent) {}
}

fn snapshot(marker: &str) -> Arc<Snapshot> {
    let cluster = Cluster {
        name: "a".to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        ..Cluster::default()
    };
    let endpoints = ClusterLoadAssignment { cluster_name: format!("a{marker}"), ..ClusterLoadAssignment::default() };
    let resource = |kind, name: &str, body: Vec<u8>, needs| Resource::new(kind, name, Bytes::from(body), needs);
    let needs = vec![(ResourceType::Endpoint, "a".to_owned())];
    let resources = [
        resource(ResourceType::Cluster, "a", cluster.encode_to_vec(), needs),
        resource(ResourceType::Endpoint, "a", endpoints.encode_to_vec(), Vec::new()),
    ];
    Arc::new(Snapshot::build(resources).unwrap())
}

#[tokio::test]
async fn everybody_gets_everything_once() {
    let (sender, receiver) = watch::channel(snapshot(""));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = AdsService::new(Arc::new(Source(receiver)));
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    let proxies = (0..CLIENTS).map(|index| ProxyLine {
        id: format!("client-{index}"),
        cluster: String::new(),
        metadata: serde_json::json!({"i": index}),
        certificate: None,
        key: None,
    });
    let pace = Pace { slow: Some((10, Duration::from_millis(50))), ..Pace::default() };
    let swarm = Swarm::new(Target { address, tls: None }, proxies, pace);
    swarm.connect();
    assert_eq!(swarm.synced(PATIENCE).await.len(), CLIENTS, "{:?}", swarm.last_error());
    let connected = swarm.counts();
    assert_eq!((connected.resources, connected.repeated), (2 * 40, 0));

    let mark = swarm.mark("-marked", None);
    sender.send_replace(snapshot("-marked"));
    assert_eq!(swarm.arrived(mark, CLIENTS, PATIENCE).await.len(), CLIENTS);
    let edited = swarm.counts().since(&connected);
    assert_eq!((edited.resources, edited.repeated), (40, 0));

    swarm.reconnect();
    assert_eq!(swarm.synced(PATIENCE).await.len(), CLIENTS, "{:?}", swarm.last_error());
    let again = swarm.counts().since(&connected).since(&edited);
    assert_eq!((again.resources, again.connected), (0, 40), "{again:?}");
}
