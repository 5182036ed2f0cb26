//! Certificates that live for seconds, and a whole rollover of the root, under connections that are each a new handshake of mutual TLS
//! between two real Envoys: none fails, no listener drains, and no private key is anywhere but where it belongs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use meshwright_e2e::pair::{self, Pair};
use meshwright_e2e::stats::{envoy, stat};
use meshwright_test_support as support;
use serde_json::Value;

/// The shortest: renewed every five seconds.
const TTL: u64 = 10;
const ROLLOVER: Duration = Duration::from_secs(180);
const STRICT: &str =
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: all, namespace: test}\nspec:\n  mtls: {mode: STRICT}\n";

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

/// Nothing that is written, logged or answered has a private key in it, but the authority's own files.
async fn no_key_is_elsewhere(mesh: &Pair) -> anyhow::Result<()> {
    let folder = &mesh.environment.folder;
    let mut keys = 0;
    for path in files(folder)? {
        let bytes = std::fs::read(&path)?;
        let holds = String::from_utf8_lossy(&bytes).contains("PRIVATE KEY");
        let authority = path.parent() == Some(&mesh.environment.data_dir().join("ca")) && path.extension().is_some_and(|e| e == "pem");
        assert_eq!(holds, authority, "{}", path.display());
        keys += usize::from(holds);
    }
    assert_eq!(keys, 2, "root and intermediate");
    for name in ["server", "client"] {
        let dump = envoy(&mesh.environment.state_dir(name), "/config_dump?include_eds").await?;
        assert!(dump.contains("BEGIN CERTIFICATE") && !dump.contains("PRIVATE KEY"), "{name}");
    }
    let admin = format!("http://{}", mesh.control_plane.admin());
    let status = mesh.environment.command(&["status", "--admin", &admin, "--output", "json"]).await?;
    assert!(status.contains("rollover") && !status.contains("PRIVATE KEY"));
    Ok(())
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
    let mesh = Pair::start_with_ttl(environment, network, &pair::documents(network, "", STRICT), TTL).await?;
    let data = mesh.environment.data_dir().to_string_lossy().into_owned();
    let old_root = mesh.environment.data_dir().join("ca/root.pem");
    let old_bundle = mesh.environment.folder.join("old-bundle.pem");
    let certificate = std::fs::read_to_string(old_root)?;
    std::fs::write(&old_bundle, certificate.split_inclusive("-----END CERTIFICATE-----\n").next().context("a certificate")?)?;
    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let traffic = tokio::spawn(connect(mesh.tcp(), Arc::clone(&stop), Arc::clone(&made)));

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
    no_key_is_elsewhere(&mesh).await?;
    let audit = std::fs::read_to_string(mesh.environment.data_dir().join("audit.log"))?;
    for line in audit.lines() {
        let record: Value = serde_json::from_str(line)?;
        assert_eq!(at(&record, "/event"), "issued", "{line}");
    }
    assert!(audit.lines().count() >= 8, "{audit}");
    mesh.stop().await
}
