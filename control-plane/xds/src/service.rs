//! The tonic shell: moves messages between a stream and its [`crate::Session`], and nothing else.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use http_body::Body;
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Extensions, Request, Response, Status, Streaming};
use tower::Service;

use crate::codec::{Outgoing, ResponseCodec};
use crate::stream::{self, Incoming};
use crate::{Node, ResourceType, Snapshot, StreamEvent};

/// A request names at most what a client holds: 4 MiB are some 40 000 names.
const LARGEST_REQUEST: usize = 4 * 1024 * 1024;

/// Where the snapshots of each client come from.
pub trait SnapshotSource: Send + Sync + 'static {
    /// The snapshots of the client that says it is `node`; `peer` are the extensions of its request, in which whoever accepted the
    /// connection has left what it knows of the peer.
    ///
    /// # Errors
    /// The status with which the stream is closed.
    fn subscribe(&self, node: Node, peer: Extensions) -> impl Future<Output = Result<watch::Receiver<Arc<Snapshot>>, Status>> + Send;

    /// Hears what happens on streams.
    fn observe(&self, event: StreamEvent);
}

/// `envoy.service.discovery.v3.AggregatedDiscoveryService`, both variants.
#[derive(Debug)]
pub struct AdsService<S>(Arc<S>);

/// `envoy.service.secret.v3.SecretDiscoveryService`, both streaming variants.
#[derive(Debug)]
pub struct SdsService<S>(Arc<S>);

macro_rules! discovery_service {
    ($service:ident, $name:literal, $delta:literal, $sotw:literal, $only:expr) => {
        impl<S> $service<S> {
            pub fn new(source: Arc<S>) -> Self {
                Self(source)
            }
        }

        impl<S> Clone for $service<S> {
            fn clone(&self) -> Self {
                Self(Arc::clone(&self.0))
            }
        }

        impl<S> NamedService for $service<S> {
            const NAME: &'static str = $name;
        }

        impl<S, B> Service<http::Request<B>> for $service<S>
        where
            S: SnapshotSource,
            B: Body + Send + 'static,
            B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
        {
            type Response = http::Response<tonic::body::Body>;
            type Error = Infallible;
            type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<B>) -> Self::Future {
                let source = Arc::clone(&self.0);
                match request.uri().path() {
                    concat!("/", $name, "/", $delta) => Box::pin(answer::<_, DeltaDiscoveryRequest, _>(source, $only, request)),
                    concat!("/", $name, "/", $sotw) => Box::pin(answer::<_, DiscoveryRequest, _>(source, $only, request)),
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
    SdsService,
    "envoy.service.secret.v3.SecretDiscoveryService",
    "DeltaSecrets",
    "StreamSecrets",
    Some(ResourceType::Secret)
);

async fn answer<S, M, B>(
    source: Arc<S>,
    only: Option<ResourceType>,
    request: http::Request<B>,
) -> Result<http::Response<tonic::body::Body>, Infallible>
where
    S: SnapshotSource,
    M: Incoming,
    B: Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    let mut grpc = Grpc::new(ResponseCodec::<M>::default()).max_decoding_message_size(LARGEST_REQUEST);
    Ok(grpc.streaming(Streams { source, only }, request).await)
}

/// One method of one service.
struct Streams<S> {
    source: Arc<S>,
    only: Option<ResourceType>,
}

impl<S: SnapshotSource, M: Incoming> StreamingService<M> for Streams<S> {
    type Response = Outgoing;
    type ResponseStream = ReceiverStream<Result<Outgoing, Status>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<M>>) -> Self::Future {
        let (_, extensions, requests) = request.into_parts();
        let responses = stream::start(Arc::clone(&self.source), self.only, extensions, requests);
        std::future::ready(Ok(Response::new(ReceiverStream::new(responses))))
    }
}
