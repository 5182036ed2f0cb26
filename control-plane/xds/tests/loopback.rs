//! The services over real connections, with the generated clients of other implementations' protocol definitions.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod support {
    pub(crate) mod client;
    pub(crate) mod serving;
}

use ResourceType::{Cluster, Endpoint};
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use meshwright_xds::{Limits, Resource, ResourceType, StreamEvent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;

use support::client::{Ads, Stream, deep_node, delta, error, node, raw, sotw};
use support::serving::{ANY, BANNED, PATIENCE, Serving};

fn resource(kind: ResourceType, name: &str, content: &str) -> Resource {
    Resource::new(kind, name, content.to_owned().into(), Vec::new())
}

#[tokio::test]
async fn a_delta_stream_is_accounted_for_from_its_beginning_to_its_end() {
    let mut serving = Serving::start(vec![resource(Cluster, "a", "1")]).await;
    let mut stream = Ads::connect(serving.address).await.delta(DeltaDiscoveryRequest { node: Some(node("n")), ..delta(Cluster) }).await;
    let StreamEvent::Connected { node, .. } = serving.event().await else { panic!("connected first") };
    assert_eq!((node.id(), node.cluster(), node.user_agent_version()), ("n", "shop", "1.40.0"));
    assert_eq!(node.metadata(), &serde_json::json!({"NAMESPACE": "shop", "PORTS": [8080.0], "TLS": true, "NOTHING": null}));
    let response = stream.next().await;
    assert_eq!((response.resources[0].name.as_str(), response.resources[0].version.len()), ("a", 32));
    assert_eq!(response.resources[0].resource.as_ref().unwrap().type_url, Cluster.type_url());
    assert_eq!(serving.told().await, "sent CDS 1");

    stream.send(DeltaDiscoveryRequest { response_nonce: response.nonce, ..delta(Cluster) });
    assert_eq!(serving.told().await, "acked CDS +a");
    serving.publish(vec![resource(Cluster, "b", "bad")]);
    let response = stream.next().await;
    assert_eq!(serving.told().await, "sent CDS 1");
    stream.send(DeltaDiscoveryRequest { response_nonce: response.nonce, error_detail: Some(error("no such port")), ..delta(Cluster) });
    assert_eq!(serving.told().await, "nacked CDS by n: b: no such port");
    drop(stream);
    assert_eq!(serving.told_until("disconnected").await.last().unwrap(), "disconnected");
}

#[tokio::test]
async fn a_state_of_the_world_stream_is_accounted_for_from_its_beginning_to_its_end() {
    let mut serving = Serving::start(vec![resource(Cluster, "a", "1")]).await;
    let mut stream = Ads::connect(serving.address).await.sotw(DiscoveryRequest { node: Some(node("n")), ..sotw(Cluster) }).await;
    assert_eq!(serving.told().await, "connected n");
    let first = stream.next().await;
    assert_eq!((first.resources.len(), first.resources[0].value.as_slice()), (1, b"1".as_slice()));
    assert_eq!(serving.told().await, "sent CDS 1");
    stream.send(DiscoveryRequest { response_nonce: first.nonce, version_info: first.version_info.clone(), ..sotw(Cluster) });
    assert_eq!(serving.told().await, "acked CDS +a");
    serving.publish(vec![resource(Cluster, "a", "bad")]);
    let second = stream.next().await;
    assert_ne!(first.version_info, second.version_info);
    assert_eq!(serving.told().await, "sent CDS 1");
    stream.send(DiscoveryRequest { response_nonce: second.nonce, error_detail: Some(error("no")), ..sotw(Cluster) });
    assert_eq!(serving.told().await, "nacked CDS by n: a: no");
    drop(stream);
    assert_eq!(serving.told_until("disconnected").await.last().unwrap(), "disconnected");
}

#[tokio::test]
async fn each_type_is_served_by_its_own_service_and_no_other_there() {
    let serving = Serving::start(ResourceType::ALL.map(|kind| resource(kind, "r", kind.short_name())).to_vec()).await;
    let ads = Ads::connect(serving.address).await;
    for kind in ResourceType::ALL {
        let other = ResourceType::ALL[(ResourceType::ALL.iter().position(|other| *other == kind).unwrap() + 1) % 6];
        let name = vec!["r".to_owned()];
        let first = DeltaDiscoveryRequest { node: Some(node("n")), resource_names_subscribe: name.clone(), ..delta(other) };
        let mut stream = ads.delta_of(kind, first).await;
        stream.send(DeltaDiscoveryRequest { resource_names_subscribe: name.clone(), ..delta(kind) });
        let response = stream.next().await;
        assert_eq!((response.type_url.as_str(), response.resources[0].name.as_str()), (kind.type_url(), "r"), "and no other before it");

        // Which type it is need not be said here.
        let first = DiscoveryRequest { node: Some(node("n")), resource_names: name, ..DiscoveryRequest::default() };
        let response = ads.sotw_of(kind, first).await.next().await;
        assert_eq!(response.resources[0].type_url, kind.type_url());
        assert_eq!(response.resources[0].value, kind.short_name().as_bytes());
    }
}

#[tokio::test]
async fn an_unknown_type_is_not_answered_and_costs_nothing_else() {
    let mut serving = Serving::start(vec![resource(Cluster, "a", "1")]).await;
    let unknown = DeltaDiscoveryRequest { node: Some(node("n")), type_url: "type.googleapis.com/unknown".into(), ..delta(Cluster) };
    let mut stream = Ads::connect(serving.address).await.delta(unknown).await;
    assert_eq!(serving.told().await, "connected n");
    stream.send(delta(Cluster));
    assert_eq!(stream.next().await.type_url, Cluster.type_url());
}

#[tokio::test]
async fn a_stream_whose_first_request_names_no_node_is_refused() {
    let mut serving = Serving::start(vec![resource(Cluster, "a", "1")]).await;
    let ads = Ads::connect(serving.address).await;
    let status = ads.delta(delta(Cluster)).await.end().await;
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "the first request of a stream names its node"));
    assert_eq!(ads.sotw(sotw(Cluster)).await.end().await.code(), Code::InvalidArgument);
    assert_eq!(serving.unread(), Vec::<String>::new(), "it was never a client");
}

#[tokio::test]
async fn the_node_of_the_first_request_is_the_one_that_counts() {
    let mut serving = Serving::start(vec![resource(Cluster, "a", "1")]).await;
    let first = DeltaDiscoveryRequest { node: Some(node("n")), ..delta(Cluster) };
    let mut stream = Ads::connect(serving.address).await.delta(first).await;
    let response = stream.next().await;
    // Envoy 1.36 and 1.37 repeat it in every request; others never do.
    stream.send(DeltaDiscoveryRequest { node: Some(node("other")), ..delta(Endpoint) });
    let error = Some(error("no"));
    stream.send(DeltaDiscoveryRequest { response_nonce: response.nonce, error_detail: error, ..delta(Cluster) });
    assert_eq!(serving.told_until("nacked").await, ["connected n", "sent CDS 1", "nacked CDS by n: a: no"]);
}

#[tokio::test]
async fn a_client_that_the_source_refuses_is_told_why() {
    let mut serving = Serving::start(Vec::new()).await;
    let request = DeltaDiscoveryRequest { node: Some(node(BANNED)), ..delta(Cluster) };
    let status = Ads::connect(serving.address).await.delta(request).await.end().await;
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "not of this mesh"));
    assert_eq!(serving.unread(), Vec::<String>::new());
}

#[tokio::test]
async fn a_client_that_asks_for_too_much_is_closed_and_no_other() {
    let mut serving = Serving::start(vec![resource(Cluster, "a", "1")]).await;
    let ads = Ads::connect(serving.address).await;
    let names = vec!["n".repeat(1025)];
    let request = DeltaDiscoveryRequest { node: Some(node("greedy")), resource_names_subscribe: names, ..delta(Endpoint) };
    let status = ads.delta(request).await.end().await;
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "a resource name has 1025 bytes, at most 1024 are allowed"));
    assert_eq!(serving.told_until("disconnected").await, ["connected greedy", "disconnected"]);
    let mut stream = ads.delta(DeltaDiscoveryRequest { node: Some(node("n")), ..delta(Cluster) }).await;
    assert_eq!(stream.next().await.resources.len(), 1);
}

#[tokio::test]
async fn the_streams_of_a_client_count_together_over_connections_and_services() {
    let limits = Limits { client_streams: 2, client_names: 3, ..Limits::default() };
    let mut serving = Serving::limited(ANY, limits, vec![resource(Cluster, "a", "1")]).await;
    let request = |client: &str| DeltaDiscoveryRequest { node: Some(node(client)), ..delta(Cluster) };
    let (first, second) = (Ads::connect(serving.address).await, Ads::connect(serving.address).await);
    let mut aggregated = first.delta(request("one")).await;
    assert_eq!(aggregated.next().await.resources.len(), 1);
    let mut other = second.delta(request("one")).await;
    assert_eq!(other.next().await.resources.len(), 1);
    let status = second.delta(request("one")).await.end().await;
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "`one` has 2 streams, more are not allowed"));
    let status = second.delta_of(Cluster, request("one")).await.end().await;
    assert_eq!(status.code(), Code::ResourceExhausted, "nor of another service");
    assert_eq!(second.delta(request("two")).await.next().await.resources.len(), 1, "no other client's");
    let names = |names: &[&str]| {
        let resource_names_subscribe = names.iter().map(|name| (*name).to_owned()).collect();
        DeltaDiscoveryRequest { resource_names_subscribe, ..delta(Endpoint) }
    };
    aggregated.send(names(&["e1", "e2"]));
    assert_eq!(aggregated.next().await.removed_resources, ["e1", "e2"]);
    other.send(names(&["e3", "e4"]));
    let status = other.end().await;
    let message = "the streams of `one` subscribe to 4 names together, at most 3 are allowed";
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, message));
    serving.told_until("disconnected").await;
    assert_eq!(second.delta(request("one")).await.next().await.resources.len(), 1, "there is room again");
}

#[tokio::test]
async fn a_client_that_will_not_speak_again_still_hears() {
    let serving = Serving::start(vec![resource(Cluster, "a", "1")]).await;
    let ads = Ads::connect(serving.address).await;
    let mut stream = ads.delta(DeltaDiscoveryRequest { node: Some(node("n")), ..delta(Cluster) }).await;
    stream.next().await;
    stream.send(DeltaDiscoveryRequest { resource_names_subscribe: vec!["e".into()], ..delta(Endpoint) });
    assert_eq!(stream.next().await.removed_resources, ["e"]);
    stream.send(DeltaDiscoveryRequest { response_nonce: "2".into(), ..delta(Endpoint) });
    stream.half_close();
    serving.publish(vec![resource(Cluster, "a", "1"), resource(Endpoint, "e", "1")]);
    assert_eq!(stream.next().await.resources[0].name, "e");
}

#[tokio::test]
async fn a_server_that_stops_says_so() {
    let serving = Serving::start(Vec::new()).await;
    let mut stream: Stream<_, _> =
        Ads::connect(serving.address).await.delta(DeltaDiscoveryRequest { node: Some(node("n")), ..delta(Cluster) }).await;
    assert!(stream.next().await.resources.is_empty());
    drop(serving);
    stream.end().await;
}

#[tokio::test]
async fn metadata_may_be_deep_but_not_without_end() {
    let mut serving = Serving::start(Vec::new()).await;
    let ads = Ads::connect(serving.address).await;
    let _stream = ads.delta(DeltaDiscoveryRequest { node: Some(deep_node(30)), ..delta(Cluster) }).await;
    let StreamEvent::Connected { node, .. } = serving.event().await else { panic!("connected first") };
    assert_eq!(node.metadata().to_string(), format!("{{\"deep\":{}null{}}}", "[".repeat(16), "]".repeat(16)), "cut off");
    let status = ads.delta(DeltaDiscoveryRequest { node: Some(deep_node(200)), ..delta(Cluster) }).await.end().await;
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn hostile_bytes_end_their_stream_and_nothing_else() {
    let mut serving = Serving::start(vec![resource(Cluster, "a", "1")]).await;
    let service = "/envoy.service.discovery.v3.AggregatedDiscoveryService";
    for method in ["DeltaAggregatedResources", "StreamAggregatedResources"] {
        let path = format!("{service}/{method}");
        // A field longer than its message; a message of 2 GiB; a compressed one; half a frame; a wrong wire type.
        for body in ["\0\0\0\0\u{5}\u{a}\u{7f}abc", "\0\u{7f}\u{7f}\u{7f}\u{7f}", "\u{1}\0\0\0\u{1}x", "\0\0\0", "\0\0\0\0\u{2}\u{f}\u{f}"]
        {
            assert_ne!(raw(serving.address, &path, body).await, "0", "{body:?}");
        }
    }
    assert_eq!(raw(serving.address, &format!("{service}/Nothing"), "").await, "12", "unimplemented");
    assert_eq!(serving.unread(), Vec::<String>::new(), "none of these was a client");

    let mut socket = tokio::net::TcpStream::connect(serving.address).await.unwrap();
    socket.write_all(&[0xff; 4096]).await.unwrap();
    // Closed or reset: either way it is over.
    let _ended = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut Vec::new())).await.unwrap();
    let mut stream = Ads::connect(serving.address).await.delta(DeltaDiscoveryRequest { node: Some(node("n")), ..delta(Cluster) }).await;
    assert_eq!(stream.next().await.resources.len(), 1, "the server lives");
}
