//! The control plane's discovery service as a peer talks to it: gRPC messages, cut anywhere.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::Poll;

use bytes::{Buf as _, Bytes};
use http_body::{Body as _, Frame};
use http_body_util::StreamBody;
use meshwright_xds::{Limits, Node, Resource, ResourceType, Snapshot, SnapshotSource, StreamEvent, discovery_routes};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::{Extensions, Status};
use tower::ServiceExt as _;

const METHODS: [&str; 3] = [
    "envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
    "envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
    "envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters",
];
/// So often a stream that has nothing to say is asked again.
const PATIENCE: usize = 8;

/// Everybody is served the same.
struct Source(watch::Sender<Arc<Snapshot>>);

impl SnapshotSource for Source {
    async fn subscribe(&self, _node: Node, _peer: Extensions) -> Result<watch::Receiver<Arc<Snapshot>>, Status> {
        Ok(self.0.subscribe())
    }

    fn observe(&self, _event: StreamEvent) {}
}

static RUNTIME: LazyLock<Option<Runtime>> = LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().ok());
static SOURCE: LazyLock<Arc<Source>> = LazyLock::new(|| {
    let named = |kind, name: &str| Resource::new(kind, name, Bytes::from_static(b"\x0a\x01a"), Vec::new());
    let resources = [named(ResourceType::Cluster, "a"), named(ResourceType::Cluster, "b"), named(ResourceType::Secret, "c")];
    Arc::new(Source(watch::Sender::new(Arc::new(Snapshot::build(resources).unwrap_or_default()))))
});

/// A peer's half of a stream, in pieces of `piece` bytes: it is answered with whole messages, or a status. How many there are on all services.
#[must_use]
pub fn discovery(bytes: &[u8], piece: usize) -> usize {
    let Some(runtime) = RUNTIME.as_ref() else { return 0 };
    let mut messages = 0;
    for method in METHODS {
        let answer = runtime.block_on(answer(method, bytes, piece.max(1)));
        let mut rest = answer.as_slice();
        while let Some(prefix) = rest.first_chunk::<5>() {
            let [compressed, length @ ..] = *prefix;
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            rest.advance(5);
            assert!(compressed == 0 && length <= rest.len(), "an answer is whole messages");
            rest.advance(length);
            messages += 1;
        }
        assert!(rest.is_empty(), "and nothing besides");
    }
    messages
}

async fn answer(method: &str, bytes: &[u8], piece: usize) -> Vec<u8> {
    let pieces: Vec<_> = bytes.chunks(piece).map(|piece| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(piece)))).collect();
    let body = tonic::body::Body::new(StreamBody::new(tokio_stream::iter(pieces)));
    let request = http::Request::post(format!("http://fuzz/{method}")).header("content-type", "application/grpc").body(body);
    let (Ok(request), routes) = (request, discovery_routes(&SOURCE, Limits::default()).prepare()) else { return Vec::new() };
    let Ok(response) = routes.oneshot(request).await;
    let (mut body, mut found, mut idle) = (response.into_body(), Vec::new(), 0);
    while idle < PATIENCE {
        match poll_fn(|context| Poll::Ready(Pin::new(&mut body).poll_frame(context))).await {
            Poll::Ready(Some(Ok(frame))) => found.extend(frame.into_data().unwrap_or_default()),
            Poll::Ready(_) => break,
            // It waits for another request or another snapshot, or is about to.
            Poll::Pending => {
                idle += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    found
}
