//! The listeners in front of the workload's app: one for each port that the sidecar has an app for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use meshwright_config::{Address, MtlsMode, PolicyPort, Protocol};
use meshwright_envoy_config::cluster::{Cluster, Discovery, HttpOptions, HttpVersion};
use meshwright_envoy_config::endpoint::{Endpoint, EndpointLocality, load_assignment};
use meshwright_envoy_config::ext_authz::ExtAuthz;
use meshwright_envoy_config::filter::{self, Peers};
use meshwright_envoy_config::hcm::{HttpConnectionManager, Position, Routes};
use meshwright_envoy_config::listener::{ChainMatch, Direction, FilterChain, Inspection, Listener};
use meshwright_envoy_config::names::MESH_ALPN;
use meshwright_envoy_config::pb::envoy::config::listener::v3::Filter;
use meshwright_envoy_config::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use meshwright_envoy_config::route::{Action, Forward, Headers, Route, RouteMatch, VirtualHost, route_configuration};
use meshwright_envoy_config::tcp::{Connect, TcpProxy};
use meshwright_envoy_config::tls::{self, San};
use meshwright_policy::wire;
use meshwright_xds::ResourceType;

use crate::TranslateError;
use crate::authorizers;
use crate::clusters::base_cluster;
use crate::names;
use crate::plugins::Plugins;
use crate::proxy::View;
use crate::resources::{Dependencies, Resources, needs_trust_bundle};

/// How long a client of a TCP port may be silent before it is taken for plaintext in a protocol in which the server speaks first.
const SILENCE: Duration = Duration::from_secs(5);

/// What is served on a port of the workload.
#[derive(Debug, Clone)]
struct Served {
    protocol: Protocol,
    /// The first by name, where several services have the port.
    host: String,
}

pub(crate) fn add(view: &View<'_>, plugins: &Plugins, taken: &BTreeSet<u16>, resources: &mut Resources) -> Result<(), TranslateError> {
    let served = served(view);
    for (&port, &app) in view.metadata.apps.iter().filter(|(port, _)| !taken.contains(port)) {
        let served = served.get(&port);
        resources.cluster(&app_cluster(port, app, served).build(), Dependencies::new());
        add_listener(view, plugins, port, served, resources)?;
    }
    Ok(())
}

/// The services that this workload is an instance of, by workload port.
fn served(view: &View<'_>) -> BTreeMap<u16, Served> {
    let mut served = BTreeMap::new();
    for inbound in view.state.inbound_ports(view.workload) {
        let host = inbound.service().hosts().first().map(ToString::to_string).unwrap_or_default();
        served.entry(inbound.number()).or_insert(Served { protocol: inbound.protocol(), host });
    }
    served
}

fn app_cluster(port: u16, app: SocketAddr, served: Option<&Served>) -> Cluster {
    let name = names::inbound_cluster(port);
    let endpoint =
        Endpoint { locality: EndpointLocality::default(), host: app.ip().to_string(), port: app.port(), weight: 1, mutual_tls: false };
    // What the app speaks, not what the caller does: TLS may have negotiated HTTP/2 in front of an app of HTTP/1.1.
    let http = served
        .filter(|served| served.protocol.is_http())
        .map(|served| HttpOptions::of(if served.protocol.is_http2() { HttpVersion::Http2 } else { HttpVersion::Http1 }));
    Cluster { discovery: Discovery::Static(load_assignment(&name, &[endpoint])), http, ..base_cluster(&name) }
}

fn add_listener(
    view: &View<'_>,
    plugins: &Plugins,
    port: u16,
    served: Option<&Served>,
    resources: &mut Resources,
) -> Result<(), TranslateError> {
    let http = served.is_some_and(|served| served.protocol.is_http());
    let host = served.map(|served| served.host.as_str());
    let mode = view.state.peer_authentication_mode(view.workload, port);
    let filters = if http { http_filters(view, plugins, port, host)? } else { tcp_filters(view, plugins, port, host)? };
    let policy = if http { names::HTTP_POLICY } else { names::TCP_POLICY };
    let mut dependencies = Dependencies::from([(ResourceType::ExtensionConfig, policy.to_owned())]);
    if http || mode != MtlsMode::Disable {
        dependencies.insert(needs_trust_bundle());
    }
    let listener = Listener {
        name: names::inbound_listener(port),
        address: SocketAddr::new(bind_address(view)?, port),
        direction: Direction::Inbound,
        inspection: match (mode, http) {
            (MtlsMode::Disable, false) => Inspection::None,
            (MtlsMode::Permissive, false) => Inspection::TlsOrSilent(SILENCE),
            (MtlsMode::Disable | MtlsMode::Permissive, true) | (MtlsMode::Strict, _) => Inspection::Tls,
        },
        filter_chains: chains(view, mode, http, &filters),
    };
    resources.listener(&listener.build(), dependencies);
    Ok(())
}

/// The workload's own address, where its proxy listens.
pub(crate) fn bind_address(view: &View<'_>) -> Result<IpAddr, TranslateError> {
    match view.workload.address() {
        Address::Ip(ip) => Ok(*ip),
        Address::Name(name) => Err(TranslateError::Address {
            namespace: view.namespace().to_owned(),
            name: view.workload.name().to_owned(),
            address: name.to_string(),
        }),
    }
}

/// Which connections are taken. Policy is in every chain: one without would be a hole.
fn chains(view: &View<'_>, mode: MtlsMode, http: bool, filters: &[Filter]) -> Vec<FilterChain> {
    let peers: Vec<San> = view.trust_domains().into_iter().map(San::In).collect();
    // A server never answers with the mesh's own protocol; it only tells a sidecar from another client.
    let alpn: &[&str] = if http { &["h2", "http/1.1"] } else { &[MESH_ALPN] };
    let chain = |name: &str, matches| FilterChain { name: name.to_owned(), matches, transport_socket: None, filters: filters.to_vec() };
    let named = |name, matches| FilterChain { transport_socket: Some(tls::downstream_mutual(&peers, alpn)), ..chain(name, matches) };
    let mutual = |matches| named("mutual-tls", matches);
    match mode {
        MtlsMode::Strict => vec![mutual(ChainMatch::Tls)],
        // A caller that has not heard of the mode yet, or has heard of the next one already, comes with mutual TLS and is not refused. Other
        // ports cannot have this: to look for TLS is to wait for the client, and there the server may speak first. The chain is another than
        // that of other modes, so that their connections end with the next answer and callers come back as the mode says.
        MtlsMode::Disable if http => {
            let early_or_late = named("mutual-tls-although-disabled", ChainMatch::TlsWithAlpn(MESH_ALPN.to_owned()));
            vec![early_or_late, chain("plaintext", ChainMatch::Any)]
        }
        MtlsMode::Disable => vec![chain("plaintext", ChainMatch::Any)],
        MtlsMode::Permissive => {
            let mut chains = vec![mutual(ChainMatch::TlsWithAlpn(MESH_ALPN.to_owned())), chain("plaintext", ChainMatch::Plaintext)];
            if !http {
                // TLS that is the app's own passes through as the bytes it is.
                chains.push(chain("tls-of-the-app", ChainMatch::Tls));
            }
            chains
        }
    }
}

fn http_filters(view: &View<'_>, plugins: &Plugins, port: u16, host: Option<&str>) -> Result<Vec<Filter>, TranslateError> {
    let route = Route {
        name: "default".to_owned(),
        matches: RouteMatch::any(),
        action: Action::Forward(Forward::to(&names::inbound_cluster(port))),
        headers: Headers::default(),
    };
    let name = format!("inbound|http|{port}");
    let every = VirtualHost { name: name.clone(), domains: vec!["*".to_owned()], routes: vec![route], https_only: false };
    let access_log = vec![plugins.access_log(wire::Direction::Inbound, wire::Protocol::Http, host)?];
    Ok(policed(view, Peers::OfMesh, |filters| HttpConnectionManager {
        stat_prefix: format!("inbound_{port}"),
        position: Position::Inbound,
        path_normalization: path_normalization(view),
        routes: Routes::Inline(Box::new(route_configuration(&name, &[every]))),
        filters,
        access_log,
    }))
}

fn tcp_filters(view: &View<'_>, plugins: &Plugins, port: u16, host: Option<&str>) -> Result<Vec<Filter>, TranslateError> {
    let proxy = TcpProxy {
        stat_prefix: format!("inbound_{port}"),
        clusters: vec![(names::inbound_cluster(port), 1)],
        access_log: vec![plugins.access_log(wire::Direction::Inbound, wire::Protocol::Tcp, host)?],
        connect: Connect::AfterHandshake,
    };
    Ok(policed_connections(view, view.state.policy_port(view.workload, port, false), Peers::OfMesh, proxy))
}

/// The filters of every listener that decides about connections.
pub(crate) fn policed_connections(view: &View<'_>, port: PolicyPort, peers: Peers, proxy: TcpProxy) -> Vec<Filter> {
    let authorizers = authorizers::of_connections(view, port);
    // Authorizers are asked at the client's first bytes: until then the app must not speak either.
    let connect = if authorizers.is_empty() { Connect::AfterHandshake } else { Connect::AfterFirstData };
    let mut filters =
        vec![filter::set_peer_state_of_connection(peers, &authorizers::names(&authorizers)), filter::discovered_network(names::TCP_POLICY)];
    filters.extend(authorizers.iter().flat_map(ExtAuthz::network_filters));
    filters.push(TcpProxy { connect, ..proxy }.build());
    filters
}

/// The filters of every listener that decides about requests; `manager` is given those of HTTP. External authorizers come last: they may
/// believe what the policy filter has verified, and are not asked about what it denies.
pub(crate) fn policed(view: &View<'_>, peers: Peers, manager: impl FnOnce(Vec<HttpFilter>) -> HttpConnectionManager) -> Vec<Filter> {
    let authorizers = authorizers::of_requests(view);
    let names_of_authorizers = authorizers::names(&authorizers);
    let mut of_connections = Vec::new();
    let mut of_requests = Vec::new();
    // Who the peer is does not change from request to request, and costs as much as a tenth of one to write down.
    if view.metadata.is_told_of_handshakes() {
        of_connections.push(filter::set_peer_state_of_connection(peers, &names_of_authorizers));
    } else {
        of_requests.push(filter::set_peer_state(peers, &names_of_authorizers));
    }
    of_requests.push(filter::discovered_http(names::HTTP_POLICY));
    of_requests.extend(authorizers.iter().map(ExtAuthz::http_filter));
    of_requests.push(filter::router());
    of_connections.push(manager(of_requests).build());
    of_connections
}

/// The mesh's setting, in Envoy's terms.
pub(crate) fn path_normalization(view: &View<'_>) -> meshwright_envoy_config::hcm::PathNormalization {
    use meshwright_config::PathNormalization as Wanted;
    use meshwright_envoy_config::hcm::PathNormalization;
    match view.mesh.path_normalization() {
        Wanted::None => PathNormalization::None,
        Wanted::Base => PathNormalization::Base,
        Wanted::MergeSlashes => PathNormalization::MergeSlashes,
        Wanted::DecodeAndMergeSlashes => PathNormalization::DecodeAndMergeSlashes,
    }
}
