//! A real Envoy with one listener for each mode of normalisation, its connection manager made by `envoy/config`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use meshwright_envoy_config::endpoint::{Endpoint, EndpointLocality, load_assignment};
use meshwright_envoy_config::hcm::{HttpConnectionManager, PathNormalization, Position, Routes};
use meshwright_envoy_config::listener::{ChainMatch, Direction, FilterChain, Inspection, Listener};
use meshwright_envoy_config::pb::envoy::config::bootstrap::v3::{Bootstrap, bootstrap::StaticResources};
use meshwright_envoy_config::pb::envoy::config::cluster::v3::{Cluster, cluster::ClusterDiscoveryType, cluster::DiscoveryType};
use meshwright_envoy_config::route::{Action, Forward, Headers, Route, RouteMatch, VirtualHost, route_configuration};
use meshwright_envoy_config::{Admin, BootstrapParams, ControlPlaneAddress, NodeMetadata, bootstrap, filter};
use meshwright_identity::SpiffeId;
use prost::Message as _;
use serde_json::{Value, json};

use crate::{Asked, Outcome, app, comparable};

/// As the `Mesh` document names them.
pub(crate) const MODES: [&str; 4] = ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"];
const PATIENCE: Duration = Duration::from_secs(20);
const APP: &str = "app";

/// Killed when it is dropped.
pub(crate) struct Envoy {
    child: Child,
    listeners: Vec<SocketAddr>,
    _folder: tempfile::TempDir,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Envoy {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("static.pb");
        std::fs::write(&file, static_resources(app::serve()).encode_to_vec()).unwrap();
        let mut child = Command::new(binary())
            .arg("-c")
            .arg(file)
            .args(["--config-yaml", &runtime().to_string(), "--disable-hot-restart", "--concurrency", "1", "--log-level", "info"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        // From here on it is ended whatever happens.
        let mut envoy = Self { child, listeners: Vec::new(), _folder: folder };
        envoy.listeners = listeners(admin_address(stderr));
        envoy
    }

    /// What becomes of a request of HTTP/1.1.
    pub(crate) fn ask(&self, asked: &Asked) -> Outcome {
        let mut request = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", asked.method, asked.path, asked.host);
        asked.headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
        let stream = TcpStream::connect(self.listeners[asked.mode]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        (&stream).write_all(format!("{request}\r\n").as_bytes()).unwrap();
        let mut reader = BufReader::new(&stream);
        let mut length = 0;
        let mut status = String::new();
        reader.read_line(&mut status).unwrap();
        for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        if !status.starts_with("HTTP/1.1 200 ") {
            return Outcome::Refused;
        }
        let mut head = vec![0; length];
        reader.read_exact(&mut head).unwrap();
        passed(&String::from_utf8(head).unwrap())
    }
}

fn passed(head: &str) -> Outcome {
    let mut lines = head.trim_end().split("\r\n");
    let target = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").or(line.split_once(':')).unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let host = headers.iter().find(|(name, _)| name == "host").unwrap().1.clone();
    Outcome::Passed { target, host, headers: comparable(headers.into_iter().filter(|(name, _)| name != "host").collect()) }
}

fn binary() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/envoy/1.40.0/envoy");
    let path = std::env::var_os("ENVOY").map_or(default, PathBuf::from);
    assert!(path.is_file(), "`{}` is missing ($ENVOY names another): run `make setup`", path.display());
    path
}

/// What a sidecar's Envoy is started with, as far as it changes requests.
fn runtime() -> Value {
    let params = BootstrapParams {
        node_id: "n".to_owned(),
        metadata: NodeMetadata {
            namespace: "n".to_owned(),
            workload: "w".to_owned(),
            service_account: "s".to_owned(),
            module_dir: "/".to_owned(),
            module_sha256: String::new(),
            outbound_address: None,
            apps: [].into(),
            tcp: [].into(),
            envoy_version: String::new(),
        },
        control_plane: ControlPlaneAddress { host: "127.0.0.1".to_owned(), port: 1 },
        control_plane_identity: SpiffeId::parse("spiffe://t/c").unwrap(),
        sds_socket: "/s".to_owned(),
        admin: Admin::Loopback(0),
    };
    let bootstrap = bootstrap(&params);
    json!({"layered_runtime": bootstrap["layered_runtime"], "admin": bootstrap["admin"]})
}

fn static_resources(app: SocketAddr) -> Bootstrap {
    use PathNormalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
    let endpoint =
        Endpoint { locality: EndpointLocality::default(), host: app.ip().to_string(), port: app.port(), weight: 1, mutual_tls: false };
    let cluster = Cluster {
        name: APP.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into())),
        load_assignment: Some(load_assignment(APP, &[endpoint])),
        ..Default::default()
    };
    let listeners = [None, Base, MergeSlashes, DecodeAndMergeSlashes].iter().zip(MODES).map(|(mode, name)| listener(name, *mode).build());
    let resources = StaticResources { clusters: vec![cluster], listeners: listeners.collect(), ..Default::default() };
    Bootstrap { static_resources: Some(resources), ..Default::default() }
}

fn listener(name: &str, path_normalization: PathNormalization) -> Listener {
    let route = Route {
        name: "default".to_owned(),
        matches: RouteMatch::any(),
        action: Action::Forward(Forward::to(APP)),
        headers: Headers::default(),
    };
    let every = VirtualHost { name: "every".to_owned(), domains: vec!["*".to_owned()], routes: vec![route], https_only: false };
    let manager = HttpConnectionManager {
        stat_prefix: name.to_owned(),
        position: Position::Inbound,
        path_normalization,
        routes: Routes::Inline(Box::new(route_configuration("every", &[every]))),
        filters: vec![filter::router()],
        access_log: Vec::new(),
    };
    let chain = FilterChain { name: "any".to_owned(), matches: ChainMatch::Any, transport_socket: None, filters: vec![manager.build()] };
    Listener {
        name: name.to_owned(),
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        direction: Direction::Inbound,
        inspection: Inspection::None,
        filter_chains: vec![chain],
    }
}

/// Once Envoy serves. The rest of its log is read by nobody.
fn admin_address(stderr: ChildStderr) -> SocketAddr {
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    let mut seen = Vec::new();
    let mut admin = None;
    for line in lines.by_ref() {
        if let Some((_, address)) = line.split_once("admin address: ") {
            admin = Some(address.trim().parse().unwrap());
        }
        if line.contains("starting workers") {
            break;
        }
        seen.push(line);
    }
    std::thread::spawn(move || lines.for_each(drop));
    admin.unwrap_or_else(|| panic!("Envoy does not start:\n{}", seen.join("\n")))
}

/// In the order of [`MODES`].
fn listeners(admin: SocketAddr) -> Vec<SocketAddr> {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.write_all(b"GET /listeners HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let address = |mode: &str| {
        let line = reply.lines().find_map(|line| line.strip_prefix(&format!("{mode}::")));
        line.and_then(|address| address.trim().parse().ok()).unwrap_or_else(|| panic!("no listener {mode} in {reply}"))
    };
    MODES.iter().map(|mode| address(mode)).collect()
}
