//! The least that a sidecar can join: a real authority and identity service, and ADS with one listener for everybody.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::envoy::extensions::filters::network::direct_response::v3::Config as DirectResponse;
use envoy_types::pb::google::protobuf::Any;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use meshwright_ca::{
    Authority, IdentityOptions, Module, ModuleProvider, PeerCertificates, TokenStore, identity_service, server_tls_config,
};
use meshwright_identity::{SpiffeId, TrustDomain};
use meshwright_xds::{AdsService, Node, Resource, ResourceType, Snapshot, SnapshotSource, StreamEvent};
use prost::{Message as _, Name as _};
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;
use tower::ServiceExt as _;

/// The shortest life that the authority gives a certificate: renewed after five seconds.
pub(crate) const SHORTEST_LIFE: Duration = Duration::from_secs(10);
const MODULE: &[u8] = b"\0asm\x01\0\0\0 no more than its bytes matter here";

/// What comes when the module is fetched by the digest that was announced.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Modules {
    Right,
    Altered,
    Truncated,
}

impl ModuleProvider for Modules {
    fn current(&self) -> Module {
        let sha256 = Sha256::digest(MODULE).iter().map(|byte| format!("{byte:02x}")).collect();
        Module { sha256, bytes: Bytes::from_static(MODULE) }
    }

    fn by_sha256(&self, _sha256: &str) -> Option<Module> {
        let mut bytes = MODULE.to_vec();
        match self {
            Self::Right => {}
            Self::Altered => bytes.reverse(),
            Self::Truncated => bytes.truncate(20),
        }
        Some(Module { bytes: bytes.into(), ..self.current() })
    }
}

pub(crate) struct ControlPlane {
    pub(crate) address: SocketAddr,
    /// Where every proxy is told to listen.
    pub(crate) outbound: SocketAddr,
    source: Arc<Source>,
    tokens: TokenStore,
    authority: Arc<Authority>,
    away: Arc<Away>,
}

/// New connections are closed as they come, and counted.
#[derive(Default)]
struct Away {
    away: AtomicBool,
    turned: AtomicUsize,
}

struct Source {
    snapshot: watch::Sender<Arc<Snapshot>>,
    trust_domain: TrustDomain,
    peers: Mutex<Vec<String>>,
}

impl SnapshotSource for Source {
    async fn subscribe(&self, _node: Node, peer: tonic::Extensions) -> Result<watch::Receiver<Arc<Snapshot>>, tonic::Status> {
        let certificates = peer.get::<PeerCertificates>().unwrap();
        let identity = certificates.identity(&self.trust_domain, SystemTime::now());
        let identity = identity.map_err(|error| tonic::Status::unauthenticated(error.to_string()))?;
        self.peers.lock().unwrap().push(identity.to_string());
        Ok(self.snapshot.subscribe())
    }

    fn observe(&self, _event: StreamEvent) {}
}

impl ControlPlane {
    pub(crate) async fn start(folder: &Path, modules: Modules, certificate_ttl: Duration) -> Self {
        let (data, now) = (folder.join("data"), SystemTime::now());
        let trust_domain = TrustDomain::parse("shop.local").unwrap();
        let authority = Arc::new(Authority::open(&data, &trust_domain, "mesh", now).unwrap());
        let (tls, _certificate) = server_tls_config(&authority, now).unwrap();
        let options = IdentityOptions::new(certificate_ttl, Arc::new(SystemTime::now));
        let identity = identity_service(Arc::clone(&authority), TokenStore::open(&data).unwrap(), modules, options);
        let outbound = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let snapshot = Arc::new(Snapshot::build(vec![outbound_listener(outbound)]).unwrap());
        let source = Arc::new(Source { snapshot: watch::Sender::new(snapshot), trust_domain, peers: Mutex::default() });
        let routes = Routes::new(identity).add_service(AdsService::new(Arc::clone(&source)));
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let away = Arc::new(Away::default());
        let turning = Arc::clone(&away);
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                if turning.away.load(Ordering::SeqCst) {
                    turning.turned.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                tokio::spawn(connection(stream, acceptor.clone(), routes.clone()));
            }
        });
        Self { address, outbound, source, tokens: TokenStore::open(&data).unwrap(), authority, away }
    }

    /// A fresh join token for a service account of the namespace `shop`.
    pub(crate) fn token(&self, service_account: &str) -> String {
        let identity = SpiffeId::for_service_account(self.authority.trust_domain(), "shop", service_account).unwrap();
        let token = self.tokens.create(&identity, TokenStore::DEFAULT_TTL, SystemTime::now(), self.authority.root_fingerprint());
        token.unwrap().reveal().to_owned()
    }

    pub(crate) fn away(&self, away: bool) {
        self.away.away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn turned_away(&self) -> usize {
        self.away.turned.load(Ordering::SeqCst)
    }

    /// The identities that came to ADS.
    pub(crate) fn peers(&self) -> Vec<String> {
        self.source.peers.lock().unwrap().clone()
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, routes: Routes) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let peer = PeerCertificates(stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec());
    let service = routes.prepare().map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer.clone());
        request.map(tonic::body::Body::new)
    });
    let _closed = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await;
}

/// Answers every connection the same, and closes it.
fn outbound_listener(address: SocketAddr) -> Resource {
    let text = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned();
    let response = core::DataSource { specifier: Some(core::data_source::Specifier::InlineString(text)), ..Default::default() };
    let direct = DirectResponse { response: Some(response) };
    let config = Any { type_url: DirectResponse::type_url(), value: direct.encode_to_vec() };
    let filter = listener::Filter { name: "direct".to_owned(), config_type: Some(listener::filter::ConfigType::TypedConfig(config)) };
    let socket_address = core::SocketAddress {
        address: address.ip().to_string(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(address.port().into())),
        ..Default::default()
    };
    let message = listener::Listener {
        name: "outbound".to_owned(),
        address: Some(core::Address { address: Some(core::address::Address::SocketAddress(socket_address)) }),
        filter_chains: vec![listener::FilterChain { filters: vec![filter], ..Default::default() }],
        ..Default::default()
    };
    Resource::new(ResourceType::Listener, "outbound", message.encode_to_vec().into(), Vec::new())
}
