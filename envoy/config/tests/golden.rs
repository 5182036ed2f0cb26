//! Every shape that the builders make: its golden file, and the real Envoy's word that it is one it accepts.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

#[path = "support/authorizers.rs"]
mod authorizers;
#[path = "support/goldens.rs"]
mod goldens;
#[path = "support/routes.rs"]
mod routes;

use std::time::Duration;

use meshwright_envoy_config::cluster::{
    CircuitBreakers, Cluster, Discovery, HttpOptions, HttpVersion, LoadBalancer, OutlierDetection, TcpKeepalive, UpstreamTls,
};
use meshwright_envoy_config::endpoint::{Endpoint, EndpointLocality, load_assignment};
use meshwright_envoy_config::hcm::{HttpConnectionManager, PathNormalization, Position, Routes};
use meshwright_envoy_config::listener::{ChainMatch, Direction, FilterChain, Inspection, Listener};
use meshwright_envoy_config::route::route_configuration;
use meshwright_envoy_config::tcp::{Connect, TcpProxy};
use meshwright_envoy_config::tls::{self, Clients, Edge, Roots, San, UpstreamSimple, Version};
use meshwright_envoy_config::wasm::{Plugin, Role};
use meshwright_envoy_config::{Admin, BootstrapParams, ControlPlaneAddress, NodeMetadata, bootstrap, filter, names, secret};
use prost::{Message, Name};
use serde_json::{Value, json};

fn json_of<M: Message + Name>(message: &M) -> Value {
    goldens::to_json(&M::type_url(), &message.encode_to_vec())
}

fn golden<M: Message + Name>(name: &str, message: &M) -> Value {
    let json = json_of(message);
    goldens::check("tests/golden", name, &json);
    json
}

/// The bootstrap with these resources as static ones.
fn with_static(kind: &str, resources: Vec<Value>) -> Value {
    let mut config = bootstrap(&params(Admin::Loopback(0)));
    let list = config["static_resources"].as_object_mut().unwrap().entry(kind).or_insert_with(|| json!([]));
    list.as_array_mut().unwrap().extend(resources);
    config
}

fn metadata() -> NodeMetadata {
    NodeMetadata {
        namespace: "books".into(),
        workload: "catalog-1".into(),
        service_account: "catalog".into(),
        module_dir: "/run/meshwright".into(),
        module_sha256: "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8".into(),
        outbound_address: Some("127.0.0.1:15001".parse().unwrap()),
        apps: [(8080, "127.0.0.1:9080".parse().unwrap())].into(),
        tcp: [("ledger.books.svc:5000".to_owned(), "127.0.0.1:15100".parse().unwrap())].into(),
        envoy_version: "1.40.0".into(),
    }
}

fn params(admin: Admin) -> BootstrapParams {
    BootstrapParams {
        node_id: names::node_id("books", "catalog-1"),
        metadata: metadata(),
        control_plane: ControlPlaneAddress { host: "127.0.0.1".into(), port: 15012 },
        control_plane_identity: "spiffe://mesh.local/ns/meshwright-system/sa/meshwright-control-plane".parse().unwrap(),
        sds_socket: "/run/meshwright/sds.sock".into(),
        admin,
    }
}

#[test]
fn bootstraps() {
    let on_socket = bootstrap(&params(Admin::UnixSocket("/tmp/meshwright-admin.sock".into())));
    goldens::check("tests/golden", "bootstrap", &on_socket);
    goldens::accepted("bootstrap", &on_socket);
    let by_name = BootstrapParams {
        control_plane: ControlPlaneAddress { host: "control-plane.example".into(), port: 15012 },
        ..params(Admin::Loopback(15000))
    };
    let by_name = bootstrap(&by_name);
    goldens::check("tests/golden", "bootstrap-by-name", &by_name);
    goldens::accepted("bootstrap-by-name", &by_name);
}

#[test]
fn what_envoy_refuses_is_reported() {
    let mut config = bootstrap(&params(Admin::Loopback(0)));
    config["admin"]["address"]["socket_address"]["port_value"] = json!(70_000);
    assert!(goldens::validate(&config).unwrap_err().contains("PortValue"));
}

fn id(name: &str) -> meshwright_identity::SpiffeId {
    format!("spiffe://mesh.local/ns/books/sa/{name}").parse().unwrap()
}

fn authz() -> Plugin<'static> {
    Plugin { role: Role::Authz, module: "/run/meshwright/module.wasm", configuration: r#"{"version":1}"#.into() }
}

fn access_log() -> Plugin<'static> {
    Plugin { role: Role::AccessLog, module: "/run/meshwright/module.wasm", configuration: r#"{"version":1}"#.into() }
}

fn hcm(position: Position, path_normalization: PathNormalization, routes: Routes) -> HttpConnectionManager {
    HttpConnectionManager {
        stat_prefix: "inbound_8080".into(),
        position,
        path_normalization,
        routes,
        filters: vec![
            filter::set_peer_state(filter::Peers::OfMesh, &[]),
            filter::discovered_http("meshwright.authz/http"),
            filter::dynamic_forward_proxy(),
            filter::router(),
        ],
        access_log: vec![access_log().access_log()],
    }
}

fn chain(name: &str, matches: ChainMatch, filters: Vec<meshwright_envoy_config::pb::envoy::config::listener::v3::Filter>) -> FilterChain {
    FilterChain { name: name.into(), matches, transport_socket: None, filters }
}

#[test]
fn listener_http_permissive() {
    let filters = vec![hcm(Position::Inbound, PathNormalization::Base, Routes::Discovered("inbound".into())).build()];
    let mutual = tls::downstream_mutual(&[San::In("mesh.local".parse().unwrap())], &["h2", "http/1.1"]);
    let listener = Listener {
        name: "inbound|8080".into(),
        address: "127.0.0.2:8080".parse().unwrap(),
        direction: Direction::Inbound,
        inspection: Inspection::Tls,
        filter_chains: vec![
            FilterChain {
                transport_socket: Some(mutual),
                ..chain("mutual-tls", ChainMatch::TlsWithAlpn(names::MESH_ALPN.into()), filters.clone())
            },
            chain("plaintext", ChainMatch::Plaintext, filters),
        ],
    };
    let json = golden("listener-http-permissive", &listener.build());
    goldens::accepted("listener-http-permissive", &with_static("listeners", vec![json]));
}

#[test]
fn listener_tcp_permissive() {
    let proxy = TcpProxy {
        stat_prefix: "inbound_5000".into(),
        clusters: vec![(names::XDS_CLUSTER.into(), 1)],
        access_log: vec![access_log().access_log()],
        connect: Connect::AfterHandshake,
    };
    let filters = vec![
        filter::set_peer_state_of_connection(filter::Peers::OfMesh, &[]),
        filter::discovered_network("meshwright.authz/tcp"),
        proxy.build(),
    ];
    let mutual = tls::downstream_mutual(&[San::Exact(id("orders")), San::In("old.local".parse().unwrap())], &[names::MESH_ALPN]);
    let listener = Listener {
        name: "inbound|5000".into(),
        address: "127.0.0.2:5000".parse().unwrap(),
        direction: Direction::Inbound,
        inspection: Inspection::TlsOrSilent(Duration::from_secs(5)),
        filter_chains: vec![
            FilterChain {
                transport_socket: Some(mutual),
                ..chain("mutual-tls", ChainMatch::TlsWithAlpn(names::MESH_ALPN.into()), filters.clone())
            },
            chain("plaintext", ChainMatch::Plaintext, filters.clone()),
            chain("tls-of-the-app", ChainMatch::Tls, filters),
        ],
    };
    let json = golden("listener-tcp-permissive", &listener.build());
    goldens::accepted("listener-tcp-permissive", &with_static("listeners", vec![json]));
}

#[test]
fn listeners_with_external_authorizers() {
    let [grpc, http] = authorizers::both();
    let mut requests = hcm(Position::Inbound, PathNormalization::Base, Routes::Discovered("inbound".into()));
    requests.filters = vec![
        filter::set_peer_state(filter::Peers::OfMesh, &["opa".into(), "legacy".into()]),
        grpc.http_filter(),
        http.http_filter(),
        filter::router(),
    ];
    let proxy = TcpProxy {
        stat_prefix: "inbound_5000".into(),
        clusters: vec![(names::XDS_CLUSTER.into(), 1)],
        access_log: vec![],
        connect: Connect::AfterFirstData,
    };
    let mut connections = vec![filter::set_peer_state_of_connection(filter::Peers::OfMesh, &["opa".into()])];
    connections.extend(grpc.network_filters());
    connections.push(proxy.build());
    let listener = Listener {
        name: "inbound".into(),
        address: "127.0.0.2:8080".parse().unwrap(),
        direction: Direction::Inbound,
        inspection: Inspection::Tls,
        filter_chains: vec![chain("http", ChainMatch::Plaintext, vec![requests.build()]), chain("tcp", ChainMatch::Tls, connections)],
    };
    let json = golden("listener-ext-authz", &listener.build());
    goldens::accepted("listener-ext-authz", &with_static("listeners", vec![json]));
}

#[test]
fn listener_outbound() {
    let weighted = TcpProxy {
        stat_prefix: "outbound".into(),
        clusters: vec![(names::XDS_CLUSTER.into(), 9), (names::SDS_CLUSTER.into(), 1)],
        access_log: vec![],
        connect: Connect::AtOnce,
    };
    let tcp = Listener {
        name: "outbound|5000||ledger.books.svc".into(),
        address: "127.0.0.1:15100".parse().unwrap(),
        direction: Direction::Outbound,
        inspection: Inspection::None,
        filter_chains: vec![chain("", ChainMatch::Any, vec![weighted.build()])],
    };
    let http = Listener {
        name: "outbound".into(),
        address: "127.0.0.1:15001".parse().unwrap(),
        filter_chains: vec![chain(
            "",
            ChainMatch::Any,
            vec![hcm(Position::Outbound, PathNormalization::None, Routes::Discovered("outbound".into())).build()],
        )],
        ..tcp.clone()
    };
    let json = vec![golden("listener-outbound-http", &http.build()), golden("listener-outbound-tcp", &tcp.build())];
    goldens::accepted("listener-outbound", &with_static("listeners", json));
}

#[test]
fn listener_gateway() {
    let normalizations = [PathNormalization::MergeSlashes, PathNormalization::DecodeAndMergeSlashes];
    let certificate = names::credential_secret("edge", "shop");
    let simple = Edge {
        certificate: &certificate,
        clients: None,
        minimum: Version::Tls12,
        maximum: Version::Tls13,
        cipher_suites: &[],
        alpn: &["h2", "http/1.1"],
    };
    let hashes = ["NvqYIYSbgK2vCJpQhObf77vv+bQWtc5ek5RIOwPiC9A=".to_owned(), "df6ff72fe9116521268f6f2dd4966f51".repeat(2)];
    let roots = names::client_roots_secret("edge", "shop-cacert");
    let clients = Clients {
        required: true,
        roots: &roots,
        names: &["client.example".to_owned()],
        spki_hashes: &hashes[..1],
        certificate_hashes: &hashes[1..],
    };
    let suites = ["ECDHE-ECDSA-AES128-GCM-SHA256".to_owned()];
    let mutual = Edge { clients: Some(clients), maximum: Version::Tls12, cipher_suites: &suites, ..simple.clone() };
    let sockets = [("shop.example", simple.build()), ("*.shop.example", mutual.build())];
    let chains = normalizations.into_iter().zip(sockets).map(|(normalization, (host, socket))| FilterChain {
        transport_socket: Some(socket),
        ..chain(
            host,
            ChainMatch::TlsWithSni(vec![host.into()]),
            vec![hcm(Position::Gateway, normalization, Routes::Discovered("gateway|443".into())).build()],
        )
    });
    let listener = Listener {
        name: "gateway|443".into(),
        address: "127.0.0.2:443".parse().unwrap(),
        direction: Direction::Inbound,
        inspection: Inspection::Tls,
        filter_chains: chains.collect(),
    };
    let json = golden("listener-gateway", &listener.build());
    goldens::accepted("listener-gateway", &with_static("listeners", vec![json]));
}

#[test]
fn extensions() {
    for (name, extension) in [
        ("extension-http", authz().http_extension("meshwright.authz/http")),
        ("extension-network", authz().network_extension("meshwright.authz/tcp")),
    ] {
        let json = golden(name, &extension);
        let proxy = TcpProxy {
            stat_prefix: "x".into(),
            clusters: vec![(names::XDS_CLUSTER.into(), 1)],
            access_log: vec![],
            connect: Connect::AtOnce,
        };
        let empty = route_configuration("empty", &[]);
        let filters = if name == "extension-http" {
            vec![hcm(Position::Inbound, PathNormalization::Base, Routes::Inline(Box::new(empty))).build()]
        } else {
            vec![filter::discovered_network("meshwright.authz/tcp"), proxy.build()]
        };
        let listener = Listener {
            name: "inbound".into(),
            address: "127.0.0.2:8080".parse().unwrap(),
            direction: Direction::Inbound,
            inspection: Inspection::None,
            filter_chains: vec![chain("", ChainMatch::Any, filters)],
        };
        let mut listener = json_of(&listener.build());
        goldens::inline_extensions(&mut listener, std::slice::from_ref(&json));
        assert!(!listener.to_string().contains("config_discovery"), "{listener}");
        goldens::accepted(name, &with_static("listeners", vec![listener]));
    }
}

fn cluster(name: &str) -> Cluster {
    Cluster {
        name: name.into(),
        discovery: Discovery::Eds,
        tls: UpstreamTls::None,
        http: Some(HttpOptions::of(HttpVersion::Http1)),
        connect_timeout: Duration::from_secs(10),
        load_balancer: LoadBalancer::LeastRequest,
        circuit_breakers: CircuitBreakers::default(),
        outlier_detection: None,
        tcp_keepalive: None,
    }
}

fn endpoint(host: &str, zone: &str, mutual_tls: bool) -> Endpoint {
    let locality = EndpointLocality { region: "eu".into(), zone: zone.into(), sub_zone: String::new() };
    Endpoint { locality, host: host.into(), port: 8080, weight: 1, mutual_tls }
}

#[test]
fn clusters() {
    let sni = "outbound_.8080_._.catalog.books.svc";
    let mutual = || tls::upstream_mutual(&[id("catalog"), id("catalog-v2")], sni, &[names::MESH_ALPN, "http/1.1"]);
    let outside = UpstreamSimple { sni: "api.example", roots: Roots::System, dns_names: &["api.example".to_owned()], alpn: &["h2"] };
    let unverified = UpstreamSimple { roots: Roots::Unverified, dns_names: &[], ..outside.clone() };
    let app = load_assignment("app", &[Endpoint { locality: EndpointLocality::default(), ..endpoint("127.0.0.1", "", false) }]);
    let named = load_assignment("named", &[Endpoint { locality: EndpointLocality::default(), ..endpoint("api.example", "", false) }]);
    let http = |version| Some(HttpOptions::of(version));
    let shapes = [
        ("cluster-eds-auto-mtls", Cluster { tls: UpstreamTls::WhereOffered(mutual()), ..cluster("outbound|8080||catalog.books.svc") }),
        ("cluster-eds-mtls-always", Cluster { tls: UpstreamTls::Always(mutual()), http: http(HttpVersion::Http2), ..cluster("always") }),
        (
            "cluster-no-identity",
            Cluster { tls: UpstreamTls::Always(tls::upstream_mutual(&[], sni, &[names::MESH_ALPN])), http: None, ..cluster("nobody") },
        ),
        ("cluster-tls-simple", Cluster { tls: UpstreamTls::Always(outside.build()), ..cluster("outside") }),
        ("cluster-tls-unverified", Cluster { tls: UpstreamTls::Always(unverified.build()), ..cluster("unverified") }),
        ("cluster-static", Cluster { discovery: Discovery::Static(app), http: http(HttpVersion::AsDownstream), ..cluster("app") }),
        ("cluster-dns", Cluster { discovery: Discovery::StrictDns(named), ..cluster("named") }),
        ("cluster-nowhere", Cluster { discovery: Discovery::Nowhere, ..cluster("nowhere") }),
        ("cluster-requested-host", Cluster { discovery: Discovery::RequestedHost, ..cluster("requested-host") }),
        (
            "cluster-limits",
            Cluster {
                http: Some(HttpOptions {
                    version: HttpVersion::Http2,
                    idle_timeout: Some(Duration::from_secs(90)),
                    max_requests_per_connection: Some(100),
                    max_concurrent_streams: Some(50),
                }),
                load_balancer: LoadBalancer::RingHash { minimum_ring_size: 2048 },
                circuit_breakers: CircuitBreakers {
                    max_connections: Some(10),
                    max_pending_requests: Some(20),
                    max_requests: Some(30),
                    max_retries: Some(0),
                },
                outlier_detection: Some(OutlierDetection {
                    consecutive_5xx: 5,
                    consecutive_gateway_errors: 0,
                    consecutive_local_origin_failures: Some(7),
                    interval: Duration::from_secs(10),
                    base_ejection_time: Duration::from_millis(30_500),
                    max_ejection_percent: 10,
                    min_health_percent: 50,
                }),
                tcp_keepalive: Some(TcpKeepalive { probes: Some(3), time: Some(Duration::from_secs(60)), interval: None }),
                ..cluster("limits")
            },
        ),
        ("cluster-maglev", Cluster { load_balancer: LoadBalancer::Maglev { table_size: 65537 }, ..cluster("maglev") }),
        ("cluster-random", Cluster { load_balancer: LoadBalancer::Random, ..cluster("random") }),
        ("cluster-round-robin", Cluster { load_balancer: LoadBalancer::RoundRobin, ..cluster("round-robin") }),
    ];
    let json: Vec<Value> = shapes.iter().map(|(name, cluster)| golden(name, &cluster.build())).collect();
    goldens::accepted("clusters", &with_static("clusters", json));
}

#[test]
fn endpoints() {
    let all = [endpoint("127.0.0.3", "b", true), endpoint("127.0.0.2", "a", true), endpoint("::1", "a", false)];
    let message = load_assignment("endpoints", &all);
    let reversed: Vec<Endpoint> = all.iter().rev().cloned().collect();
    assert_eq!(message.encode_to_vec(), load_assignment("endpoints", &reversed).encode_to_vec());
    let mut host = json_of(&Cluster { discovery: Discovery::Nowhere, ..cluster("endpoints") }.build());
    host["load_assignment"] = golden("endpoints", &message);
    goldens::accepted("endpoints", &with_static("clusters", vec![host]));
}

#[test]
fn secrets() {
    let (certificate, key) = (include_str!("support/certificate.pem"), include_str!("support/key.pem"));
    let json = vec![
        golden("secret-trust-bundle", &secret::trust_bundle(names::TRUST_BUNDLE_SECRET, certificate)),
        golden("secret-certificate", &secret::certificate(&names::credential_secret("edge", "shop"), certificate, key)),
    ];
    goldens::accepted("secrets", &with_static("secrets", json));
}
