//! Certificates that live for seconds, and a whole rollover of the root, under 500 requests a second between two real Envoys, with new
//! handshakes of mutual TLS all the time: none fails, no listener drains, and no private key is anywhere but where it belongs. Then a
//! control plane that is away for longer than half of a certificate's life.
#![expect(clippy::print_stdout, reason = "the figures are for who reads the test's output")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use meshwright_demo::launcher::{ControlPlane, ControlPlaneSpec};
use meshwright_e2e::key_search::no_key_is_elsewhere;
use meshwright_e2e::load::{Account, Load, Target};
use meshwright_e2e::pair::{self, Pair};
use meshwright_e2e::stats::stat;
use meshwright_test_support as support;
use serde_json::Value;

/// The shortest: renewed every five seconds.
const TTL: u64 = 10;
/// Of each of the two proxies, and in all twice as many.
const ROTATIONS: usize = 10;
const RATE: u32 = 500;
/// At the rate, half a minute. A slow machine takes as long as it needs.
const REQUESTS: u64 = 15_000;
const LONGEST: Duration = Duration::from_secs(240);
const STRICT: &str =
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: all, namespace: test}\nspec:\n  mtls: {mode: STRICT}\n";
/// Every fourth request between the proxies is on a new connection, so a handshake.
const SHORT_CONNECTIONS: &str = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: short, namespace: test}\n\
    spec:\n  host: server.test.mesh\n  trafficPolicy:\n    connectionPool:\n      http: {maxRequestsPerConnection: 4}\n";

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

/// The phases that are seen until the rollover is over.
async fn until_stable(mesh: &Pair) -> anyhow::Result<Vec<String>> {
    let mut phases = Vec::new();
    while phases.last().map(String::as_str) != Some("stable") {
        let phase = at(&ca_status(mesh).await?, "/phase").to_owned();
        // Until the control plane has seen it, it is still stable.
        if phases.last() != Some(&phase) && !(phases.is_empty() && phase == "stable") {
            phases.push(phase);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // A phase that takes a second may be missed by looking.
    phases.retain(|phase| phase != "retire");
    Ok(phases)
}

/// What the Envoy of `name` says of its handshakes, listeners and certificates after so many requests.
async fn nothing_failed(mesh: &Pair, name: &str, requests: u64) -> anyhow::Result<()> {
    let dir = mesh.environment.state_dir(name);
    for never in [
        "listener_manager.total_listeners_draining",
        "ssl.fail_verify_error",
        "ssl.fail_verify_san",
        "ssl.fail_verify_no_cert",
        "ssl.fail_verify_cert_hash",
        "ssl.connection_error",
    ] {
        assert_eq!(stat(&dir, never).await?, 0, "{name}: {never}");
    }
    let (rotations, handshakes) = (renewals(mesh, name)?, stat(&dir, "ssl.handshake").await?);
    let taken = stat(&dir, "sds.workload.update_success").await?;
    println!("{name}: {rotations} rotations, {handshakes} handshakes of TLS, none failed");
    assert!(usize::try_from(taken)? >= ROTATIONS && handshakes > requests / 8, "{name}: {taken} taken, {handshakes} handshakes");
    assert_eq!(stat(&dir, "sds.workload.update_rejected").await?, 0, "{name}");
    let (accepted, text) = verify(mesh, name, &[]).await?;
    assert!(accepted && text.contains(&format!("leaf spiffe://test.local/ns/test/sa/{name}")), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_and_a_rollover_fail_no_handshake() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let documents = pair::documents(network, "", &format!("{STRICT}{SHORT_CONNECTIONS}"));
    let mesh = Pair::start_with_ttl(environment, network, &documents, TTL).await?;
    let data = mesh.environment.data_dir().to_string_lossy().into_owned();
    let old_root = mesh.environment.data_dir().join("ca/root.pem");
    let old_bundle = mesh.environment.folder.join("old-bundle.pem");
    let certificate = std::fs::read_to_string(old_root)?;
    std::fs::write(&old_bundle, certificate.split_inclusive("-----END CERTIFICATE-----\n").next().context("a certificate")?)?;
    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let traffic = tokio::spawn(connect(mesh.tcp(), Arc::clone(&stop), Arc::clone(&made)));
    let load = Load::start(&target(&mesh));

    let before = ca_status(&mesh).await?;
    assert_eq!(at(&before, "/phase"), "stable");
    mesh.environment.command(&["ca", "rotate", "--data-dir", &data]).await?;
    let again = mesh.environment.command(&["ca", "rotate", "--data-dir", &data]).await;
    assert!(again.is_err_and(|error| error.to_string().contains("a rollover is under way")));
    let phases = tokio::time::timeout(LONGEST, until_stable(&mesh)).await.context("the rollover does not end")??;
    let enough = async {
        while load.requests() < REQUESTS || renewals(&mesh, "server")? < ROTATIONS || renewals(&mesh, "client")? < ROTATIONS {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(LONGEST, enough).await.context("there is not enough traffic, or too few rotations")??;
    let account = load.stop().await?;
    stop.store(true, Ordering::SeqCst);
    let failed = traffic.await??;
    print(&account, RATE);
    assert_eq!(phases, ["publish", "sign", "stable"]);
    let after = ca_status(&mesh).await?;
    assert_ne!(at(&before, "/roots/0/fingerprint"), at(&after, "/roots/0/fingerprint"));
    let status = mesh.control_plane.status().await?;
    assert_eq!(at(&status, "/root_fingerprint"), at(&after, "/roots/0/fingerprint"), "status shows the new root");
    assert_eq!(failed, 0, "of {} connections over TCP", made.load(Ordering::SeqCst));
    assert_eq!(account.failed, 0, "{:?}", account.failures);
    assert!(made.load(Ordering::SeqCst) > 200, "{made:?}");

    for name in ["server", "client"] {
        nothing_failed(&mesh, name, account.requests).await?;
    }
    let (accepted, text) = verify(&mesh, "server", &["--bundle", &old_bundle.to_string_lossy()]).await?;
    assert!(!accepted && text.contains("no root of the trust bundle signed its chain"), "{text}");
    no_key_is_elsewhere(&mesh, &[]).await?;
    let audit = std::fs::read_to_string(mesh.environment.data_dir().join("audit.log"))?;
    for line in audit.lines() {
        let record: Value = serde_json::from_str(line)?;
        assert_eq!(at(&record, "/event"), "issued", "{line}");
    }
    mesh.stop().await
}

/// How often `name` has had its certificate renewed.
fn renewals(mesh: &Pair, name: &str) -> anyhow::Result<usize> {
    let audit = std::fs::read_to_string(mesh.environment.data_dir().join("audit.log"))?;
    let identity = format!("\"spiffe://test.local/ns/test/sa/{name}\"");
    Ok(audit.lines().filter(|line| line.contains(&identity) && line.contains("\"proof\":\"certificate\"")).count())
}

fn target(mesh: &Pair) -> Target {
    Target { proxy: mesh.outbound(), authority: format!("{}:{}", pair::HOST, pair::HTTP), per_second: RATE }
}

fn print(account: &Account, wanted: u32) {
    let Account { requests, fresh_connections, failed, failures: _, longest, elapsed } = account;
    let seconds = elapsed.as_secs();
    let rate = requests.checked_div(seconds).unwrap_or_default();
    println!(
        "{requests} requests in {seconds} s, {rate} a second of {wanted}, {fresh_connections} on connections of their own, {failed} failed, longest {longest:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_that_is_away_for_more_than_half_of_a_life() -> anyhow::Result<()> {
    const LIFE: u64 = 30;
    const SLOW: u32 = 50;
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let documents = pair::documents(network, "", &format!("{STRICT}{SHORT_CONNECTIONS}"));
    let mut mesh = Pair::start_with_ttl(environment.clone(), network, &documents, LIFE).await?;
    let load = Load::start(&Target { per_second: SLOW, ..target(&mesh) });
    let (xds, admin) = (mesh.control_plane.xds(), mesh.control_plane.admin());
    mesh.control_plane.process().kill().await?;
    let gone = tokio::time::Instant::now();
    // Due, and not had: half of the life is over.
    for workload in [&mut mesh.server, &mut mesh.client] {
        workload.process().line_with("the certificate is not renewed yet", Duration::from_secs(LIFE)).await?;
    }
    tokio::time::sleep_until(gone + Duration::from_secs(LIFE / 2 + 1)).await;
    let away = gone.elapsed();
    mesh.control_plane =
        ControlPlane::start(&environment, ControlPlaneSpec { xds, admin, certificate_ttl: Some(LIFE), ..meshwright_e2e::any_ports() })
            .await?;
    for workload in [&mut mesh.server, &mut mesh.client] {
        workload.process().line_with("certificate renewed", Duration::from_secs(LIFE)).await?;
        let lines = workload.process().lines();
        assert!(!lines.iter().any(|line| line.contains("expired")), "{lines:?}");
    }
    let answer = mesh.control_plane.connected(2, Duration::from_secs(60)).await?;
    assert_eq!(answer.get("enforced"), Some(&true.into()), "{answer}");
    // Handshakes with what was renewed.
    let (before, renewed) = (load.requests(), Duration::from_secs(60));
    let more = async {
        while load.requests() < before + 100 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(renewed, more).await?;
    let account = load.stop().await?;
    println!("the control plane was away for {} s of a life of {LIFE}", away.as_secs());
    print(&account, SLOW);
    assert_eq!(account.failed, 0, "{:?}", account.failures);
    for name in ["server", "client"] {
        let dir = mesh.environment.state_dir(name);
        assert_eq!(stat(&dir, "listener_manager.total_listeners_draining").await?, 0, "{name}");
        assert_eq!(stat(&dir, "ssl.fail_verify_error").await?, 0, "{name}");
    }
    let status = mesh.control_plane.status().await?;
    assert_eq!(status.pointer("/ca/overdue_certificates").and_then(Value::as_array).map(Vec::len), Some(0), "{status}");
    mesh.stop().await
}
