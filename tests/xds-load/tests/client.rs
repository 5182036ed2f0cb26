//! A client asks, waits and acknowledges as Envoy does.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use envoy_types::pb::envoy::config::cluster::v3::{
    Cluster, cluster::ClusterDiscoveryType, cluster::DiscoveryType, cluster::EdsClusterConfig,
};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use envoy_types::pb::google::protobuf::Any;
use meshwright_xds_load::wire::{Request, Response};
use meshwright_xds_load::{Client, Contents, Kind, Reply};
use prost::Message as _;

struct Told {
    client: Client,
    contents: Contents,
    nonce: usize,
}

impl Told {
    fn new() -> Self {
        let client = Client::new(Node { id: "me".to_owned(), ..Node::default() });
        Self { client, contents: Contents::default(), nonce: 0 }
    }

    fn open(&mut self) -> Vec<DeltaDiscoveryRequest> {
        self.client.open(&self.contents).into_iter().map(decoded).collect()
    }

    fn tell(&mut self, kind: Kind, resources: &[(&str, &str, Vec<u8>)], removed: &[&str]) -> Reply {
        self.nonce += 1;
        let resource = |(name, version, value): &(&str, &str, Vec<u8>)| Resource {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            resource: Some(Any { type_url: kind.type_url().to_owned(), value: value.clone() }),
            ..Resource::default()
        };
        let message = DeltaDiscoveryResponse {
            type_url: kind.type_url().to_owned(),
            nonce: self.nonce.to_string(),
            resources: resources.iter().map(resource).collect(),
            removed_resources: removed.iter().map(|name| (*name).to_owned()).collect(),
            ..DeltaDiscoveryResponse::default()
        };
        let bytes = message.encode_to_vec();
        self.client.on_response(&Response::parse(&bytes).unwrap(), &mut self.contents)
    }
}

fn decoded(request: Request) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest::decode(request.framed().get(5..).unwrap()).unwrap()
}

fn eds_cluster(name: &str) -> Vec<u8> {
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig::default()),
        ..Cluster::default()
    }
    .encode_to_vec()
}

fn endpoints(name: &str) -> Vec<u8> {
    ClusterLoadAssignment { cluster_name: name.to_owned(), ..ClusterLoadAssignment::default() }.encode_to_vec()
}

/// Type, names asked for, nonce.
fn asked(reply: Reply) -> Vec<(Kind, Vec<String>, String)> {
    let of = |request: DeltaDiscoveryRequest| {
        (
            Kind::from_type_url(&request.type_url).unwrap_or_else(|| panic!("{request:?}")),
            request.resource_names_subscribe,
            request.response_nonce,
        )
    };
    reply.requests.into_iter().map(decoded).map(of).collect()
}

fn ack(kind: Kind, nonce: &str) -> (Kind, Vec<String>, String) {
    (kind, Vec::new(), nonce.to_owned())
}

#[test]
fn asks_for_clusters_then_their_endpoints_and_only_then_for_listeners() {
    let mut told = Told::new();
    let first = told.open();
    assert_eq!(first.len(), 1);
    assert!(
        first
            .iter()
            .all(|request| request.node.as_ref().is_some_and(|node| node.id == "me") && request.resource_names_subscribe.is_empty())
    );
    let reply = told.tell(Kind::Cluster, &[("a", "1", eds_cluster("a")), ("b", "1", eds_cluster("b"))], &[]);
    let names = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(asked(reply), [(Kind::Endpoint, names, String::new()), ack(Kind::Cluster, "1")], "the first ACK waits for nothing");
    assert_eq!(asked(told.tell(Kind::Endpoint, &[("a", "1", endpoints("a"))], &[])), [ack(Kind::Endpoint, "2")]);
    // A name that is said to be missing is answered as well.
    let reply = told.tell(Kind::Endpoint, &[], &["b"]);
    assert_eq!(asked(reply), [ack(Kind::Endpoint, "3"), ack(Kind::Listener, "")]);
    assert!(!told.client.is_synced());
    assert_eq!(asked(told.tell(Kind::Listener, &[], &[])), [ack(Kind::Listener, "4")]);
    assert!(told.client.is_synced());
}

fn synced() -> Told {
    let mut told = Told::new();
    told.open();
    told.tell(Kind::Cluster, &[("a", "1", eds_cluster("a"))], &[]);
    told.tell(Kind::Endpoint, &[("a", "1", endpoints("a"))], &[]);
    told.tell(Kind::Listener, &[], &[]);
    assert!(told.client.is_synced());
    told
}

#[test]
fn a_changed_cluster_is_acknowledged_when_its_endpoints_came_again() {
    let mut told = synced();
    let reply = told.tell(Kind::Cluster, &[("a", "2", eds_cluster("a"))], &[]);
    assert!(reply.requests.is_empty() && told.client.deadline().is_some() && !told.client.is_synced());
    let reply = told.tell(Kind::Endpoint, &[("a", "1", endpoints("a"))], &[]);
    assert_eq!((reply.resources, reply.repeated), (1, 1));
    assert_eq!(asked(reply), [ack(Kind::Endpoint, "5"), ack(Kind::Cluster, "4")]);
    told.tell(Kind::Cluster, &[("a", "3", eds_cluster("a"))], &[]);
    assert_eq!(asked(told.client.on_timeout()), [ack(Kind::Cluster, "6")], "Envoy goes on after 15 s");
}

#[test]
fn comes_back_with_what_it_holds() {
    let mut told = synced();
    let requests = told.open();
    let kinds: Vec<_> = requests.iter().map(|request| Kind::from_type_url(&request.type_url).unwrap()).collect();
    assert_eq!(kinds, [Kind::Cluster, Kind::Endpoint, Kind::Listener]);
    let versions = |at: usize| requests.get(at).unwrap().initial_resource_versions.iter().collect::<Vec<_>>().len();
    assert_eq!([versions(0), versions(1), versions(2)], [1, 1, 0]);
    assert_eq!(requests.get(1).unwrap().resource_names_subscribe, ["a"]);
    assert!(requests.iter().skip(1).all(|request| request.node.is_none()));
    assert!(!told.client.is_synced());
}

#[test]
fn drops_what_nothing_refers_to_any_more() {
    let mut told = synced();
    let reply = told.tell(Kind::Cluster, &[], &["a"]);
    let requests: Vec<DeltaDiscoveryRequest> = reply.requests.into_iter().map(decoded).collect();
    assert_eq!(requests.first().unwrap().resource_names_unsubscribe, ["a"]);
}

#[test]
fn an_edit_has_arrived_where_its_content_is_acknowledged() {
    let mut told = synced();
    let mark = told.contents.marks.add("marker-7", None);
    let with = |text: &str| [endpoints("a"), format!("\u{32}\u{8}{text}").into_bytes()].concat();
    let reply = told.tell(Kind::Endpoint, &[("a", "2", with("marker-7"))], &[]);
    assert_eq!(reply.marks, [mark]);
    let again = told.tell(Kind::Endpoint, &[("a", "2", with("marker-7"))], &[]);
    assert_eq!((again.marks.len(), again.repeated), (0, 1), "what it holds already is no arrival");
    assert!(told.contents.distinct() >= 3);
}
