//! Fetching over real connections, as `https_spiffe`: which server is asked, what is taken of its answers, what is kept.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use meshwright_bundle::TrustBundle;
use meshwright_config::{State, parse_file};
use meshwright_federation::{DomainReport, FederatedBundles, Federation};
use meshwright_identity::TrustDomain;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

const LONG: Duration = Duration::from_secs(30);
const SERVER: &str = "spiffe://b.example/server";

struct Root {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Root {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), issuer: Issuer::new(params, key) }
    }

    /// What a server shows that has this identity.
    fn acceptor(&self, identity: &str) -> TlsAcceptor {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(identity.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let chain = vec![params.signed_by(&key, &self.issuer).unwrap().der().clone()];
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Asked for again every second.
    fn json(&self, sequence: u64) -> String {
        self.bundle().numbered(sequence, Duration::from_secs(1)).to_json()
    }

    fn bundle(&self) -> TrustBundle {
        TrustBundle::new(&domain(), vec![self.certificate.der().clone()]).unwrap()
    }
}

fn domain() -> TrustDomain {
    TrustDomain::parse("b.example").unwrap()
}

/// An endpoint whose certificate and answer change while it runs.
struct Server {
    address: SocketAddr,
    shown: Arc<Mutex<(TlsAcceptor, String)>>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(acceptor: TlsAcceptor, body: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shown = Arc::new(Mutex::new((acceptor, body)));
        let now = Arc::clone(&shown);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, body) = now.lock().unwrap().clone();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.is_ok_and(|length| length > 0) {}
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                // A client that has read enough closes.
                let _closed = stream.write_all(answer.as_bytes()).await;
                let _closed = stream.shutdown().await;
            }
        });
        Self { address, shown, task }
    }

    fn shows(&self, acceptor: TlsAcceptor) {
        self.shown.lock().unwrap().0 = acceptor;
    }

    fn answers(&self, body: impl Into<String>) {
        self.shown.lock().unwrap().1 = body.into();
    }
}

fn state(server: SocketAddr, first: &Root) -> State {
    let mesh = json!({"apiVersion": "meshwright.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": "mesh"}, "spec": {
        "trustDomain": "a.example", "trustDomains": [{"name": "b.example", "bundleEndpointURL": format!("https://{server}/"),
            "bundleEndpointProfile": {"type": "https_spiffe", "endpointSPIFFEID": SERVER},
            "trustDomainBundle": first.certificate.pem()}]}});
    let documents = parse_file("a.yaml", &mesh.to_string()).into_iter().map(Result::unwrap).collect();
    let (state, errors) = State::assemble(documents);
    assert!(errors.is_empty(), "{errors:?}");
    state
}

/// Fetches until the value is dropped.
struct Running(FederatedBundles, JoinHandle<()>);

impl Running {
    fn start(data: &Path, state: &State) -> Self {
        let (federation, bundles) = Federation::open(data, state).unwrap();
        Self(bundles, tokio::spawn(federation.run()))
    }

    async fn when(&self, holds: impl Fn(&DomainReport) -> bool) -> DomainReport {
        let mut reports = self.0.reports();
        let found = tokio::time::timeout(LONG, async { reports.wait_for(|report| holds(&report[0])).await.unwrap()[0].clone() }).await;
        found.unwrap_or_else(|_| panic!("never: {:?}", self.0.report()))
    }

    async fn error(&self, part: &str) {
        self.when(|report| report.last_error.as_ref().is_some_and(|error| error.contains(part))).await;
    }

    fn bundle(&self) -> Option<TrustBundle> {
        self.0.bundles().borrow().get(&domain()).map(|fetched| fetched.bundle.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.1.abort();
    }
}

#[tokio::test]
async fn a_bundle_follows_its_domain_and_nobody_else() {
    let (data, old, new) = (tempfile::tempdir().unwrap(), Root::new("old"), Root::new("new"));
    let server = Server::start(new.acceptor(SERVER), new.json(5)).await;
    let state = state(server.address, &old);
    let running = Running::start(data.path(), &state);
    running.error("UnknownIssuer").await;
    server.shows(old.acceptor("spiffe://b.example/somebody"));
    running.error("its identity is `spiffe://b.example/somebody`").await;
    assert_eq!(running.bundle(), None, "the document's is in force, and nothing was fetched");

    let both = TrustBundle::new(&domain(), vec![old.certificate.der().clone(), new.certificate.der().clone()]).unwrap();
    server.answers(both.clone().numbered(7, Duration::from_secs(1)).to_json());
    server.shows(old.acceptor(SERVER));
    running.when(|report| report.sequence == Some(7)).await;
    assert!(running.bundle().unwrap().has_roots_of(&both));
    // Who is asked next is authenticated by what came last.
    server.shows(new.acceptor(SERVER));
    server.answers(new.json(8));
    running.when(|report| report.sequence == Some(8) && report.roots == 1).await;
    server.shows(old.acceptor(SERVER));
    running.error("UnknownIssuer").await;
    server.shows(new.acceptor(SERVER));

    for (answer, error) in [
        (r#"{"keys":[]}"#.to_owned(), "no root"),
        ("<html>".to_owned(), "it is not a SPIFFE bundle"),
        (new.certificate.pem(), "it is not a SPIFFE bundle"),
        (old.json(6), "an answer with sequence 6 is older than the one in hand with 8"),
    ] {
        server.answers(answer);
        running.error(error).await;
        assert!(running.bundle().unwrap().has_roots_of(&new.bundle()), "{error}");
    }

    server.task.abort();
    drop(running);
    let again = Running::start(data.path(), &state);
    assert!(again.bundle().unwrap().has_roots_of(&new.bundle()), "as it was kept, before anything is fetched");
    let failed = again.when(|report| report.failures > 0).await;
    assert_eq!((failed.roots, failed.sequence), (1, Some(8)));
}
