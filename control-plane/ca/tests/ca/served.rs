use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use meshwright_ca::client::{self, Credentials};
use meshwright_ca::{
    AuditLog, Authority, AuthorityOptions, Clock, DenyList, IdentityOptions, JoinToken, Module, Observed, PeerCertificates,
    ServerCertificate, TokenStore,
};
use meshwright_ca::{JwtIssuer, Rate, Rates, UnknownKeys, create_join_token, identity_service, key_service, server_tls_config};
use meshwright_identity::SpiffeId;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::support::{HOUR, mesh_with};

/// Whose JWTs are proof; the keys are those that a test writes into `issuer.json` of the data directory.
pub(crate) const ISSUER: &str = "https://kubernetes.example";
pub(crate) const AUDIENCE: &str = "meshwright/shop.example";

/// A TLS connection that hands its peer's certificates to every request on it.
struct Accepted(TlsStream<TcpStream>);

impl Connected for Accepted {
    type ConnectInfo = PeerCertificates;
    fn connect_info(&self) -> PeerCertificates {
        PeerCertificates(self.0.get_ref().1.peer_certificates().unwrap_or_default().to_vec())
    }
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, buffer)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Issuer and key of each report.
#[derive(Clone, Default)]
pub(crate) struct Reports(pub(crate) Arc<Mutex<Vec<(String, String)>>>);

impl UnknownKeys for Reports {
    fn unknown_key(&self, issuer: String, kid: String) {
        self.0.lock().unwrap().push((issuer, kid));
    }
}

/// The only entry of a deny list.
#[derive(Clone, Default)]
pub(crate) struct Denied(pub(crate) Arc<Mutex<String>>);

impl Denied {
    pub(crate) fn set(&self, entry: &str) {
        entry.clone_into(&mut self.0.lock().unwrap());
    }
}

/// One entry, an identity or a serial.
impl DenyList for Denied {
    fn denies(&self, identity: &SpiffeId, serial: Option<&str>) -> Option<String> {
        let entry = self.0.lock().unwrap();
        (*entry == identity.to_string() || Some(entry.as_str()) == serial).then(|| "listed".to_owned())
    }
}

/// A control plane's identity service on loopback; ends with the value.
pub(crate) struct Served {
    pub(crate) dir: TempDir,
    pub(crate) authority: Arc<Authority>,
    pub(crate) address: String,
    pub(crate) reports: Reports,
    pub(crate) denied: Denied,
    /// How far the server's clock is ahead of the real one.
    pub(crate) ahead: Arc<Mutex<Duration>>,
    certificate: Arc<ServerCertificate>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Served {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Served {
    pub(crate) fn token(&self, name: &str) -> JoinToken {
        create_join_token(self.dir.path(), "bookshop", name, HOUR, SystemTime::now()).unwrap()
    }

    /// What the control plane does about a rollover once a second; whether there was something.
    pub(crate) fn advance(&self, observed: &Observed) -> bool {
        let advanced = self.authority.advance(observed, SystemTime::now()).unwrap();
        self.certificate.renew_if_due(&self.authority, SystemTime::now()).unwrap();
        advanced
    }

    pub(crate) async fn joined(&self) -> Credentials {
        client::join(&self.address, &self.token("orders"), SystemTime::now()).await.unwrap()
    }
}

pub(crate) fn module(bytes: Vec<u8>) -> Module {
    let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Module { sha256, bytes: Bytes::from(bytes) }
}

pub(crate) async fn serve(module: Module) -> Served {
    serve_behind(module, Duration::ZERO).await
}

/// With a service (not TLS) whose clock is `behind` the real one.
pub(crate) async fn serve_behind(module: Module, behind: Duration) -> Served {
    serve_with(module, behind, AuthorityOptions::default()).await
}

/// With an authority that is kept so.
pub(crate) async fn serve_with(module: Module, behind: Duration, options: AuthorityOptions) -> Served {
    let (dir, authority) = mesh_with(options, SystemTime::now() - behind);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = Arc::new(authority);
    let address = listener.local_addr().unwrap().to_string();
    let (config, certificate) = server_tls_config(&authority, SystemTime::now()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (connections, incoming) = tokio::sync::mpsc::channel(16);
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // As the real server: an answer does not wait for the client's delayed acknowledgement.
            stream.set_nodelay(true).unwrap();
            let (accepting, connections) = (acceptor.accept(stream), connections.clone());
            tokio::spawn(async move {
                // A failed handshake is the client's to report; these tests look at what it says.
                if let Ok(stream) = accepting.await {
                    // Who serves has ended with the test.
                    _ = connections.send(Ok::<_, io::Error>(Accepted(stream))).await;
                }
            });
        }
    });
    let ahead = Arc::new(Mutex::new(Duration::ZERO));
    let server_ahead = Arc::clone(&ahead);
    let clock: Clock = Arc::new(move || SystemTime::now() - behind + *server_ahead.lock().unwrap());
    let tokens = TokenStore::open(dir.path()).unwrap();
    let jwt = JwtIssuer { issuer: ISSUER.to_owned(), audience: AUDIENCE.to_owned(), keys: dir.path().join("issuer.json") };
    let rates = Rates { each: Rate { per_second: 1, burst: 150 }, ..Rates::default() };
    let reports = Reports::default();
    let keys = key_service(Arc::clone(&authority), Arc::clone(&clock), reports.clone());
    let audit = Some(Arc::new(AuditLog::open(dir.path()).unwrap()));
    let denied = Denied::default();
    let options =
        IdentityOptions { denied: Some(Arc::new(denied.clone())), audit, jwt: Some(jwt), rates, ..IdentityOptions::new(HOUR, clock) };
    let service = identity_service(Arc::clone(&authority), tokens, module, options);
    let serving = tokio::spawn(async move {
        let incoming = tokio_stream::wrappers::ReceiverStream::new(incoming);
        tonic::transport::Server::builder().add_service(service).add_service(keys).serve_with_incoming(incoming).await.unwrap();
    });
    Served { dir, authority, address, reports, denied, ahead, certificate, tasks: [accepting, serving] }
}
