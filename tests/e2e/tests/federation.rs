//! Two meshes with a trust domain each. A workload of one is a caller of the other as soon as that knows its trust domain's bundle, and by
//! policy alone; a root of one makes no identity of the other, whoever is asked; and a rollover of the root reaches the other mesh through
//! the bundle endpoint before the first certificate of the new root does.
#![expect(clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use meshwright_demo::bookshop::Network;
use meshwright_demo::client::Client;
use meshwright_demo::launcher::{ControlPlane, ControlPlaneSpec, Environment, Workload, WorkloadSpec};
use meshwright_e2e::pair::line;
use meshwright_e2e::{any_ports, configure};
use meshwright_test_support as support;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The shortest: a rollover then ends within half a minute.
const TTL: u64 = 10;
const SETTLED: Duration = Duration::from_secs(60);
const ROLLOVER: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(100);
const HTTP: u16 = 8080;
const TCP: u16 = 9000;
const OUTBOUND: u16 = 15_001;
const SERVER: &str = "spiffe://b.test/ns/test/sa/server";
const CALLER: &str = "spiffe://a.test/ns/test/sa/client";

/// A root with its key, as the control plane keeps it: what an operator of that mesh could sign with.
struct Root(String);

impl Root {
    fn of(environment: &Environment) -> anyhow::Result<Self> {
        Ok(Self(std::fs::read_to_string(environment.data_dir().join("ca/root.pem"))?))
    }

    fn certificate(&self) -> anyhow::Result<&str> {
        self.section("CERTIFICATE")
    }

    fn section(&self, label: &str) -> anyhow::Result<&str> {
        let (start, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----\n"));
        let rest = self.0.find(&start).and_then(|start| self.0.get(start..)).with_context(|| format!("no {label}"))?;
        rest.split_inclusive(&end).next().with_context(|| format!("no {label}"))
    }

    /// A certificate for any identity at all, good in every way but for who signed it.
    fn signs(&self, identity: &str) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivatePkcs8KeyDer<'static>)> {
        let issuer = Issuer::from_ca_cert_pem(self.certificate()?, KeyPair::from_pem(self.section("PRIVATE KEY")?)?)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(identity.try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &issuer)?;
        Ok((vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der())))
    }
}

/// Whoever answers will do: it is the client that is on trial.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ECDSA_NISTP384_SHA384, SignatureScheme::RSA_PSS_SHA256]
    }
}

/// What the server's proxy answers to a line from a client that shows this certificate; none: the handshake or the connection was refused.
async fn line_as(to: SocketAddr, root: &Root, identity: &str) -> anyhow::Result<Option<String>> {
    let (chain, key) = root.signs(identity)?;
    let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(AnyServer));
    let config = config.with_client_auth_cert(chain, key.into())?;
    let exchange = async {
        let stream = TcpStream::connect(to).await?;
        // With TLS 1.3 a client learns of its refusal only when it reads.
        let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("b.test")?, stream).await else {
            return anyhow::Ok(None);
        };
        if stream.write_all(b"hello\n").await.is_err() {
            return Ok(None);
        }
        let mut answer = vec![0; 64];
        let length = stream.read(&mut answer).await.unwrap_or_default();
        answer.truncate(length);
        Ok((length > 0).then(|| String::from_utf8_lossy(&answer).trim_end().to_owned()))
    };
    tokio::time::timeout(SETTLED, exchange).await.context("neither an answer nor a refusal")?
}

/// Answers each line as the real server does, under this certificate.
async fn impostor(at: SocketAddr, root: &Root) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let (chain, key) = root.signs(SERVER)?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key.into())?;
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind(at).await?);
    Ok(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut asked = [0; 64];
            if stream.read(&mut asked).await.is_ok_and(|length| length > 0) {
                let _closed = stream.write_all(b"server: hello\n").await;
            }
        }
    }))
}

fn mesh(domain: &str, foreign: &Value) -> String {
    json!({"apiVersion": "meshwright.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": "mesh"},
        "spec": {"trustDomain": domain, "trustDomains": foreign}})
    .to_string()
}

fn service(name: &str, names: &[&str]) -> String {
    json!({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": name, "namespace": "test"}, "spec": {
        "hosts": [format!("{name}.b.mesh")], "location": "MESH_INTERNAL", "resolution": "STATIC", "subjectAltNames": names,
        "ports": [{"number": HTTP, "name": "http", "protocol": "HTTP"}, {"number": TCP, "name": "tcp", "protocol": "TCP"}],
        "workloadSelector": {"labels": {"app": name}}}})
    .to_string()
}

fn workload(name: &str, address: SocketAddr) -> String {
    json!({"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": {"name": name, "namespace": "test"}, "spec": {
        "address": address.ip(), "serviceAccount": name, "labels": {"app": name}}})
    .to_string()
}

/// STRICT; the caller of the other mesh may have `/open` and lines, a workload of this one `/closed`.
fn policies() -> String {
    let peer = json!({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "all", "namespace": "test"},
        "spec": {"mtls": {"mode": "STRICT"}}});
    let from = |principal: &str| json!([{"source": {"principals": [principal]}}]);
    let (caller, own) = (from("a.test/ns/test/sa/client"), from("b.test/ns/test/sa/client"));
    let rules = json!([
        {"from": caller.clone(), "to": [{"operation": {"paths": ["/open"], "ports": [HTTP.to_string()]}}]},
        {"from": caller, "to": [{"operation": {"ports": [TCP.to_string()]}}]},
        {"from": own, "to": [{"operation": {"paths": ["/closed"], "ports": [HTTP.to_string()]}}]},
    ]);
    let allow = json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "who", "namespace": "test"},
        "spec": {"action": "ALLOW", "rules": rules}});
    format!("{peer}\n---\n{allow}")
}

/// Both meshes.
struct Meshes {
    a: (Environment, ControlPlane, Network),
    b: (Environment, ControlPlane, Network),
    client: Workload,
    server: Workload,
}

impl Meshes {
    fn a_documents(a: Network, b: Network, foreign: &Value) -> String {
        // `impostor` is at an address of this mesh and shows the identity of the other's server.
        let names = [SERVER];
        let own = [workload("client", a.at(2, 0)), workload("server", b.at(1, 0)), workload("impostor", a.at(3, 0))];
        [mesh("a.test", foreign), service("server", &names), service("impostor", &names)]
            .into_iter()
            .chain(own)
            .collect::<Vec<_>>()
            .join("\n---\n")
    }

    fn b_documents(b: Network, foreign: &Value) -> String {
        [mesh("b.test", foreign), service("server", &[]), workload("server", b.at(1, 0)), policies()].join("\n---\n")
    }

    /// Neither knows the other's trust domain yet, but what `a` must know to call at all.
    async fn start(a: (Environment, Network), b: (Environment, Network)) -> anyhow::Result<Self> {
        let ((a, a_network), (b, b_network)) = (a, b);
        configure(&b, &Self::b_documents(b_network, &json!([])))?;
        let b_plane = ControlPlane::start(&b, any_ports()).await?;
        let known = json!([{"name": "b.test", "trustDomainBundle": Root::of(&b)?.certificate()?}]);
        configure(&a, &Self::a_documents(a_network, b_network, &known))?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let spec = ControlPlaneSpec { certificate_ttl: Some(TTL), bundle_endpoint: Some(any), ..any_ports() };
        let a_plane = ControlPlane::start(&a, spec).await?;
        let (app, lines) = (b_network.at(1, 9_080), b_network.at(1, 9_081));
        let echo = ["--name", "server", "--listen", &app.to_string(), "--tcp", &lines.to_string()].map(str::to_owned).to_vec();
        let server = WorkloadSpec {
            namespace: "test".to_owned(),
            name: "server".to_owned(),
            service_account: "server".to_owned(),
            outbound: b_network.at(1, OUTBOUND),
            apps: vec![(HTTP, app), (TCP, lines)],
            tcp: Vec::new(),
            echo: Some(echo),
            extra: Vec::new(),
        };
        let tcp = [("server", 15_100), ("impostor", 15_101)].map(|(name, port)| (format!("{name}.b.mesh:{TCP}"), a_network.at(2, port)));
        let client = WorkloadSpec {
            name: "client".to_owned(),
            service_account: "client".to_owned(),
            outbound: a_network.at(2, OUTBOUND),
            apps: Vec::new(),
            tcp: tcp.to_vec(),
            echo: None,
            ..server.clone()
        };
        let (client, server) = tokio::try_join!(Workload::start(&a, a_plane.xds(), client), Workload::start(&b, b_plane.xds(), server))?;
        Ok(Self { a: (a, a_plane, a_network), b: (b, b_plane, b_network), client, server })
    }

    async fn get(&self, path: &str) -> anyhow::Result<Option<u16>> {
        let calls = Client::behind(self.a.2.at(2, OUTBOUND))?;
        Ok(calls.get(&format!("http://server.b.mesh:{HTTP}{path}")).await?.status())
    }

    /// A new connection, and so a handshake, from the client's app to the server's.
    async fn line(&self) -> anyhow::Result<Option<String>> {
        line(self.a.2.at(2, 15_100), "hello").await
    }

    /// What `b` knows of `a`, once `holds` is true of it.
    async fn known(&self, what: &str, holds: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let waiting = async {
            loop {
                let known = self.b.1.status().await?["trust_domains"][0].clone();
                if holds(&known) {
                    return anyhow::Ok(known);
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(SETTLED, waiting).await.with_context(|| format!("never: {what}"))?
    }

    async fn edit_b(&self, foreign: &Value) -> anyhow::Result<()> {
        let (environment, plane, network) = &self.b;
        let revision = plane.revision().await?;
        configure(environment, &Self::b_documents(*network, foreign))?;
        plane.enforced(revision.saturating_add(1), SETTLED).await?;
        let status = plane.status().await?;
        anyhow::ensure!(status["quarantined"].as_array().is_some_and(Vec::is_empty), "{status}");
        Ok(())
    }

    async fn rolled_over(&self) -> anyhow::Result<()> {
        let (environment, plane, _) = &self.a;
        let (data, admin) = (environment.data_dir().to_string_lossy().into_owned(), format!("http://{}", plane.admin()));
        environment.command(&["ca", "rotate", "--data-dir", &data]).await?;
        environment.command(&["ca", "rotate", "--data-dir", &data, "--confirm"]).await?;
        let mut waited = false;
        let rollover = async {
            loop {
                let status: Value =
                    serde_json::from_str(&environment.command(&["ca", "status", "--admin", &admin, "--output", "json"]).await?)?;
                waited |= status["blockers"].to_string().contains("other trust domains may not have fetched the bundle");
                // Until the control plane has seen it, it is still stable.
                if waited && status["phase"] == "stable" {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(ROLLOVER, rollover).await.with_context(|| format!("the rollover does not end; waited for others: {waited}"))?
    }
}

/// Every connection is a handshake; how many were made and failed.
async fn connect(to: SocketAddr, stop: Arc<AtomicBool>, made: Arc<AtomicUsize>) -> anyhow::Result<usize> {
    let mut failed = 0;
    while !stop.load(Ordering::SeqCst) {
        failed += usize::from(line(to, "hello").await?.as_deref() != Some("server: hello"));
        made.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(failed)
}

/// Towards a server or towards a client.
async fn nobodys_root_makes_anothers_identity(meshes: &Meshes, a_root: &Root, b_root: &Root) -> anyhow::Result<()> {
    let (server, hello) = (meshes.b.2.at(1, TCP), Some("server: hello".to_owned()));
    assert_eq!(line_as(server, a_root, CALLER).await?, hello);
    for (root, identity) in [(a_root, "spiffe://b.test/ns/test/sa/client"), (b_root, CALLER), (a_root, "spiffe://c.test/ns/test/sa/client")]
    {
        assert_eq!(line_as(server, root, identity).await?, None, "{identity}");
    }
    let (at, local) = (meshes.a.2.at(3, TCP), meshes.a.2.at(2, 15_101));
    let good = impostor(at, b_root).await?;
    assert_eq!(line(local, "hello").await?, hello, "with b's own root");
    good.abort();
    assert!(good.await.is_err_and(|error| error.is_cancelled()));
    let forged = impostor(at, a_root).await?;
    assert_eq!(line(local, "hello").await?, None, "with a's root");
    forged.abort();
    Ok(())
}

/// The document still has the old root; what was fetched is on disk.
async fn a_restart_begins_with_what_was_fetched(meshes: Meshes, endpoint: SocketAddr, sequence: &Value) -> anyhow::Result<()> {
    let Meshes { a: (_, a_plane, _), b: (environment, b_plane, _), client, server } = meshes;
    tokio::try_join!(client.into_process().stop(), a_plane.into_process().stop())?;
    let ports = ControlPlaneSpec { xds: b_plane.xds(), admin: b_plane.admin(), ..any_ports() };
    b_plane.into_process().stop().await?;
    let b_plane = ControlPlane::start(&environment, ports).await?;
    let kept = b_plane.status().await?["trust_domains"][0].clone();
    assert_eq!((&kept["sequence"], &kept["roots"]), (sequence, &json!(1)));
    let shown = environment.command(&["status", "--admin", &format!("http://{}", b_plane.admin())]).await?;
    assert!(shown.contains(&format!("trust domain a.test: 1 roots from https://{endpoint}/, fetched 20")), "{shown}");
    tokio::try_join!(server.into_process().stop(), b_plane.into_process().stop())?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trust_domains_know_each_other_and_vouch_for_themselves_alone() -> anyhow::Result<()> {
    let ((_a_folder, a), (_b_folder, b)) = (support::environment()?, support::environment()?);
    let meshes = Meshes::start((a, support::network()), (b, support::network())).await?;
    let hello = Some("server: hello".to_owned());
    let (a_root, b_root) = (Root::of(&meshes.a.0)?, Root::of(&meshes.b.0)?);
    let server = meshes.b.2.at(1, TCP);
    assert_eq!((meshes.line().await?, meshes.get("/open").await?), (None, Some(503)), "b has no bundle of a");

    let endpoint = meshes.a.1.bundle_endpoint().context("a bundle endpoint")?;
    let profile = |id: &str| json!({"type": "https_spiffe", "endpointSPIFFEID": id});
    let declared = |id: &str| {
        let url = format!("https://{endpoint}/");
        anyhow::Ok(
            json!([{"name": "a.test", "trustDomainBundle": a_root.certificate()?, "bundleEndpointURL": url, "bundleEndpointProfile": profile(id)}]),
        )
    };
    meshes.edit_b(&declared("spiffe://a.test/ns/other/sa/somebody")?).await?;
    let known = meshes.known("the server is not whom the document names", |known| known["failures"].as_u64() > Some(0)).await?;
    assert!(
        known["last_error"].as_str().is_some_and(|error| error.contains("meshwright-control-plane")) && known["sequence"].is_null(),
        "{known}"
    );
    let federated = declared("spiffe://a.test/ns/istio-system/sa/meshwright-control-plane")?;
    meshes.edit_b(&federated).await?;
    let known = meshes.known("fetched", |known| known["sequence"].is_u64()).await?;
    assert_eq!(known["roots"], 1);
    assert_eq!(meshes.line().await?, hello);
    assert_eq!((meshes.get("/open").await?, meshes.get("/closed").await?), (Some(200), Some(403)), "by policy");

    nobodys_root_makes_anothers_identity(&meshes, &a_root, &b_root).await?;

    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let traffic = tokio::spawn(connect(meshes.a.2.at(2, 15_100), Arc::clone(&stop), Arc::clone(&made)));
    meshes.rolled_over().await?;
    let after =
        meshes.known("the old root is gone", |now| now["roots"] == 1 && now["sequence"].as_u64() > known["sequence"].as_u64()).await?;
    stop.store(true, Ordering::SeqCst);
    assert_eq!(traffic.await??, 0, "of {} handshakes", made.load(Ordering::SeqCst));
    assert!(made.load(Ordering::SeqCst) > 100, "{made:?}");
    let refused = async {
        while line_as(server, &a_root, CALLER).await?.is_some() {
            tokio::time::sleep(POLL).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(SETTLED, refused).await.context("the old root is still believed")??;

    a_restart_begins_with_what_was_fetched(meshes, endpoint, &after["sequence"]).await
}
