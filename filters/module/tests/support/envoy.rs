//! A real Envoy with the real module, and the app behind it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for anything that Envoy should do.
const PATIENCE: Duration = Duration::from_secs(20);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn found(variable: &str, fallback: &str, how: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| root().join(fallback), PathBuf::from);
    assert!(path.is_file(), "`{}` is missing (${variable} names another): {how}", path.display());
    path
}

pub(crate) fn module() -> PathBuf {
    found("MESHWRIGHT_FILTERS_WASM", "target/wasm32-wasip1/filter/meshwright_filters.wasm", "run `make module`")
}

fn binary() -> PathBuf {
    found("ENVOY", ".tools/envoy/1.40.0/envoy", "run `make setup`")
}

/// Whether this Envoy tells a network filter when the TLS handshake is over (1.37).
pub(crate) fn tells_end_of_handshake() -> bool {
    let output = Command::new(binary()).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`
    let minor: u32 = text.split("/1.").nth(1).unwrap().split('.').next().unwrap().parse().unwrap();
    minor >= 37
}

/// Killed when it is dropped.
pub(crate) struct Envoy {
    child: Child,
    lines: Receiver<String>,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
}

impl Envoy {
    /// With the bootstrap's only listener bound.
    pub(crate) fn start(folder: &Path, bootstrap: &Value) -> Self {
        let (mut child, lines) = spawn(folder, bootstrap);
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let admin = match wait(&lines, "admin address: ") {
            Ok(line) => line.rsplit("admin address: ").next().unwrap().trim().parse().unwrap(),
            Err(output) => {
                let _ = child.kill();
                panic!("Envoy did not start:\n{output}");
            }
        };
        let mut envoy = Self { child, lines, address: unknown, admin };
        envoy.line("starting workers");
        let listeners: Value = serde_json::from_str(&envoy.admin("GET", "/listeners?format=json")).unwrap();
        let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
        let port = u16::try_from(address["port_value"].as_u64().unwrap()).unwrap();
        envoy.address = SocketAddr::from(([127, 0, 0, 1], port));
        envoy
    }

    /// What an Envoy prints that refuses to start with `bootstrap`.
    pub(crate) fn refusal(folder: &Path, bootstrap: &Value) -> String {
        let (mut child, lines) = spawn(folder, bootstrap);
        let output: Vec<String> = lines.iter().take_while(|line| !line.contains("starting main dispatch loop")).collect();
        let output = output.join("\n");
        let _ = child.kill();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(1), "{output}");
        output
    }

    /// The next line of Envoy's log that contains `text`.
    pub(crate) fn line(&self, text: &str) -> String {
        wait(&self.lines, text).unwrap_or_else(|output| panic!("no line with `{text}` in:\n{output}"))
    }

    /// The next record of the access log.
    pub(crate) fn record(&self) -> Value {
        let line = self.line("meshwright-access ");
        serde_json::from_str(line.split_once("meshwright-access ").unwrap().1).unwrap()
    }

    /// The value of a Prometheus metric with labels, once it is that or more: what the filter counts reaches Envoy within a second.
    pub(crate) fn metric(&self, metric: &str, at_least: u64) {
        let end = Instant::now() + PATIENCE;
        loop {
            let metrics = self.admin("GET", "/stats/prometheus?filter=meshwright");
            let value = metrics.lines().find_map(|line| line.strip_prefix(metric)?.trim().parse::<u64>().ok());
            if value.is_some_and(|value| value >= at_least) {
                return;
            }
            assert!(Instant::now() < end, "no `{metric}` of {at_least} in:\n{metrics}");
        }
    }

    pub(crate) fn admin(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).unwrap();
        let reply = String::from_utf8(reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        if !head.to_lowercase().contains("transfer-encoding: chunked") {
            return body.to_owned();
        }
        // Every other line is a chunk's size; Envoy sends each body of the admin's as chunks that end at a line's end.
        unchunk(body)
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unchunk(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        out.push_str(&rest[..size]);
        body = &rest[size + 2..];
        if size == 0 {
            break;
        }
    }
    out
}

fn spawn(folder: &Path, bootstrap: &Value) -> (Child, Receiver<String>) {
    let file = folder.join("envoy.json");
    std::fs::write(&file, bootstrap.to_string()).unwrap();
    let mut child = Command::new(binary())
        .arg("-c")
        .arg(file)
        .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "info"])
        // Of access logs that Envoy writes itself; 10 s otherwise.
        .args(["--file-flush-interval-msec", "20"])
        // As for what comes by xDS: an older Envoy ignores what it does not know yet.
        .arg("--allow-unknown-static-fields")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, lines) = mpsc::channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    thread::spawn(move || {
        for line in stderr.split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    (child, lines)
}

/// The first line that contains `text`, or all that came instead.
fn wait(lines: &Receiver<String>, text: &str) -> Result<String, String> {
    let mut seen = Vec::new();
    while let Ok(line) = lines.recv_timeout(PATIENCE) {
        if line.contains(text) {
            return Ok(line);
        }
        seen.push(line);
    }
    Err(seen.join("\n"))
}

/// An HTTP app whose replies' bodies are the heads of the requests that it got.
pub(crate) fn http_app() -> SocketAddr {
    serve(|mut stream| {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            head.extend(byte);
        }
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", head.len());
        let _ = stream.write_all(&head);
    })
}

/// An HTTP app that answers what is asked of it, but of `/held`s nothing.
pub(crate) fn holding_app() -> SocketAddr {
    serve(|mut stream| {
        let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
        while let Ok(size @ 1..) = stream.read(&mut buffer) {
            head.extend(&buffer[..size]);
            if head.ends_with(b"\r\n\r\n") && !head.windows(5).any(|part| part == b"/held") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                return;
            }
        }
    })
}

/// A TCP app that greets first and then echoes.
pub(crate) fn greeting_app() -> SocketAddr {
    serve(|mut stream| {
        let _ = stream.write_all(b"220 ready\n");
        let mut buffer = [0; 1024];
        while let Ok(size @ 1..) = stream.read(&mut buffer) {
            let _ = stream.write_all(&buffer[..size]);
        }
    })
}

fn serve(one: impl Fn(TcpStream) + Copy + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || one(stream));
        }
    });
    address
}
