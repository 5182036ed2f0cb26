//! Against the real Envoy, with a bootstrap that stands by itself instead of one that waits for a control plane.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use meshwright_echo::{Echo, EchoOptions};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;
use crate::envoy_binary::check;
use crate::options::tests::options;

/// More than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

fn envoy() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/envoy");
    let installed = || {
        let versions = std::fs::read_dir(&tools).unwrap().map(|entry| entry.unwrap().path().join("envoy"));
        versions.filter(|path| path.is_file()).max().expect("set-up installs an Envoy, or $ENVOY names one")
    };
    std::env::var_os("ENVOY").map_or_else(installed, PathBuf::from)
}

fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn socket_address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

/// A listener that passes requests on to `app` and writes an access-log record for each, in the form in which Envoy logs what a filter says.
fn inbound(listen: SocketAddr, app: SocketAddr) -> Value {
    let record =
        "[2026-01-01 00:00:00.000][1][info][wasm] [context.cc:1] wasm log access-log vm: meshwright-access {\"path\":\"%REQ(:PATH)%\"}\n";
    json!({
        "name": "inbound|8080", "address": socket_address(listen), "traffic_direction": "INBOUND",
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "inbound|8080",
            "access_log": [{"name": "stdout", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
                "log_format": {"text_format_source": {"inline_string": record}},
            }}],
            "route_config": {"virtual_hosts": [{"name": "app", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "route": {"cluster": format!("app {app}"), "timeout": "0s"}},
            ]}]},
            "http_filters": [{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
        }}]}],
    })
}

fn bootstrap(state: &StateDir, app: SocketAddr, listeners: &Value, dynamic: &Value) -> Value {
    let name = format!("app {app}");
    json!({
        "node": {"id": "sidecar~shop/cart-v1", "cluster": "cart"},
        "admin": {"address": {"pipe": {"path": state.admin_socket(), "mode": 0o600}}},
        "dynamic_resources": dynamic,
        "static_resources": {"listeners": listeners, "clusters": [{
            "name": name, "type": "STATIC",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(app)}}]}]},
        }]},
    })
}

/// A sidecar without a control plane: everything from Envoy's start to its end.
struct Sidecar {
    folder: TempDir,
    state: StateDir,
    options: SidecarOptions,
    listen: SocketAddr,
    app: SocketAddr,
}

impl Sidecar {
    async fn new(command: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(&folder.path().join("s")).await.unwrap();
        let echo = Echo::bind(EchoOptions { listen: Some("127.0.0.1:0".parse().unwrap()), ..EchoOptions::default() }).await.unwrap();
        let app = echo.http_address().unwrap();
        tokio::spawn(echo.serve(std::future::pending()));
        let mut options = options(folder.path().join("s"));
        options.outbound = None;
        options.command = command.iter().map(OsString::from).collect();
        Self { folder, state, options, listen: free_port(), app }
    }

    /// Runs it to its end while `meanwhile` is done.
    async fn run(self, signals: Signals, meanwhile: impl Future<Output = ()>) -> (anyhow::Result<Ended>, TempDir) {
        let bootstrap = bootstrap(&self.state, self.app, &json!([inbound(self.listen, self.app)]), &json!({}));
        self.run_with(&bootstrap, signals, meanwhile).await
    }

    async fn run_with(
        self,
        bootstrap: &Value,
        mut signals: Signals,
        meanwhile: impl Future<Output = ()>,
    ) -> (anyhow::Result<Ended>, TempDir) {
        let Self { folder, state, options, .. } = self;
        std::fs::write(state.bootstrap(), bootstrap.to_string()).unwrap();
        let binary = check(envoy()).await.unwrap();
        let mut tasks = Tasks::new();
        tasks.spawn(std::future::pending());
        let path = state.bootstrap();
        let running = supervise(&options, &state, &binary, &path, &mut tasks, UnknownKeys::channel().0, &mut signals);
        let (ended, ()) = tokio::time::timeout(LONG, async { tokio::join!(running, meanwhile) }).await.expect("it ends");
        assert!(TcpStream::connect(self.listen).await.is_err(), "Envoy is gone");
        (ended, folder)
    }
}

async fn connected(address: SocketAddr) -> TcpStream {
    loop {
        match TcpStream::connect(address).await {
            Ok(stream) => return stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn request(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = connected(address).await;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

/// Up to the end of the body or of the connection. Envoy itself closes a connection only a second after its last response.
async fn answer(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"}\n") {
        match stream.read_buf(&mut text).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    String::from_utf8(text).unwrap()
}

async fn until_exists(path: &Path) {
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn send(sender: &mpsc::Sender<Signal>, signal: Signal) {
    sender.send(signal).await.unwrap();
}

#[tokio::test]
async fn the_apps_end_ends_the_sidecar_with_its_code() {
    let sidecar = Sidecar::new(&["sh", "-c", "exit 3"]).await;
    let (_sender, signals) = Signals::by_hand();
    let (ended, _folder) = sidecar.run(signals, async {}).await;
    assert_eq!(ended.unwrap(), Ended::App(3));
}

#[tokio::test]
async fn a_signal_lets_running_requests_finish_before_the_app_hears_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (started, ended) = (folder.path().join("started"), folder.path().join("ended"));
    let script = format!("trap ': > {}; exit 0' TERM; : > {}; while :; do sleep 0.02; done", ended.display(), started.display());
    let sidecar = Sidecar::new(&["sh", "-c", &script]).await;
    let (sender, signals) = Signals::by_hand();
    let listen = sidecar.listen;
    let meanwhile = async {
        until_exists(&started).await;
        // An idle connection of a peer must not hold up the end.
        let idle = connected(listen).await;
        let slow = request(listen, "/slow?delay_ms=1500").await;
        let quick = answer(request(listen, "/quick").await).await;
        assert!(quick.starts_with("HTTP/1.1 200"), "{quick}");
        send(&sender, Signal::SIGTERM).await;
        let slow = answer(slow).await;
        assert!(slow.starts_with("HTTP/1.1 200"), "{slow}");
        assert!(!ended.exists(), "the app ran as long as there were requests");
        drop(idle);
    };
    let (result, folder) = sidecar.run(signals, meanwhile).await;
    assert_eq!(result.unwrap(), Ended::App(0));
    assert!(ended.exists(), "the app was told");
    let log = std::fs::read_to_string(folder.path().join("s/access.log")).unwrap();
    assert_eq!(log, "{\"path\":\"/quick\"}\n{\"path\":\"/slow?delay_ms=1500\"}\n");
}

#[tokio::test]
async fn a_second_signal_hastens_the_end() {
    let mut sidecar = Sidecar::new(&[]).await;
    sidecar.options.drain_timeout = LONG;
    let (sender, signals) = Signals::by_hand();
    let listen = sidecar.listen;
    let start = Instant::now();
    let meanwhile = async {
        assert!(answer(request(listen, "/").await).await.starts_with("HTTP/1.1 200"));
        let slow = request(listen, "/?delay_ms=60000").await;
        send(&sender, Signal::SIGTERM).await;
        send(&sender, Signal::SIGTERM).await;
        assert!(!answer(slow).await.starts_with("HTTP/1.1 200"));
    };
    let (result, _folder) = sidecar.run(signals, meanwhile).await;
    assert_eq!(result.unwrap(), Ended::Stopped);
    assert!(start.elapsed() < LONG / 2);
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off_after_the_drain_timeout() {
    let mut sidecar = Sidecar::new(&[]).await;
    sidecar.options.drain_timeout = Duration::from_secs(1);
    let (sender, signals) = Signals::by_hand();
    let listen = sidecar.listen;
    let meanwhile = async {
        let slow = request(listen, "/?delay_ms=60000").await;
        assert!(answer(request(listen, "/").await).await.starts_with("HTTP/1.1 200"));
        send(&sender, Signal::SIGTERM).await;
        assert!(!answer(slow).await.starts_with("HTTP/1.1 200"));
    };
    let (result, _folder) = sidecar.run(signals, meanwhile).await;
    assert_eq!(result.unwrap(), Ended::Stopped);
}

#[tokio::test]
async fn an_envoy_that_dies_ends_the_app_and_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let started = folder.path().join("started");
    let ended = folder.path().join("ended");
    let script = format!("trap ': > {}; exit 0' TERM; : > {}; while :; do sleep 0.02; done", ended.display(), started.display());
    let sidecar = Sidecar::new(&["sh", "-c", &script]).await;
    let (_sender, signals) = Signals::by_hand();
    let admin = sidecar.state.admin_socket();
    let meanwhile = async {
        until_exists(&started).await;
        let pid = tokio::net::UnixStream::connect(admin).await.unwrap().peer_cred().unwrap().pid().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    };
    let (result, _folder) = sidecar.run(signals, meanwhile).await;
    let error = result.unwrap_err().to_string();
    assert!(error.starts_with("Envoy ended by itself (signal: 9 (SIGKILL)); its last words:\n  | ["), "{error}");
    assert!(ended.exists(), "the app was told");
}

#[tokio::test]
async fn a_bootstrap_that_envoy_refuses_is_shown_with_its_reason() {
    let sidecar = Sidecar::new(&[]).await;
    let (_sender, signals) = Signals::by_hand();
    let (result, _folder) = sidecar.run_with(&json!({"no_such_field": 1}), signals, async {}).await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("Envoy ended by itself (exit status: 1)") && error.contains("no_such_field"), "{error}");
}

#[tokio::test]
async fn a_listener_whose_port_is_taken_is_one_clear_error() {
    let sidecar = Sidecar::new(&[]).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut listener = inbound(taken.local_addr().unwrap(), sidecar.app);
    listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
    let file = sidecar.folder.path().join("lds.json");
    std::fs::write(&file, json!({"resources": [listener]}).to_string()).unwrap();
    let dynamic = json!({"lds_config": {"path_config_source": {"path": file}}});
    let bootstrap = bootstrap(&sidecar.state, sidecar.app, &json!([]), &dynamic);
    let (_sender, signals) = Signals::by_hand();
    let (result, _folder) = sidecar.run_with(&bootstrap, signals, async {}).await;
    let error = result.unwrap_err().to_string();
    assert!(error.starts_with("Envoy refuses what the control plane sent: `inbound|8080`:"), "{error}");
    assert!(error.contains("Address already in use"), "{error}");
}

#[tokio::test]
async fn a_proxy_that_does_not_become_ready_says_what_is_missing() {
    let mut sidecar = Sidecar::new(&[]).await;
    sidecar.options.startup_timeout = Duration::from_secs(2);
    let outbound = free_port();
    sidecar.options.outbound = Some(outbound);
    let (_sender, signals) = Signals::by_hand();
    let (result, _folder) = sidecar.run(signals, async {}).await;
    let error = result.unwrap_err().to_string();
    let missing = format!("the proxy is not ready after 2s: the control plane sent no listener for {outbound}, the outbound address");
    assert!(error.starts_with(&missing), "{error}");
}

#[tokio::test]
async fn an_envoy_whose_sidecar_was_killed_keeps_serving() {
    let sidecar = Sidecar::new(&[]).await;
    let bootstrap = bootstrap(&sidecar.state, sidecar.app, &json!([inbound(sidecar.listen, sidecar.app)]), &json!({}));
    std::fs::write(sidecar.state.bootstrap(), bootstrap.to_string()).unwrap();
    let mut command = tokio::process::Command::new(envoy());
    command.args(["--disable-hot-restart", "--concurrency", "1", "-c"]).arg(sidecar.state.bootstrap());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    // All that Envoy notices of its sidecar's end: nobody reads its pipes any more.
    drop((child.stdout.take(), child.stderr.take()));
    for _ in 0..20 {
        let text = answer(request(sidecar.listen, "/").await).await;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    }
    // A new sidecar says why it cannot start, instead of fighting for the ports.
    let Sidecar { folder, state, .. } = sidecar;
    drop(state);
    let error = StateDir::open(&folder.path().join("s")).await.unwrap_err().to_string();
    assert!(error.contains(&format!("`kill {}`", child.id().unwrap())), "{error}");
    child.kill().await.unwrap();
    StateDir::open(&folder.path().join("s")).await.unwrap();
}
