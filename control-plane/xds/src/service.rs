//! The tonic shell: moves messages between a stream and its [`crate::Session`], and nothing else.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use http_body::Body;
use tokio::sync::watch;
use tonic::metadata::GRPC_CONTENT_TYPE;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::{Extensions, Status};
use tower::Service;

use crate::quota::Quotas;
use crate::requests::Requests;
use crate::session::SharedLists;
use crate::stream::{self, Incoming, Serving};
use crate::{Limits, Node, ResourceType, Snapshot, StreamEvent};

/// Where the snapshots of each client come from.
pub trait SnapshotSource: Send + Sync + 'static {
    /// The snapshots of the client that says it is `node`; `peer` are the extensions of its request, in which whoever accepted the
    /// connection has left what it knows of the peer.
    ///
    /// # Errors
    /// The status with which the stream is closed.
    fn subscribe(&self, node: Node, peer: Extensions) -> impl Future<Output = Result<watch::Receiver<Arc<Snapshot>>, Status>> + Send;

    /// Waits until a client that was admitted may not be served any more: the status with which its stream is closed. Never, unless a source
    /// says otherwise. `_node` is without its metadata.
    fn revoked(&self, _node: &Node, _peer: &Extensions) -> impl Future<Output = Status> + Send {
        std::future::pending()
    }

    /// Hears what happens on streams.
    fn observe(&self, event: StreamEvent);

    /// The state of the documents that snapshots are made from now, if clients are to be told. It changes before the snapshots do. Letters
    /// and digits.
    fn state(&self) -> Option<Arc<str>> {
        None
    }

    /// Whether snapshots are, or ever were, made from this state.
    fn knows(&self, _state: &str) -> bool {
        true
    }

    /// The client `node` has been given something made from `state`, which is not known here, by somebody else; and waiting has not helped.
    ///
    /// # Errors
    /// The status with which the stream is closed, so that the client asks elsewhere.
    fn overtaken(&self, _node: &Node, _state: &str) -> Result<(), Status> {
        Ok(())
    }
}

macro_rules! discovery_service {
    ($service:ident, $name:literal, $delta:literal, $sotw:literal, $only:expr) => {
        #[doc = concat!("`", $name, "`, both streaming variants.")]
        #[derive(Debug)]
        pub struct $service<S> {
            source: Arc<S>,
            limits: Limits,
            quotas: Arc<Quotas>,
            lists: SharedLists,
        }

        impl<S> $service<S> {
            pub fn new(source: Arc<S>) -> Self {
                Self::with_limits(source, Limits::default())
            }

            pub fn with_limits(source: Arc<S>, limits: Limits) -> Self {
                Self::beside_others(source, limits, Quotas::new(limits), SharedLists::default())
            }

            fn beside_others(source: Arc<S>, limits: Limits, quotas: Arc<Quotas>, lists: SharedLists) -> Self {
                Self { source, limits, quotas, lists }
            }
        }

        impl<S> Clone for $service<S> {
            fn clone(&self) -> Self {
                Self::beside_others(Arc::clone(&self.source), self.limits, Arc::clone(&self.quotas), self.lists.clone())
            }
        }

        impl<S> NamedService for $service<S> {
            const NAME: &'static str = $name;
        }

        impl<S, B> Service<http::Request<B>> for $service<S>
        where
            S: SnapshotSource,
            B: Body<Data = Bytes> + Send + 'static,
            B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
        {
            type Response = http::Response<tonic::body::Body>;
            type Error = Infallible;
            type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<B>) -> Self::Future {
                let Self { source, limits, quotas, lists } = self.clone();
                let serving = Serving { source, only: $only, limits, quotas, lists };
                match request.uri().path() {
                    concat!("/", $name, "/", $delta) => Box::pin(answer::<_, DeltaDiscoveryRequest, _>(serving, request)),
                    concat!("/", $name, "/", $sotw) => Box::pin(answer::<_, DiscoveryRequest, _>(serving, request)),
                    _ => Box::pin(async { Ok(Status::unimplemented("no such method").into_http()) }),
                }
            }
        }
    };
}

discovery_service!(
    AdsService,
    "envoy.service.discovery.v3.AggregatedDiscoveryService",
    "DeltaAggregatedResources",
    "StreamAggregatedResources",
    None
);
discovery_service!(
    CdsService,
    "envoy.service.cluster.v3.ClusterDiscoveryService",
    "DeltaClusters",
    "StreamClusters",
    Some(ResourceType::Cluster)
);
discovery_service!(
    EdsService,
    "envoy.service.endpoint.v3.EndpointDiscoveryService",
    "DeltaEndpoints",
    "StreamEndpoints",
    Some(ResourceType::Endpoint)
);
discovery_service!(
    SdsService,
    "envoy.service.secret.v3.SecretDiscoveryService",
    "DeltaSecrets",
    "StreamSecrets",
    Some(ResourceType::Secret)
);
discovery_service!(
    EcdsService,
    "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
    "DeltaExtensionConfigs",
    "StreamExtensionConfigs",
    Some(ResourceType::ExtensionConfig)
);
discovery_service!(
    LdsService,
    "envoy.service.listener.v3.ListenerDiscoveryService",
    "DeltaListeners",
    "StreamListeners",
    Some(ResourceType::Listener)
);
discovery_service!(RdsService, "envoy.service.route.v3.RouteDiscoveryService", "DeltaRoutes", "StreamRoutes", Some(ResourceType::Route));

/// All of them, for one port: aggregated, and each type by itself. Only the aggregated one can keep order between types. A client's streams
/// count together, whichever of them they are of.
pub fn discovery_routes<S: SnapshotSource>(source: &Arc<S>, limits: Limits) -> Routes {
    let (quotas, lists) = (Quotas::new(limits), SharedLists::default());
    macro_rules! service {
        ($service:ident) => {
            $service::beside_others(Arc::clone(source), limits, Arc::clone(&quotas), lists.clone())
        };
    }
    Routes::new(service!(AdsService))
        .add_service(service!(CdsService))
        .add_service(service!(EdsService))
        .add_service(service!(SdsService))
        .add_service(service!(EcdsService))
        .add_service(service!(LdsService))
        .add_service(service!(RdsService))
}

async fn answer<S, M, B>(serving: Serving<S>, request: http::Request<B>) -> Result<http::Response<tonic::body::Body>, Infallible>
where
    S: SnapshotSource,
    M: Incoming,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    let (parts, body) = request.into_parts();
    let requests = Requests::<M>::new(tonic::body::Body::new(body), serving.limits.request_bytes);
    let mut response = http::Response::new(tonic::body::Body::new(stream::start(serving, parts.extensions, requests)));
    response.headers_mut().insert(http::header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
    Ok(response)
}
