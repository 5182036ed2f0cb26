//! Path normalisation: in each mode, the path that the policy saw is the path that the app receives, for every odd path there is.
//!
//! The app is a socket that answers with the request target as its bytes came; what the policy saw is shown twice: by the access log, and by
//! a DENY policy of exactly the paths that the app received, after which none of the same requests passes.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use meshwright_e2e::cases::{BY_VERSION, MODES, TARGETS};
use meshwright_e2e::pair::{self, HTTP, Pair};
use meshwright_test_support as support;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// Every request target, with what the app is to receive in the mode with this index where that is known.
fn cases(mode: usize) -> impl Iterator<Item = (&'static str, Option<Option<&'static str>>)> {
    let known = TARGETS.iter().map(move |(target, expected)| (*target, expected.get(mode).copied()));
    known.chain(BY_VERSION.iter().map(|target| (*target, None)))
}

/// Answers every request with its target, as the bytes came.
async fn app(address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    Ok(())
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece).await? {
            0 => return Ok(()),
            length => head.extend_from_slice(piece.get(..length).unwrap_or_default()),
        }
    }
    let target = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", target.len());
    stream.write_all(&[reply.as_bytes(), target].concat()).await
}

/// Sends the bytes of a request target, and returns the status and the body.
async fn send(to: SocketAddr, target: &str) -> anyhow::Result<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(format!("GET {target} HTTP/1.1\r\nhost: server.test.mesh\r\nconnection: close\r\n\r\n").as_bytes()).await?;
        let mut reply = Vec::new();
        let mut piece = [0; 4096];
        // Not to the end of the stream: after a refusal Envoy waits a second for the client to close first.
        while !is_whole(&String::from_utf8_lossy(&reply)) {
            match stream.read(&mut piece).await? {
                0 => break,
                length => reply.extend_from_slice(piece.get(..length).unwrap_or_default()),
            }
        }
        anyhow::Ok(String::from_utf8_lossy(&reply).into_owned())
    };
    let reply = tokio::time::timeout(TIMEOUT, exchange).await.context(target.to_owned())??;
    let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok()).with_context(|| format!("{target}: {reply}"))?;
    Ok((status, reply.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
}

fn is_whole(reply: &str) -> bool {
    let Some((head, body)) = reply.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.is_none_or(|length| body.len() >= length)
}

/// The target with a query that no other request has, where a query goes.
fn marked(target: &str, mark: &str) -> String {
    let (path, fragment) = target.split_once('#').map_or((target, None), |(path, fragment)| (path, Some(fragment)));
    fragment.map_or_else(|| format!("{path}?{mark}"), |fragment| format!("{path}?{mark}#{fragment}"))
}

/// The path of the access log's record with this query.
async fn logged(log: &Path, mark: &str) -> anyhow::Result<String> {
    let waiting = async {
        loop {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut paths = records.filter_map(|record| record.get("path")?.as_str().map(str::to_owned));
            if let Some(path) = paths.find(|path| path.ends_with(&format!("?{mark}"))) {
                return path;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(TIMEOUT, waiting).await.with_context(|| format!("no record with `{mark}`"))
}

/// Denies exactly these paths.
fn deny(paths: &[String]) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: exact, namespace: test}}\nspec:\n  action: DENY\n  \
         rules: [{{to: [{{operation: {{ports: ['{HTTP}'], paths: {}}}}}]}}]\n",
        serde_json::json!(paths)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_sees_what_the_app_receives() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    app(network.at(1, pair::APP)).await?;
    let mesh = Pair::start_without_app(environment, network, &pair::documents(network, "", "")).await?;
    let server = mesh.server_port(HTTP);
    let mut wrong = Vec::new();
    for (index, mode) in MODES.iter().enumerate() {
        let normalization = format!("  pathNormalization: {{normalization: {mode}}}");
        mesh.edit(&pair::documents(network, &normalization, "")).await?;
        let (mut received, mut sent) = (Vec::new(), Vec::new());
        for (number, (target, expected)) in cases(index).enumerate() {
            let mark = format!("{mode}={number}&x=/../");
            let (status, body) = send(server, &marked(target, &mark)).await?;
            let found = (status == 200).then(|| body.strip_suffix(&format!("?{mark}")).unwrap_or("without its query"));
            if expected.is_some_and(|expected| found != expected) || !matches!(status, 200 | 400) {
                wrong.push(format!("{mode} {target}: status {status}, the app received {found:?}, not {expected:?}"));
            }
            if let Some(path) = found {
                received.push(path.to_owned());
                sent.push((mark, body));
            }
        }
        for (mark, body) in sent {
            let seen = logged(&mesh.server_log(), &mark).await?;
            if seen != body {
                wrong.push(format!("{mode}: the policy saw `{seen}`, the app received `{body}`"));
            }
        }
        mesh.edit(&pair::documents(network, &normalization, &deny(&received))).await?;
        assert_eq!(send(server, "/of-no-case").await?, (200, "/of-no-case".to_owned()), "{mode}: other paths pass");
        for (target, _) in cases(index) {
            let (status, _) = send(server, &marked(target, "denied")).await?;
            if !matches!(status, 403 | 400) {
                wrong.push(format!("{mode} {target}: passes the policy of exactly the path that the app received: {status}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    mesh.stop().await
}
