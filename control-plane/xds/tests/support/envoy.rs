//! A real Envoy that knows nothing but where its control plane is, and what can be asked of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::serving::PATIENCE;

const VERSION: &str = "1.40.0";

/// Killed when dropped.
pub(crate) struct Envoy {
    process: Child,
    folder: tempfile::TempDir,
}

impl Envoy {
    pub(crate) fn start(control_plane: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(program())
            .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"])
            .arg("--admin-address-path")
            .arg(folder.path().join("admin"))
            .args(["--config-yaml", &bootstrap(control_plane).to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, folder }
    }

    /// Where a listener listens, once it does.
    pub(crate) async fn listener(&self, name: &str) -> SocketAddr {
        self.eventually(async || {
            let admin = std::fs::read_to_string(self.folder.path().join("admin")).ok()?.parse().ok()?;
            let answer = get(admin, "/listeners?format=json").await?;
            let (start, end) = (answer.find('{')?, answer.rfind('}')?);
            let listeners: Value = serde_json::from_str(&answer[start..=end]).ok()?;
            let listener = listeners["listener_statuses"].as_array()?.iter().find(|listener| listener["name"] == name)?;
            let port = listener["local_address"]["socket_address"]["port_value"].as_u64()?;
            Some(SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).ok()?)))
        })
        .await
    }

    /// Waits until this is the answer: Envoy's workers hear of a change a moment after its control plane hears that it was taken.
    pub(crate) async fn answers(&self, address: SocketAddr, path: &str, expected: &str) {
        self.eventually(async || get(address, path).await?.contains(expected).then_some(())).await;
    }

    async fn eventually<T>(&self, attempt: impl AsyncFn() -> Option<T>) -> T {
        let attempts = async {
            loop {
                if let Some(value) = attempt().await {
                    return value;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        tokio::time::timeout(PATIENCE, attempts).await.unwrap_or_else(|_| panic!("it does not happen; Envoy says:\n{}", log()))
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

fn bootstrap(control_plane: SocketAddr) -> Value {
    let source = json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    let address = |address: SocketAddr| json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}});
    json!({
        "node": {"id": "envoy", "cluster": "shop"},
        "admin": {"address": address(SocketAddr::from(([127, 0, 0, 1], 0)))},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "control-plane"}}],
            },
            "cds_config": source, "lds_config": source,
        },
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
async fn get(address: SocketAddr, path: &str) -> Option<String> {
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
