#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
//! Whole sidecars with the real Envoy, against a control plane that serves real certificates and one listener.

mod control_plane;
mod workload_api;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use control_plane::{ControlPlane, Modules};
use meshwright_sidecar::{Ended, JoinTokenSource, SidecarOptions, Signals, run};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

/// More than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn envoy() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/envoy");
    let installed = || {
        let versions = std::fs::read_dir(&tools).unwrap().map(|entry| entry.unwrap().path().join("envoy"));
        versions.filter(|path| path.is_file()).max().unwrap()
    };
    std::env::var_os("ENVOY").map_or_else(installed, PathBuf::from)
}

fn options(control_plane: &ControlPlane, state_dir: &Path) -> SidecarOptions {
    SidecarOptions {
        control_plane: control_plane.address.to_string().parse().unwrap(),
        workload: "shop/cart-v1".parse().unwrap(),
        service_account: "cart".to_owned(),
        join_token: JoinTokenSource::Text(control_plane.token("cart")),
        trust_bundle: None,
        keep_identity: false,
        state_dir: state_dir.to_owned(),
        outbound: Some(control_plane.outbound),
        apps: Vec::new(),
        tcp: Vec::new(),
        envoy: Some(envoy()),
        envoy_variable: None,
        concurrency: 1,
        envoy_log_level: "info".to_owned(),
        startup_timeout: LONG,
        drain_timeout: Duration::from_secs(5),
        workload_api: None,
        command: Vec::new(),
    }
}

/// The error of a sidecar that must not start, in one line.
async fn refused(options: SidecarOptions) -> String {
    let (_sender, signals) = Signals::by_hand();
    let result = tokio::time::timeout(LONG, run(options, signals)).await.unwrap();
    format!("{:#}", result.unwrap_err())
}

async fn text(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _reset = stream.read_to_string(&mut answer).await;
    answer
}

async fn served(address: SocketAddr) -> String {
    loop {
        match TcpStream::connect(address).await {
            Ok(stream) => return text(stream, "/").await,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn joins_serves_renews_and_leaves_no_key_behind() {
    let folder = tempfile::tempdir().unwrap();
    let control_plane = ControlPlane::start(folder.path(), Modules::Right, control_plane::SHORTEST_LIFE).await;
    let state_dir = folder.path().join("s");
    let options = options(&control_plane, &state_dir);
    let (sender, signals) = Signals::by_hand();
    let outbound = control_plane.outbound;
    let meanwhile = async {
        let answer = served(outbound).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(control_plane.peers(), ["spiffe://shop.local/ns/shop/sa/cart"], "ADS came with the workload's certificate");
        // The second version of the secret in Envoy's hands is the renewed certificate.
        let admin = state_dir.join("admin.sock");
        loop {
            let stream = UnixStream::connect(&admin).await.unwrap();
            let stats = text(stream, "/stats?filter=sds.workload.update_success").await;
            let updates = stats.lines().find_map(|line| line.split_once("update_success: ")?.1.trim().parse::<u32>().ok());
            if updates >= Some(2) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for path in files(&state_dir).into_iter().filter(|path| path.extension().is_none_or(|extension| extension != "sock")) {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("PRIVATE KEY"), "{}", path.display());
        }
        sender.send(Signal::SIGTERM).await.unwrap();
    };
    let (ended, ()) = tokio::time::timeout(LONG * 2, async { tokio::join!(run(options, signals), meanwhile) }).await.unwrap();
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert!(TcpStream::connect(outbound).await.is_err(), "Envoy is gone");
}

#[tokio::test]
async fn a_restarted_sidecar_is_told_that_it_needs_a_new_token() {
    let folder = tempfile::tempdir().unwrap();
    let control_plane = ControlPlane::start(folder.path(), Modules::Right, HOUR).await;
    let token = folder.path().join("token");
    std::fs::write(&token, control_plane.token("cart")).unwrap();
    let mut first = options(&control_plane, &folder.path().join("s"));
    first.join_token = JoinTokenSource::File(token);
    first.command = vec!["true".into()];
    let second = first.clone();
    let (_sender, signals) = Signals::by_hand();
    assert_eq!(tokio::time::timeout(LONG, run(first, signals)).await.unwrap().unwrap(), Ended::App(0));
    let error = refused(second).await;
    assert!(error.contains("the private key is kept in memory only, so a restarted sidecar needs a new token"), "{error}");
    assert!(error.contains("meshwright token create"), "{error}");
}

#[tokio::test]
async fn a_wrong_or_truncated_module_never_reaches_envoy() {
    for (modules, words) in [(Modules::Altered, "SHA-256"), (Modules::Truncated, "SHA-256")] {
        let folder = tempfile::tempdir().unwrap();
        let control_plane = ControlPlane::start(folder.path(), modules, HOUR).await;
        let state_dir = folder.path().join("s");
        let error = refused(options(&control_plane, &state_dir)).await;
        assert!(error.contains("the filter module") && error.contains(words), "{error}");
        assert_eq!(files(&state_dir.join("modules")), Vec::<PathBuf>::new());
        assert!(!state_dir.join("bootstrap.json").exists(), "Envoy was not even prepared");
    }
}

#[tokio::test]
async fn a_token_of_another_service_account_or_that_is_none_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let control_plane = ControlPlane::start(folder.path(), Modules::Right, HOUR).await;
    let with = |join_token| SidecarOptions { join_token, ..options(&control_plane, &folder.path().join("s")) };
    let error = refused(with(JoinTokenSource::Text(control_plane.token("thief")))).await;
    assert!(error.contains("is for `spiffe://shop.local/ns/shop/sa/thief`") && error.contains("`shop/cart`"), "{error}");
    let error = refused(with(JoinTokenSource::Text("secret".to_owned()))).await;
    assert!(error.starts_with("there is no join token in MESHWRIGHT_JOIN_TOKEN: ") && !error.contains("secret"), "{error}");
    let missing = folder.path().join("missing");
    let error = refused(with(JoinTokenSource::File(missing.clone()))).await;
    assert!(error.starts_with(&format!("the join token file `{}` cannot be read", missing.display())), "{error}");
}

#[tokio::test]
async fn waits_for_a_control_plane_until_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let control_plane = ControlPlane::start(folder.path(), Modules::Right, HOUR).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere =
        || SidecarOptions { control_plane: closed.to_string().parse().unwrap(), ..options(&control_plane, &folder.path().join("s")) };
    let (sender, signals) = Signals::by_hand();
    sender.send(Signal::SIGINT).await.unwrap();
    assert_eq!(tokio::time::timeout(LONG, run(nowhere(), signals)).await.unwrap().unwrap(), Ended::Stopped);
    let error = refused(SidecarOptions { startup_timeout: Duration::from_millis(500), ..nowhere() }).await;
    assert!(error.contains(&format!("the control plane at `{closed}` cannot be reached")), "{error}");
}

#[tokio::test]
async fn a_kept_identity_outlives_a_restart_and_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let control_plane = ControlPlane::start(folder.path(), Modules::Right, HOUR).await;
    let state_dir = folder.path().join("s");
    let kept = SidecarOptions { keep_identity: true, command: vec!["true".into()], ..options(&control_plane, &state_dir) };
    let restarted = SidecarOptions { join_token: JoinTokenSource::Absent, ..kept.clone() };
    let error = refused(restarted.clone()).await;
    assert!(error.contains("no identity is kept") && error.contains("--token-file"), "{error}");
    let ended = async |options| {
        let (_sender, signals) = Signals::by_hand();
        tokio::time::timeout(LONG, run(options, signals)).await.unwrap().unwrap()
    };
    assert_eq!(ended(kept.clone()).await, Ended::App(0));
    let file = state_dir.join("identity.json");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&file.metadata().unwrap()) & 0o777, 0o600);
    assert_eq!(ended(restarted.clone()).await, Ended::App(0));
    // Another service account's is not used, and a damaged one is as none.
    let error = refused(SidecarOptions { service_account: "ledger".to_owned(), ..restarted.clone() }).await;
    assert!(error.contains("is for `spiffe://shop.local/ns/shop/sa/cart`"), "{error}");
    std::fs::write(&file, "{}").unwrap();
    let error = refused(restarted).await;
    assert!(error.contains("the identity that was kept cannot be used"), "{error}");
    assert_eq!(ended(SidecarOptions { join_token: JoinTokenSource::Text(control_plane.token("cart")), ..kept }).await, Ended::App(0));
}

/// Half of a life is five seconds; the control plane is away for longer than that, and no certificate is thrown away meanwhile.
#[tokio::test]
async fn survives_a_control_plane_that_is_away_for_longer_than_half_a_life() {
    let folder = tempfile::tempdir().unwrap();
    let control_plane = ControlPlane::start(folder.path(), Modules::Right, Duration::from_secs(20)).await;
    let state_dir = folder.path().join("s");
    let (sender, signals) = Signals::by_hand();
    let (options, outbound) = (options(&control_plane, &state_dir), control_plane.outbound);
    let updates = async || {
        let stream = UnixStream::connect(state_dir.join("admin.sock")).await.unwrap();
        let stats = text(stream, "/stats?filter=sds.workload.update_success|total_listeners_draining").await;
        assert!(stats.contains("total_listeners_draining: 0"), "{stats}");
        stats.lines().find_map(|line| line.split_once("update_success: ")?.1.trim().parse::<u32>().ok())
    };
    let meanwhile = async {
        assert!(served(outbound).await.starts_with("HTTP/1.1 200"));
        control_plane.away(true);
        let before = updates().await;
        while control_plane.turned_away() < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(updates().await, before, "the certificate in hand stays");
        }
        assert!(served(outbound).await.starts_with("HTTP/1.1 200"));
        control_plane.away(false);
        while updates().await == before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        sender.send(Signal::SIGTERM).await.unwrap();
    };
    let (ended, ()) = tokio::time::timeout(LONG * 2, async { tokio::join!(run(options, signals), meanwhile) }).await.unwrap();
    assert_eq!(ended.unwrap(), Ended::Stopped);
}
