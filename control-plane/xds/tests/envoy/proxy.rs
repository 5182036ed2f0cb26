//! A real Envoy that knows nothing but where its control plane is, and what can be asked of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::listening::Sources;
use crate::serving::PATIENCE;

const VERSION: &str = "1.40.0";

/// Killed when dropped.
pub(crate) struct Envoy {
    process: Child,
    folder: tempfile::TempDir,
}

impl Envoy {
    pub(crate) fn start(control_plane: SocketAddr) -> Self {
        Self::with(control_plane, Sources::Aggregated)
    }

    /// Asks for each type at its own service.
    pub(crate) fn with(control_plane: SocketAddr, sources: Sources) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(program())
            .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"])
            .arg("--admin-address-path")
            .arg(folder.path().join("admin"))
            .args(["--config-yaml", &bootstrap(control_plane, sources).to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, folder }
    }

    /// What its admin API says.
    async fn asked(&self, path: &str) -> Option<Value> {
        let admin = std::fs::read_to_string(self.folder.path().join("admin")).ok()?.parse().ok()?;
        let answer = get(admin, path).await?;
        let (start, end) = (answer.find('{')?, answer.rfind('}')?);
        serde_json::from_str(&answer[start..=end]).ok()
    }

    /// `warming` or `active`, once there is such a listener.
    pub(crate) async fn state(&self, listener: &str) -> &'static str {
        self.eventually(async || {
            let dump = self.asked("/config_dump?resource=dynamic_listeners").await?;
            let listener = dump["configs"].as_array()?.iter().find(|config| config["name"] == listener)?;
            ["warming", "active"].into_iter().find(|state| !listener[format!("{state}_state")].is_null())
        })
        .await
    }

    /// Waits until no listener is warming any more.
    pub(crate) async fn settled(&self) {
        self.eventually(async || {
            let dump = self.asked("/config_dump?resource=dynamic_listeners").await?;
            dump["configs"].as_array()?.iter().all(|config| config["warming_state"].is_null()).then_some(())
        })
        .await;
    }

    /// Where a listener listens, once it does.
    pub(crate) async fn listener(&self, name: &str) -> SocketAddr {
        self.eventually(async || {
            let listeners = self.asked("/listeners?format=json").await?;
            let listener = listeners["listener_statuses"].as_array()?.iter().find(|listener| listener["name"] == name)?;
            let port = listener["local_address"]["socket_address"]["port_value"].as_u64()?;
            Some(SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).ok()?)))
        })
        .await
    }

    pub(crate) async fn answers(&self, address: SocketAddr, path: &str, expected: &str) {
        self.answers_by(async || get(address, path).await, expected).await;
    }

    /// Waits until this is the answer: Envoy's workers hear of a change a moment after its control plane hears that it was taken.
    pub(crate) async fn answers_by(&self, get: impl AsyncFn() -> Option<String>, expected: &str) {
        self.until(async || {
            let answer = get().await;
            if answer.as_ref().is_some_and(|answer| answer.contains(expected)) { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .await;
    }

    async fn eventually<T>(&self, attempt: impl AsyncFn() -> Option<T>) -> T {
        self.until(async || attempt().await.ok_or_else(String::new)).await
    }

    async fn until<T>(&self, attempt: impl AsyncFn() -> Result<T, String>) -> T {
        let began = Instant::now();
        loop {
            match attempt().await {
                Ok(value) => return value,
                Err(last) if began.elapsed() > PATIENCE => {
                    let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                    panic!("it does not happen, but {last}; Envoy says:\n{log}");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

fn program() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/envoy").join(VERSION).join("envoy");
    let program = std::env::var_os("ENVOY").map_or(tools, PathBuf::from);
    assert!(program.is_file(), "`{}` is missing ($ENVOY names another): run `make setup`", program.display());
    program
}

fn bootstrap(control_plane: SocketAddr, sources: Sources) -> Value {
    let api = json!({
        "api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
        "grpc_services": [{"envoy_grpc": {"cluster_name": "control-plane"}}],
    });
    let mut dynamic = json!({});
    let source = match sources {
        Sources::Aggregated => {
            dynamic["ads_config"] = api;
            json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"})
        }
        Sources::Separate => json!({"api_config_source": api, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}),
    };
    dynamic["cds_config"] = source.clone();
    dynamic["lds_config"] = source;
    let address = |address: SocketAddr| json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}});
    json!({
        "node": {"id": "envoy", "cluster": "shop"},
        "admin": {"address": address(SocketAddr::from(([127, 0, 0, 1], 0)))},
        "dynamic_resources": dynamic,
        "static_resources": {"clusters": [{
            "name": "control-plane", "connect_timeout": "5s",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }},
            "load_assignment": {"cluster_name": "control-plane", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": address(control_plane)}},
            ]}]},
        }]},
    })
}

/// The whole answer, head and all.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n").as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// A website that answers every request with its name, as long as the test lasts.
pub(crate) async fn upstream(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {}
            let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{name}", name.len());
            // Whoever asked may have gone.
            let _sent = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}
