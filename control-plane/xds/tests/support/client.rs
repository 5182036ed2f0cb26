//! A client of the services, without any opinion of its own.

use std::net::SocketAddr;
use std::pin::Pin;

use envoy_types::pb::envoy::config::core::v3::{BuildVersion, Node, node::UserAgentVersionType};
use envoy_types::pb::envoy::service::cluster::v3::cluster_discovery_service_client::ClusterDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::envoy::service::endpoint::v3::endpoint_discovery_service_client::EndpointDiscoveryServiceClient;
use envoy_types::pb::envoy::service::extension::v3::extension_config_discovery_service_client::ExtensionConfigDiscoveryServiceClient;
use envoy_types::pb::envoy::service::listener::v3::listener_discovery_service_client::ListenerDiscoveryServiceClient;
use envoy_types::pb::envoy::service::route::v3::route_discovery_service_client::RouteDiscoveryServiceClient;
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use envoy_types::pb::envoy::r#type::v3::SemanticVersion;
use envoy_types::pb::google::protobuf::{ListValue, Struct, Value, value::Kind};
use envoy_types::pb::google::rpc;
use http_body::Body as _;
use meshwright_xds::ResourceType;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use tower::{Service as _, ServiceExt as _};

use super::serving::PATIENCE;

pub(crate) struct Ads(Channel);

impl Ads {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(channel(address).await)
    }

    pub(crate) async fn delta(&self, first: DeltaDiscoveryRequest) -> Stream<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
        let (requests, sent) = opened(first);
        let answer = AggregatedDiscoveryServiceClient::new(self.0.clone()).delta_aggregated_resources(sent).await;
        Stream { requests: Some(requests), responses: answer.unwrap().into_inner() }
    }

    pub(crate) async fn sotw(&self, first: DiscoveryRequest) -> Stream<DiscoveryRequest, DiscoveryResponse> {
        let (requests, sent) = opened(first);
        let answer = AggregatedDiscoveryServiceClient::new(self.0.clone()).stream_aggregated_resources(sent).await;
        Stream { requests: Some(requests), responses: answer.unwrap().into_inner() }
    }

    /// By the service of one type alone.
    pub(crate) async fn delta_of(
        &self,
        kind: ResourceType,
        first: DeltaDiscoveryRequest,
    ) -> Stream<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
        let ((requests, sent), channel) = (opened(first), self.0.clone());
        let answer = match kind {
            ResourceType::Cluster => ClusterDiscoveryServiceClient::new(channel).delta_clusters(sent).await,
            ResourceType::Endpoint => EndpointDiscoveryServiceClient::new(channel).delta_endpoints(sent).await,
            ResourceType::Secret => SecretDiscoveryServiceClient::new(channel).delta_secrets(sent).await,
            ResourceType::ExtensionConfig => ExtensionConfigDiscoveryServiceClient::new(channel).delta_extension_configs(sent).await,
            ResourceType::Listener => ListenerDiscoveryServiceClient::new(channel).delta_listeners(sent).await,
            ResourceType::Route => RouteDiscoveryServiceClient::new(channel).delta_routes(sent).await,
        };
        Stream { requests: Some(requests), responses: answer.unwrap().into_inner() }
    }

    pub(crate) async fn sotw_of(&self, kind: ResourceType, first: DiscoveryRequest) -> Stream<DiscoveryRequest, DiscoveryResponse> {
        let ((requests, sent), channel) = (opened(first), self.0.clone());
        let answer = match kind {
            ResourceType::Cluster => ClusterDiscoveryServiceClient::new(channel).stream_clusters(sent).await,
            ResourceType::Endpoint => EndpointDiscoveryServiceClient::new(channel).stream_endpoints(sent).await,
            ResourceType::Secret => SecretDiscoveryServiceClient::new(channel).stream_secrets(sent).await,
            ResourceType::ExtensionConfig => ExtensionConfigDiscoveryServiceClient::new(channel).stream_extension_configs(sent).await,
            ResourceType::Listener => ListenerDiscoveryServiceClient::new(channel).stream_listeners(sent).await,
            ResourceType::Route => RouteDiscoveryServiceClient::new(channel).stream_routes(sent).await,
        };
        Stream { requests: Some(requests), responses: answer.unwrap().into_inner() }
    }
}

pub(crate) struct Stream<Request, Response> {
    requests: Option<mpsc::UnboundedSender<Request>>,
    responses: Streaming<Response>,
}

impl<Request, Response> Stream<Request, Response> {
    pub(crate) fn send(&self, request: Request) {
        assert!(self.requests.as_ref().unwrap().send(request).is_ok(), "the stream is open");
    }

    pub(crate) async fn next(&mut self) -> Response {
        tokio::time::timeout(PATIENCE, self.responses.message()).await.expect("a response in time").unwrap().unwrap()
    }

    /// The status that the server ends it with, before any response.
    pub(crate) async fn end(mut self) -> Status {
        let ended = tokio::time::timeout(PATIENCE, self.responses.message()).await.expect("an end in time");
        match ended {
            Err(status) => status,
            Ok(_) => panic!("the stream goes on"),
        }
    }

    pub(crate) fn half_close(&mut self) {
        self.requests = None;
    }
}

fn opened<Request>(first: Request) -> (mpsc::UnboundedSender<Request>, UnboundedReceiverStream<Request>) {
    let (requests, sent) = mpsc::unbounded_channel();
    assert!(requests.send(first).is_ok(), "the other end is here");
    (requests, UnboundedReceiverStream::new(sent))
}

async fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// The gRPC status that a request with this body ends with.
pub(crate) async fn raw(address: SocketAddr, path: &str, body: &str) -> String {
    let request =
        http::Request::post(format!("http://{address}{path}")).header("content-type", "application/grpc").header("te", "trailers");
    let request = request.body(tonic::body::Body::new(body.to_owned())).unwrap();
    let mut channel = channel(address).await;
    let response = channel.ready().await.unwrap().call(request).await.unwrap();
    let status = |headers: &http::HeaderMap| headers.get("grpc-status").map(|value| value.to_str().unwrap().to_owned());
    if let Some(status) = status(response.headers()) {
        return status;
    }
    let mut body = response.into_body();
    let trailers = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
    let frame = tokio::time::timeout(PATIENCE, trailers).await.expect("an end in time").unwrap().unwrap();
    status(frame.trailers_ref().expect("an end without any response")).unwrap()
}

pub(crate) fn delta(kind: ResourceType) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { type_url: kind.type_url().to_owned(), ..Default::default() }
}

pub(crate) fn sotw(kind: ResourceType) -> DiscoveryRequest {
    DiscoveryRequest { type_url: kind.type_url().to_owned(), ..Default::default() }
}

pub(crate) fn error(message: &str) -> rpc::Status {
    rpc::Status { message: message.to_owned(), ..Default::default() }
}

/// As Envoy 1.40.0 says who it is.
pub(crate) fn node(id: &str) -> Node {
    let version = SemanticVersion { major_number: 1, minor_number: 40, patch: 0 };
    let value = |kind| Value { kind: Some(kind) };
    let ports = ListValue { values: vec![value(Kind::NumberValue(8080.0))] };
    let fields = [
        ("NAMESPACE".to_owned(), value(Kind::StringValue("shop".to_owned()))),
        ("PORTS".to_owned(), value(Kind::ListValue(ports))),
        ("TLS".to_owned(), value(Kind::BoolValue(true))),
        ("NOTHING".to_owned(), value(Kind::NullValue(0))),
    ];
    Node {
        id: id.to_owned(),
        cluster: "shop".to_owned(),
        metadata: Some(Struct { fields: fields.into_iter().collect() }),
        user_agent_version_type: Some(UserAgentVersionType::UserAgentBuildVersion(BuildVersion { version: Some(version), metadata: None })),
        ..Default::default()
    }
}

/// With lists in lists.
pub(crate) fn deep_node(depth: usize) -> Node {
    let mut value = Value { kind: Some(Kind::ListValue(ListValue::default())) };
    for _ in 1..depth {
        value = Value { kind: Some(Kind::ListValue(ListValue { values: vec![value] })) };
    }
    Node { metadata: Some(Struct { fields: [("deep".to_owned(), value)].into() }), ..node("deep") }
}
