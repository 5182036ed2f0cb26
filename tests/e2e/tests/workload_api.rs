//! The SPIFFE Workload API, asked by the `spiffe` crate's client: an app gets its certificate and bundle from the sidecar, follows rotations,
//! and is who it is to the other workloads; who does not ask as the specification says, or is another user, gets nothing.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use meshwright_e2e::cases::WHO;
use meshwright_e2e::key_search::{files, no_key_is_elsewhere};
use meshwright_e2e::pair::{self, HTTP, Pair, Sidecars, TCP};
use meshwright_e2e::secrets::{Secret, ec_secret};
use meshwright_e2e::spiffe_app::{App, endpoint, raw_call};
use meshwright_test_support as support;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use spiffe::{WorkloadApiClient, WorkloadApiError};
use tonic::Code;

/// The shortest: renewed every five seconds.
const TTL: u64 = 10;
const ROTATED: Duration = Duration::from_secs(60);
const ROLLOVER: Duration = Duration::from_secs(240);
const CLIENT: &str = "spiffe://test.local/ns/test/sa/client";
const SERVER: &str = "spiffe://test.local/ns/test/sa/server";
const CALLS: [&str; 5] = ["FetchX509SVID", "FetchX509Bundles", "FetchJWTSVID", "FetchJWTBundles", "ValidateJWTSVID"];
const STRICT: &str = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: all, namespace: test}\nspec:\n  mtls: {mode: STRICT}\n---\n";

fn served_at(socket: &Path, more: &[&str]) -> Vec<String> {
    let socket = socket.to_string_lossy();
    ["--workload-api", &socket].iter().chain(more).map(|&word| word.to_owned()).collect()
}

fn mode(path: &Path) -> anyhow::Result<u32> {
    Ok(std::os::unix::fs::MetadataExt::mode(&path.metadata()?) & 0o777)
}

/// The client's app may ask; for the server's the user of this test is another one.
async fn mesh(environment: meshwright_demo::launcher::Environment, documents: &str) -> anyhow::Result<(Pair, PathBuf, PathBuf)> {
    let (own, others) = (environment.folder.join("api/client.sock"), environment.folder.join("api2/server.sock"));
    let another = nix::unistd::geteuid().as_raw().wrapping_add(4242).to_string();
    let sidecars = Sidecars { server: served_at(&others, &["--workload-api-uid", &another]), client: served_at(&own, &[]) };
    let network = support::network();
    let documents = pair::documents(network, "", documents);
    Ok((Pair::start_with_sidecars(environment, network, &documents, TTL, sidecars).await?, own, others))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_gets_its_identity_and_is_known_by_it() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let (mesh, socket, _) = mesh(environment, &format!("{STRICT}{WHO}")).await?;
    assert_eq!((mode(&socket)?, mode(socket.parent().context("it has a folder")?)? & 0o027), (0o660, 0));
    let app = App::start(&socket).await?;
    assert_eq!(app.source.svid()?.spiffe_id().to_string(), CLIENT);
    let root = std::fs::read(mesh.environment.data_dir().join("ca/root.pem"))?;
    let root = CertificateDer::pem_slice_iter(&root).next().context("a certificate")??;
    assert_eq!(app.roots("test.local")?, [root.to_vec()]);
    assert_eq!(app.source.bundle_set()?.len(), 1, "no other trust domain");
    // The same identity as the proxy's, and the same certificate.
    let shown = mesh.environment.command(&["cert", "show", "--state-dir", &mesh.environment.state_dir("client").to_string_lossy()]).await?;
    assert!(shown.contains(&format!("leaf {CLIENT}")), "{shown}");

    let (http, tcp) = (mesh.server_port(HTTP), mesh.server_port(TCP));
    let mut updates = app.source.updated();
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let svid = app.source.svid()?;
        assert!(seen.insert((svid.leaf().as_bytes().to_vec(), svid.private_key().as_bytes().to_vec())), "another certificate and key");
        assert_eq!(app.get(http, SERVER, "/named").await?, 200, "policy sees the principal");
        assert_eq!(app.get(http, SERVER, "/nameless").await?, 403);
        assert_eq!(app.exchange(tcp, SERVER, "hello\n", "\n").await?, "server: hello\n");
        let other = app.get(http, "spiffe://test.local/ns/test/sa/client", "/named").await;
        assert!(other.is_err_and(|error| error.to_string().contains("the server is")), "only the server is the server");
        tokio::time::timeout(ROTATED, updates.changed()).await.context("no rotation")??;
    }
    app.source.shutdown().await;
    mesh.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_otherwise_or_is_another_user_gets_nothing() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let (mesh, socket, others) = mesh(environment, "").await?;
    for call in CALLS {
        for header in [None, Some("false"), Some("TRUE"), Some("")] {
            assert_eq!(raw_call(&socket, call, header).await?, Code::InvalidArgument, "{call} {header:?}");
        }
        // This mesh has no tokens, and says so.
        let expected = if call.contains("X509") { Code::Ok } else { Code::Unimplemented };
        assert_eq!(raw_call(&socket, call, Some("true")).await?, expected, "{call}");
        assert_eq!(raw_call(&others, call, Some("true")).await?, Code::PermissionDenied, "{call}");
    }
    let client = WorkloadApiClient::connect_to(endpoint(&others)).await?;
    assert!(matches!(client.fetch_x509_svid().await, Err(WorkloadApiError::NoIdentityIssued)));
    assert!(matches!(client.fetch_x509_bundles().await, Err(WorkloadApiError::NoIdentityIssued)));
    let client = WorkloadApiClient::connect_to(endpoint(&socket)).await?;
    assert_eq!(client.fetch_x509_svid().await?.spiffe_id().to_string(), CLIENT);
    assert_eq!(client.fetch_x509_bundles().await?.len(), 1);
    mesh.stop().await
}

/// Connections of mutual TLS, one after the other; how many, and the keys that the app was given meanwhile. None fails.
async fn connect_itself(app: App, to: SocketAddr, stop: Arc<AtomicBool>) -> anyhow::Result<(App, usize, Vec<Secret>)> {
    let (mut made, mut failures, mut keys, mut given) = (0_usize, Vec::new(), Vec::new(), Vec::new());
    while !stop.load(Ordering::SeqCst) {
        let key = app.source.svid()?.private_key().as_bytes().to_vec();
        if given.last() != Some(&key) {
            let secret = Secret::of(&ec_secret(&key)?);
            assert_eq!(secret.in_text(&key), Some("raw"), "what is looked for can be found");
            keys.push(secret);
            given.push(key);
        }
        made += 1;
        failures.extend(app.exchange(to, "spiffe://test.local/ns/test/sa/server", "hello\n", "server: hello\n").await.err());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(failures.is_empty(), "of {made}: {failures:?}");
    Ok((app, made, keys))
}

/// Waits until the app believes the root of now and no other.
async fn app_trusts_only(app: &App, authority: &Path) -> anyhow::Result<()> {
    let is_root = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("root"));
    let roots: Vec<PathBuf> = files(authority)?.into_iter().filter(is_root).collect();
    let [root] = roots.as_slice() else { anyhow::bail!("{roots:?} is not one root") };
    let root = CertificateDer::from_pem_file(root)?.to_vec();
    let mut updates = app.source.updated();
    let alone = async {
        while app.roots("test.local")? != [root.as_slice()] {
            updates.changed().await?;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(30), alone).await.context("the app still believes the old root")?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_follows_a_rollover_and_its_keys_are_nowhere_else() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let (mesh, socket, _) = mesh(environment, STRICT).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let app = tokio::spawn(connect_itself(App::start(&socket).await?, mesh.server_port(TCP), Arc::clone(&stop)));
    let admin = format!("http://{}", mesh.control_plane.admin());
    let data = mesh.environment.data_dir();
    mesh.environment.command(&["ca", "rotate", "--data-dir", &data.to_string_lossy()]).await?;
    let rollover = async {
        let mut under_way = false;
        loop {
            let status = mesh.environment.command(&["ca", "status", "--admin", &admin, "--output", "json"]).await?;
            let status: serde_json::Value = serde_json::from_str(&status)?;
            let stable = status.get("phase").and_then(serde_json::Value::as_str) == Some("stable");
            // Until the control plane has seen it, it is still stable.
            if under_way && stable {
                return anyhow::Ok(());
            }
            under_way |= !stable;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(ROLLOVER, rollover).await.context("the rollover does not end")??;
    stop.store(true, Ordering::SeqCst);
    let (app, made, given) = app.await??;
    assert!(made > 50 && given.len() >= 4, "{made} connections with {} certificates", given.len());
    app_trusts_only(&app, &data.join("ca")).await?;
    no_key_is_elsewhere(&mesh, &given).await?;
    mesh.stop().await
}
