//! Certificates that live for seconds, and a whole rollover of the root, under connections that are each a new handshake of mutual TLS
//! between two real Envoys, or between an app that speaks SPIFFE itself and one: none fails, no listener drains, and no private key is
//! anywhere but where it belongs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use meshwright_e2e::pair::{self, Pair, Sidecars, TCP};
use meshwright_e2e::secrets::{Secret, ec_secret};
use meshwright_e2e::spiffe_app::App;
use meshwright_test_support as support;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// The shortest: renewed every five seconds.
const TTL: u64 = 10;
const ROLLOVER: Duration = Duration::from_secs(180);
const STRICT: &str =
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: all, namespace: test}\nspec:\n  mtls: {mode: STRICT}\n";

/// What an Envoy's admin interface answers.
async fn envoy(state_dir: &Path, path: &str) -> anyhow::Result<String> {
    let mut stream = UnixStream::connect(state_dir.join("admin.sock")).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The sum of all counters whose name ends so.
async fn stat(state_dir: &Path, end: &str) -> anyhow::Result<u64> {
    let text = envoy(state_dir, "/stats").await?;
    let values = text.lines().filter_map(|line| line.split_once(": ")).filter(|(name, _)| name.ends_with(end));
    Ok(values.filter_map(|(_, value)| value.trim().parse::<u64>().ok()).sum())
}

async fn ca_status(mesh: &Pair) -> anyhow::Result<Value> {
    let admin = format!("http://{}", mesh.control_plane.admin());
    Ok(serde_json::from_str(&mesh.environment.command(&["ca", "status", "--admin", &admin, "--output", "json"]).await?)?)
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Every connection is a handshake; how many were made, how many failed.
async fn connect(to: std::net::SocketAddr, stop: Arc<AtomicBool>, made: Arc<AtomicUsize>) -> anyhow::Result<usize> {
    let mut failed = 0;
    while !stop.load(Ordering::SeqCst) {
        let answer = pair::line(to, "hello").await?;
        failed += usize::from(answer.as_deref() != Some("server: hello"));
        made.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(failed)
}

/// The same of an app that speaks SPIFFE; also, the keys that it was given.
async fn connect_itself(app: App, to: std::net::SocketAddr, stop: Arc<AtomicBool>) -> anyhow::Result<(App, usize, Vec<Secret>)> {
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

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Nothing that is written, logged or answered has a private key in it, but the authority's own files. `given`: keys of the workload that
/// its app was given; they are looked for in every form.
async fn no_key_is_elsewhere(mesh: &Pair, given: &[Secret]) -> anyhow::Result<()> {
    let found = |text: &[u8]| given.iter().find_map(|secret| secret.in_text(text));
    let folder = &mesh.environment.folder;
    let mut keys = 0;
    for path in files(folder)? {
        let bytes = std::fs::read(&path)?;
        let holds = String::from_utf8_lossy(&bytes).contains("PRIVATE KEY");
        let authority = path.parent() == Some(&mesh.environment.data_dir().join("ca")) && path.extension().is_some_and(|e| e == "pem");
        assert_eq!(holds, authority, "{}", path.display());
        assert_eq!(found(&bytes), None, "{}", path.display());
        keys += usize::from(holds);
    }
    assert_eq!(keys, 2, "root and intermediate");
    for name in ["server", "client"] {
        for path in ["/config_dump?include_eds", "/certs", "/clusters", "/server_info", "/stats"] {
            let dump = envoy(&mesh.environment.state_dir(name), path).await?;
            assert!(!dump.contains("PRIVATE KEY") && found(dump.as_bytes()).is_none(), "{name} {path}");
            assert!(dump.contains("BEGIN CERTIFICATE") == path.starts_with("/config_dump"), "{name} {path}");
        }
    }
    let admin = format!("http://{}", mesh.control_plane.admin());
    let status = mesh.environment.command(&["status", "--admin", &admin, "--output", "json"]).await?;
    assert!(status.contains("rollover"));
    let client = reqwest::Client::builder().no_proxy().build()?;
    for path in ["/v1/status", "/v1/proxies/test/client", "/v1/proxies/test/client/config", "/metrics"] {
        let text = client.get(format!("{admin}{path}")).send().await?.error_for_status()?.text().await?;
        assert!(!text.contains("PRIVATE KEY") && found(text.as_bytes()).is_none(), "{path}");
    }
    // What any user of the machine may read of processes, and what their children inherit.
    for process in std::fs::read_dir("/proc")? {
        let process = process?.path();
        for file in ["cmdline", "environ"] {
            let text = std::fs::read(process.join(file)).unwrap_or_default();
            assert_eq!(found(&text), None, "{file}");
        }
    }
    Ok(())
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

/// What `cert verify` says of a workload: whether a peer would accept it, and the answer.
async fn verify(mesh: &Pair, name: &str, more: &[&str]) -> anyhow::Result<(bool, String)> {
    let dir = mesh.environment.state_dir(name).to_string_lossy().into_owned();
    let mut words = vec!["cert", "verify", "--state-dir", &dir];
    words.extend(more);
    match mesh.environment.command(&words).await {
        Ok(text) => Ok((true, text)),
        Err(error) => Ok((false, error.to_string())),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_and_a_rollover_fail_no_handshake() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let socket = environment.folder.join("api/client.sock");
    let client = ["--workload-api", &socket.to_string_lossy()].map(str::to_owned).to_vec();
    let sidecars = Sidecars { client, ..Sidecars::default() };
    let mesh = Pair::start_with_sidecars(environment, network, &pair::documents(network, "", STRICT), TTL, sidecars).await?;
    let data = mesh.environment.data_dir().to_string_lossy().into_owned();
    let old_root = mesh.environment.data_dir().join("ca/root.pem");
    let old_bundle = mesh.environment.folder.join("old-bundle.pem");
    let certificate = std::fs::read_to_string(old_root)?;
    std::fs::write(&old_bundle, certificate.split_inclusive("-----END CERTIFICATE-----\n").next().context("a certificate")?)?;
    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let traffic = tokio::spawn(connect(mesh.tcp(), Arc::clone(&stop), Arc::clone(&made)));
    let app = tokio::spawn(connect_itself(App::start(&socket).await?, mesh.server_port(TCP), Arc::clone(&stop)));

    let before = ca_status(&mesh).await?;
    assert_eq!(at(&before, "/phase"), "stable");
    mesh.environment.command(&["ca", "rotate", "--data-dir", &data]).await?;
    let again = mesh.environment.command(&["ca", "rotate", "--data-dir", &data]).await;
    assert!(again.is_err_and(|error| error.to_string().contains("a rollover is under way")));
    let mut phases = Vec::new();
    let rollover = async {
        while phases.last().map(String::as_str) != Some("stable") {
            let phase = at(&ca_status(&mesh).await?, "/phase").to_owned();
            // Until the control plane has seen it, it is still stable.
            if phases.last() != Some(&phase) && !(phases.is_empty() && phase == "stable") {
                phases.push(phase);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(ROLLOVER, rollover).await.context("the rollover does not end")??;
    stop.store(true, Ordering::SeqCst);
    let failed = traffic.await??;
    let (app, made_itself, given) = app.await??;
    // A phase that takes a second may be missed by looking.
    phases.retain(|phase| phase != "retire");
    assert_eq!(phases, ["publish", "sign", "stable"]);
    let after = ca_status(&mesh).await?;
    assert_ne!(at(&before, "/roots/0/fingerprint"), at(&after, "/roots/0/fingerprint"));
    let status = mesh.control_plane.status().await?;
    assert_eq!(at(&status, "/root_fingerprint"), at(&after, "/roots/0/fingerprint"), "status shows the new root");
    assert_eq!(failed, 0, "of {} handshakes", made.load(Ordering::SeqCst));
    assert!(made.load(Ordering::SeqCst) > 200, "{made:?}");

    for name in ["server", "client"] {
        let dir = mesh.environment.state_dir(name);
        assert_eq!(stat(&dir, "total_listeners_draining").await?, 0, "{name}");
        assert_eq!(stat(&dir, "ssl.fail_verify_error").await? + stat(&dir, "ssl.fail_verify_san").await?, 0, "{name}");
        assert!(stat(&dir, "sds.workload.update_success").await? >= 4, "{name} was rotated");
        assert_eq!(stat(&dir, "sds.workload.update_rejected").await?, 0, "{name}");
        let (accepted, text) = verify(&mesh, name, &[]).await?;
        assert!(accepted && text.contains(&format!("leaf spiffe://test.local/ns/test/sa/{name}")), "{text}");
    }
    let (accepted, text) = verify(&mesh, "server", &["--bundle", &old_bundle.to_string_lossy()]).await?;
    assert!(!accepted && text.contains("no root of the trust bundle signed its chain"), "{text}");
    assert!(made_itself > 50 && given.len() >= 4, "{made_itself} connections with {} certificates", given.len());
    app_trusts_only(&app, &mesh.environment.data_dir().join("ca")).await?;
    no_key_is_elsewhere(&mesh, &given).await?;
    let audit = std::fs::read_to_string(mesh.environment.data_dir().join("audit.log"))?;
    for line in audit.lines() {
        let record: Value = serde_json::from_str(line)?;
        assert_eq!(at(&record, "/event"), "issued", "{line}");
    }
    assert!(audit.lines().count() >= 8, "{audit}");
    mesh.stop().await
}
