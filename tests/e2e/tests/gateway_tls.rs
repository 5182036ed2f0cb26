//! A gateway's TLS as clients from outside find it: each mode with each kind of client certificate, what SNI hits and misses, and certificates
//! that are replaced under load, in documents and in files, by good ones and by bad ones.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use meshwright_e2e::certificates::{Authority, Issued, Life, secret};
use meshwright_e2e::edge::{EdgeClient, Offer, Outcome, backend};
use meshwright_e2e::file;
use meshwright_e2e::pair::{self, HOST, HTTP, Pair};
use meshwright_e2e::stats::{envoy, stat};
use meshwright_test_support as support;
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

const PORT: u16 = 8443;
const BACKEND: u16 = 8444;
const TIMEOUT: Duration = Duration::from_secs(20);
const OK: Outcome = Outcome::Status(200);
const REFUSED: Outcome = Outcome::Refused;
/// What the backend of TLS that passes through answers.
const PASSED: Outcome = Outcome::Status(299);
/// A name that only the mesh may give.
const SPIFFE: &str = "spiffe://test.local/ns/test/sa/client";

/// The authorities and what they have issued.
struct World {
    servers: Authority,
    clients: Authority,
    server: Issued,
    good: Issued,
    /// By another authority, with the same name.
    wrong: Issued,
    ended: Issued,
}

const SERVED: &[&str] = &["simple.example", "*.wild.example", "mutual.example", "optional.example", "named.example", "hashed.example"];
const MORE: &[&str] = &["new.example", "old.example", "files.example", "secret.deep.wild.example"];

impl World {
    fn new() -> anyhow::Result<Self> {
        let (servers, clients) = (Authority::new("servers")?, Authority::new("clients")?);
        let names = ["client.example", SPIFFE];
        Ok(Self {
            server: servers.issue(&[SERVED, MORE].concat(), Life::Good)?,
            good: clients.issue(&names, Life::Good)?,
            wrong: Authority::new("clients")?.issue(&names, Life::Good)?,
            ended: clients.issue(&names, Life::Ended)?,
            servers,
            clients,
        })
    }

    fn client(&self, mesh: &Pair, identity: Option<&Issued>, offer: Offer) -> anyhow::Result<EdgeClient> {
        EdgeClient::new(mesh.network.at(2, PORT), &[self.servers.root()], identity, offer)
    }

    /// What happens without a certificate, with a good one, one of another authority and one that has ended.
    async fn matrix(&self, mesh: &Pair, host: &str) -> anyhow::Result<[Outcome; 4]> {
        let ask = async |identity: Option<&Issued>| self.client(mesh, identity, Offer::All)?.ask(host).await;
        Ok([ask(None).await?, ask(Some(&self.good)).await?, ask(Some(&self.wrong)).await?, ask(Some(&self.ended)).await?])
    }

    /// The Secret `edge`, with what its clients are verified against, and `clients`, which has nothing else.
    fn secrets(&self) -> String {
        let of_edge = [("tls.crt", self.server.chain.as_str()), ("tls.key", &self.server.key), ("ca.crt", self.clients.root())];
        let plain = [("cert", self.server.chain.as_str()), ("key", &self.server.key)];
        [
            secret("edge", "kubernetes.io/tls", &of_edge),
            secret("plain", "Opaque", &plain),
            secret("plain-cacert", "Opaque", &[("cacert", self.clients.root())]),
            secret("clients", "Opaque", &[("ca.crt", self.clients.root())]),
        ]
        .concat()
    }

    fn fingerprint(&self) -> String {
        let der = CertificateDer::from_pem_slice(self.good.chain.as_bytes()).unwrap();
        digest(&SHA256, &der).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A server of the Gateway; `tls` as it is written in braces.
fn server(name: &str, hosts: &str, tls: &str) -> String {
    format!("  - port: {{number: {PORT}, name: {name}, protocol: HTTPS}}\n    hosts: [{hosts}]\n    tls: {{{tls}}}\n")
}

/// The Gateway of the client's proxy, and what routes everything to the server.
fn gateway(servers: &[String]) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: test}}\nspec:\n  selector: {{app: client}}\n  \
         servers:\n{}---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: edge, namespace: test}}\nspec:\n  \
         hosts: ['*']\n  gateways: [edge]\n  http:\n  - route: [{{destination: {{host: {HOST}, port: {{number: {HTTP}}}}}}}]\n---\n",
        servers.concat()
    )
}

fn put(folder: &Path, issued: &Issued) -> anyhow::Result<()> {
    for (name, text) in [("tls.crt", &issued.chain), ("tls.key", &issued.key)] {
        file::put(folder, name, text)?;
    }
    Ok(())
}

/// What passes through, and a name of it that nothing routes; policy about peers that have a name of the mesh.
fn beside(network: meshwright_demo::bookshop::Network) -> String {
    let backend = network.at(3, BACKEND);
    format!(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: backend, namespace: test}}
spec:
  hosts: [backend.example]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: {BACKEND}, name: tls, protocol: TLS}}]
  endpoints: [{{address: {}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: passed, namespace: test}}
spec:
  hosts: [pass.example, pass.deep.wild.example]
  gateways: [edge]
  tls:
  - match: [{{sniHosts: [pass.example, pass.deep.wild.example]}}]
    route: [{{destination: {{host: backend.example}}}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: peers, namespace: test, annotations: {{meshwright.io/accept-widening: \"true\"}}}}
spec:
  selector: {{matchLabels: {{app: client}}}}
  action: DENY
  rules:
  - from: [{{source: {{principals: ['*']}}}}]
  - from: [{{source: {{notPrincipals: ['*']}}}}]
    to: [{{operation: {{paths: [/nameless], ports: ['{PORT}']}}}}]
    when: [{{key: connection.sni, notValues: [pass.example, pass.deep.wild.example]}}]
---
",
        backend.ip()
    )
}

/// One server for each mode and each way to name its files and what it asks of clients.
fn servers(world: &World, in_files: &str) -> [String; 9] {
    [
        server("simple", "simple.example, '*.wild.example'", "mode: SIMPLE, credentialName: edge"),
        server("mutual", "mutual.example, '*.deep.wild.example'", "mode: MUTUAL, credentialName: edge"),
        server("optional", "optional.example", "mode: OPTIONAL_MUTUAL, credentialName: plain"),
        server(
            "named",
            "named.example",
            "mode: MUTUAL, credentialName: plain, caCertCredentialName: clients, subjectAltNames: [other.example]",
        ),
        server(
            "hashed",
            "hashed.example",
            &format!("mode: MUTUAL, credentialName: edge, verifyCertificateHash: [{}]", world.fingerprint()),
        ),
        server("new", "new.example", "mode: SIMPLE, credentialName: edge, minProtocolVersion: TLSV1_3"),
        server("old", "old.example", "mode: SIMPLE, credentialName: edge, maxProtocolVersion: TLSV1_2"),
        server("files", "files.example", &format!("mode: MUTUAL, {in_files}")),
        server("passed", "pass.example, pass.deep.wild.example, nowhere.wild.example", "mode: PASSTHROUGH"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_takes_the_clients_that_it_says() -> anyhow::Result<()> {
    let (folder, environment) = support::environment()?;
    let network = support::network();
    let world = World::new()?;
    let files = folder.path().join("edge");
    std::fs::create_dir(&files)?;
    put(&files, &world.server)?;
    std::fs::write(files.join("ca.crt"), world.clients.root())?;
    let path = |name: &str| files.join(name).to_string_lossy().into_owned();
    let servers = servers(
        &world,
        &format!("serverCertificate: {}, privateKey: {}, caCertificates: {}", path("tls.crt"), path("tls.key"), path("ca.crt")),
    );
    let more = [gateway(&servers), world.secrets(), beside(network)].concat();
    let behind = world.servers.issue(&["pass.example", "pass.deep.wild.example"], Life::Good)?;
    let backend = backend(network.at(3, BACKEND), &behind).await?;
    let mesh = Pair::start(environment, network, &pair::documents(network, "", &more)).await?;

    assert_eq!(world.matrix(&mesh, "simple.example").await?, [OK, OK, OK, OK], "nobody is asked");
    assert_eq!(world.matrix(&mesh, "mutual.example").await?, [REFUSED, OK, REFUSED, REFUSED]);
    assert_eq!(world.matrix(&mesh, "optional.example").await?, [OK, OK, REFUSED, REFUSED]);
    assert_eq!(world.matrix(&mesh, "named.example").await?, [REFUSED, REFUSED, REFUSED, REFUSED], "another name is asked for");
    assert_eq!(world.matrix(&mesh, "hashed.example").await?, [REFUSED, OK, REFUSED, REFUSED]);
    assert_eq!(world.matrix(&mesh, "files.example").await?, [REFUSED, OK, REFUSED, REFUSED]);
    // The certificate that the client sees is the backend's: this one asks for none.
    assert_eq!(world.matrix(&mesh, "pass.example").await?, [PASSED, PASSED, PASSED, PASSED]);
    let another = world.clients.issue(&["other.example"], Life::Good)?;
    assert_eq!(world.client(&mesh, Some(&another), Offer::All)?.ask("named.example").await?, OK);
    assert_eq!(world.client(&mesh, Some(&another), Offer::All)?.ask("hashed.example").await?, REFUSED);

    let client = world.client(&mesh, None, Offer::All)?;
    for (sni, found) in [
        ("any.wild.example", OK),
        ("unknown.example", REFUSED),
        ("wild.example", REFUSED),
        ("secret.deep.wild.example", REFUSED),
        ("pass.deep.wild.example", PASSED),
        ("nowhere.wild.example", REFUSED),
    ] {
        assert_eq!(client.ask(sni).await?, found, "{sni}");
    }
    // Who names one server in TLS does not reach what another asks more of its clients for.
    for host in ["secret.deep.wild.example", "pass.deep.wild.example", "nowhere.wild.example"] {
        assert_eq!(client.get("any.wild.example", host, "/").await?, Outcome::Status(421), "{host}");
    }
    assert_eq!(client.get("any.wild.example", "mutual.example", "/").await?, Outcome::Status(404));
    let known = world.client(&mesh, Some(&world.good), Offer::All)?;
    assert_eq!(known.get("secret.deep.wild.example", "secret.deep.wild.example", "/").await?, OK);
    // The certificate has a name of the mesh in it, which its authority cannot give.
    assert_eq!(known.get("mutual.example", "mutual.example", "/nameless").await?, Outcome::Status(403));

    for (offer, new, old) in [(Offer::Tls12, REFUSED, OK), (Offer::Tls13, OK, REFUSED)] {
        let client = world.client(&mesh, None, offer)?;
        assert_eq!([client.ask("new.example").await?, client.ask("old.example").await?], [new, old], "{offer:?}");
    }
    backend.abort();
    mesh.stop().await
}

/// New handshakes, one after the other, until it is told to stop; how many failed.
async fn load(client: EdgeClient, host: &'static str, stop: Arc<AtomicBool>, made: Arc<AtomicUsize>) -> anyhow::Result<usize> {
    let mut failed = 0;
    while !stop.load(Ordering::SeqCst) {
        failed += usize::from(client.ask(host).await? != OK);
        made.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(failed)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let waited = async {
        while !holds().await? {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(TIMEOUT, waited).await.map_err(|_| anyhow::anyhow!("in time not: {what}"))?
}

/// Two in turns, in documents: enforced means that every handshake from now on has it.
async fn good_ones_are_shown(mesh: &Pair, [renewed, before]: [&str; 2], [new, old]: [&EdgeClient; 2]) -> anyhow::Result<()> {
    for _ in 0..3 {
        mesh.edit(renewed).await?;
        until("the new certificate is shown", async || Ok(new.ask("simple.example").await? == OK)).await?;
        assert_eq!(old.ask("simple.example").await?, REFUSED);
        mesh.edit(before).await?;
        until("the old certificate is shown", async || Ok(old.ask("simple.example").await? == OK)).await?;
        assert_eq!(new.ask("simple.example").await?, REFUSED);
    }
    Ok(())
}

/// In documents: each is quarantined with its reason, and the certificate from before is shown.
async fn bad_ones_replace_none(
    mesh: &Pair,
    world: &World,
    renewed: &Issued,
    [old, new]: [&EdgeClient; 2],
    documents: &impl Fn((&str, &str), &str) -> String,
) -> anyhow::Result<()> {
    let ended = world.servers.issue(SERVED, Life::Ended)?;
    for (chain, key, why) in [
        (renewed.chain.as_str(), world.server.key.as_str(), "is not the key of the first certificate"),
        (&ended.chain, &ended.key, "the certificate ended at 2021-01-01"),
        ("nothing", &world.server.key, "holds no PEM certificate"),
    ] {
        meshwright_e2e::configure(&mesh.environment, &documents((chain, key), world.clients.root()))?;
        until(why, async || Ok(mesh.control_plane.status().await?["quarantined"].to_string().contains(why))).await?;
        let status = mesh.control_plane.status().await?;
        assert_eq!(status["quarantined"][0]["last_good"], true, "{status}");
        assert_eq!([old.ask("simple.example").await?, new.ask("simple.example").await?], [OK, REFUSED], "{why}");
        mesh.edit(&documents((&world.server.chain, &world.server.key), world.clients.root())).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_certificates_fail_no_request_and_bad_ones_replace_none() -> anyhow::Result<()> {
    let (folder, environment) = support::environment()?;
    let network = support::network();
    let world = World::new()?;
    let files = folder.path().join("edge");
    std::fs::create_dir(&files)?;
    put(&files, &world.server)?;
    let path = |name: &str| files.join(name).to_string_lossy().into_owned();
    let servers = [
        server("simple", "simple.example", "mode: SIMPLE, credentialName: edge"),
        server("mutual", "mutual.example", "mode: MUTUAL, credentialName: edge, caCertCredentialName: clients"),
        server("files", "files.example", &format!("mode: SIMPLE, serverCertificate: {}, privateKey: {}", path("tls.crt"), path("tls.key"))),
    ];
    let documents = |server: (&str, &str), clients: &str| {
        let secrets = [
            secret("edge", "kubernetes.io/tls", &[("tls.crt", server.0), ("tls.key", server.1)]),
            secret("clients", "Opaque", &[("ca.crt", clients)]),
        ];
        pair::documents(network, "", &[gateway(&servers), secrets.concat()].concat())
    };
    let of = |issued: &Issued, clients: &Authority| documents((&issued.chain, &issued.key), clients.root());
    let mesh = Pair::start(environment, network, &of(&world.server, &world.clients)).await?;
    let next = Authority::new("next")?;
    let renewed = next.issue(&[SERVED, MORE].concat(), Life::Good)?;
    let roots = [world.servers.root(), next.root()];
    let address = network.at(2, PORT);
    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut traffic = Vec::new();
    for (host, identity) in [("simple.example", None), ("files.example", None), ("mutual.example", Some(&world.good))] {
        let client = EdgeClient::new(address, &roots, identity, Offer::All)?;
        traffic.push(tokio::spawn(load(client, host, Arc::clone(&stop), Arc::clone(&made))));
    }
    let trusts = |authority: &Authority| EdgeClient::new(address, &[authority.root()], None, Offer::All);
    let (old, new) = (trusts(&world.servers)?, trusts(&next)?);
    let state_dir = mesh.environment.state_dir("client");

    good_ones_are_shown(&mesh, [&of(&renewed, &world.clients), &of(&world.server, &world.clients)], [&new, &old]).await?;
    // In files.
    put(&files, &renewed)?;
    until("the new file is shown", async || Ok(new.ask("files.example").await? == OK)).await?;

    bad_ones_replace_none(&mesh, &world, &renewed, [&old, &new], &documents).await?;
    // In a file: the key is that of another certificate.
    let failed = stat(&state_dir, "key_rotation_failed").await?;
    put(&files, &Issued { chain: world.server.chain.clone(), key: renewed.key.clone() })?;
    until("the proxy has refused the file", async || Ok(stat(&state_dir, "key_rotation_failed").await? > failed)).await?;
    assert_eq!([old.ask("files.example").await?, new.ask("files.example").await?], [REFUSED, OK]);

    stop.store(true, Ordering::SeqCst);
    for task in traffic {
        assert_eq!(task.await??, 0, "of {made:?} requests");
    }
    assert!(made.load(Ordering::SeqCst) > 30, "{made:?}");

    // Whom clients must be from.
    mesh.edit(&of(&world.server, &next)).await?;
    let theirs = next.issue(&["client.example"], Life::Good)?;
    let known = world.client(&mesh, Some(&theirs), Offer::All)?;
    until("the new authority counts", async || Ok(known.ask("mutual.example").await? == OK)).await?;
    assert_eq!(world.client(&mesh, Some(&world.good), Offer::All)?.ask("mutual.example").await?, REFUSED);

    assert_eq!(stat(&state_dir, "total_listeners_draining").await?, 0);
    assert_eq!(stat(&state_dir, "total_filter_chains_draining").await?, 0);
    no_key_is_shown(&mesh, &state_dir).await?;
    mesh.stop().await
}

/// Not by Envoy, not by the control plane, and in no file but those that they came in.
async fn no_key_is_shown(mesh: &Pair, state_dir: &Path) -> anyhow::Result<()> {
    let dump = envoy(state_dir, "/config_dump").await?;
    assert!(dump.contains("credential/test/edge") && !dump.contains("PRIVATE KEY"));
    let admin = format!("http://{}", mesh.control_plane.admin());
    let client = reqwest::Client::builder().no_proxy().build()?;
    for path in ["/v1/status", "/v1/proxies/test/client/config", "/v1/proxies/test/client"] {
        let text = client.get(format!("{admin}{path}")).send().await?.error_for_status()?.text().await?;
        assert!(!text.contains("PRIVATE KEY"), "{path}");
    }
    let found = meshwright_e2e::contained_below(&mesh.environment.data_dir(), "PRIVATE KEY")?;
    assert!(found.iter().all(|path| path.contains("/ca/")), "{found:?}");
    assert_eq!(meshwright_e2e::contained_below(state_dir, "PRIVATE KEY")?, [""; 0]);
    Ok(())
}
