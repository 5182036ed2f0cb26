//! A peer that comes to be denied, in a mesh that runs: its next request, its open connection and its open request end, whichever was
//! first; the authority renews nothing; and nothing is left of it once the entry is gone.
#![expect(clippy::indexing_slicing, clippy::print_stdout, reason = "tests fail by panicking, and print their figures")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use meshwright_e2e::file;
use meshwright_e2e::pair::{self, HOST, HTTP, Pair};
use meshwright_test_support as support;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Renewed at half of it.
const TTL: u64 = 24;
const BOUND: Duration = Duration::from_secs(30);
const STRICT: &str =
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: all, namespace: test}\nspec:\n  mtls: {mode: STRICT}\n";
const CLIENT: &str = "spiffeId: spiffe://test.local/ns/test/sa/client";
const SERVER: &str = "spiffeId: spiffe://test.local/ns/test/sa/server";

const LIST: &str = "denied.yaml";

fn list_file(mesh: &Pair) -> PathBuf {
    mesh.environment.config_dir().join(LIST)
}

/// Writes the only deny list, in one step. When that was.
fn deny(mesh: &Pair, entry: &str) -> anyhow::Result<Instant> {
    let document = format!(
        "apiVersion: meshwright.dev/v1alpha1\nkind: IdentityDenyList\nmetadata: {{name: incident, namespace: test}}\nspec:\n  entries:\n  - {entry}\n    reason: the test says so\n"
    );
    file::put(&mesh.environment.config_dir(), LIST, &document)?;
    Ok(Instant::now())
}

/// Until `look` finds what is wanted; how long that took since `begun`.
async fn until(what: &str, begun: Instant, look: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<Duration> {
    while !look().await? {
        anyhow::ensure!(begun.elapsed() < BOUND, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = begun.elapsed();
    println!("{what}: {} ms", took.as_millis());
    Ok(took)
}

async fn status_is(mesh: &Pair, wanted: &[u16]) -> anyhow::Result<bool> {
    let status = mesh.calls()?.get(&format!("http://{HOST}/")).await?.status();
    Ok(status.is_some_and(|status| wanted.contains(&status)))
}

/// A TCP connection over which a line has come back.
async fn open_connection(to: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(b"open\n").await?;
    let mut answer = [0; 13];
    stream.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"server: open\n");
    Ok(stream)
}

/// A request whose body has begun and does not end.
async fn open_request(mesh: &Pair) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(mesh.outbound()).await?;
    let head = format!("POST /open HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 1000\r\n\r\nbegun");
    stream.write_all(head.as_bytes()).await?;
    // Its body is at the app once the proxy in front of it has a request under way there.
    let wanted = format!("cluster.inbound|{HTTP}||.upstream_rq_active: 1");
    let begun = Instant::now();
    while !envoy_stats(&mesh.environment.state_dir("server")).await?.lines().any(|line| line == wanted) {
        anyhow::ensure!(begun.elapsed() < BOUND, "the request does not come to the app");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(stream)
}

async fn envoy_stats(state_dir: &Path) -> anyhow::Result<String> {
    let mut stream = tokio::net::UnixStream::connect(state_dir.join("admin.sock")).await?;
    stream.write_all(b"GET /stats HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.replace('\r', ""))
}

/// What comes until the other side ends; nothing is sent.
async fn ended(what: &str, mut stream: TcpStream, begun: Instant) -> anyhow::Result<String> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(BOUND, stream.read_to_end(&mut rest)).await;
    // A reset is an end as well.
    let _reset = read.with_context(|| format!("{what} is still open"))?;
    println!("{what}: {} ms", begun.elapsed().as_millis());
    Ok(String::from_utf8_lossy(&rest).into_owned())
}

/// The head of the answer to an open request, which the caller's own proxy gives.
async fn answered(what: &str, mut stream: TcpStream, begun: Instant) -> anyhow::Result<String> {
    let mut head = vec![0; 512];
    let length = tokio::time::timeout(BOUND, stream.read(&mut head)).await.with_context(|| format!("{what} is still open"))??;
    println!("{what}: {} ms", begun.elapsed().as_millis());
    head.truncate(length);
    Ok(String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned())
}

fn audit(mesh: &Pair) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(mesh.environment.data_dir().join("audit.log"))?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn refusals(mesh: &Pair, account: &str) -> anyhow::Result<Vec<Value>> {
    let identity = format!("spiffe://test.local/ns/test/sa/{account}");
    let mut all = audit(mesh)?;
    all.retain(|record| record["reason"] == "peer-denied" && record["identity"] == identity.as_str());
    Ok(all)
}

/// Of the leaf that a workload's Envoy holds.
async fn serial(mesh: &Pair, workload: &str) -> anyhow::Result<String> {
    let dir = mesh.environment.state_dir(workload).to_string_lossy().into_owned();
    let text = mesh.environment.command(&["cert", "show", "--state-dir", &dir, "--output", "json"]).await?;
    let report: Value = serde_json::from_str(&text)?;
    Ok(report["certificates"][0]["serial"].as_str().context("a serial")?.to_owned())
}

/// The reasons that the server's proxy has logged, of those that wait for nobody: it writes them when a stream has ended.
async fn logged(mesh: &Pair, reason: &str) -> anyhow::Result<bool> {
    let log = std::fs::read_to_string(mesh.server_log()).unwrap_or_default();
    Ok(log.contains(&format!(r#""reason":"{reason}""#)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_caller_is_refused_everywhere_at_once() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let mesh = Pair::start_with_ttl(environment, network, &pair::documents(network, "", STRICT), TTL).await?;
    assert!(status_is(&mesh, &[200]).await?);
    let (connection, request) = (open_connection(mesh.tcp()).await?, open_request(&mesh).await?);

    let begun = deny(&mesh, CLIENT)?;
    let request = answered("the open request is reset", request, begun);
    let (connection, request, refused) = tokio::join!(
        ended("the open connection is closed", connection, begun),
        request,
        until("the next request on an open connection is refused", begun, async || status_is(&mesh, &[403]).await),
    );
    connection?;
    refused?;
    let request = request?;
    assert!(request.is_empty() || request.contains(" 503 "), "{request}");
    assert_eq!(pair::line(mesh.tcp(), "hello").await?, None, "a new connection");
    until("the log has the reason", begun, async || logged(&mesh, "peer_identity_denied").await).await?;
    until("the discovery stream is refused", begun, async || Ok(!refusals(&mesh, "client")?.is_empty())).await?;

    file::put(
        &mesh.environment.config_dir(),
        LIST,
        "apiVersion: meshwright.dev/v1alpha1\nkind: IdentityDenyList\nmetadata: {name: incident, namespace: test}\nspec:\n  entries: [{spiffeID: x}]\n",
    )?;
    until("a broken list is quarantined", begun, async || {
        let status = mesh.control_plane.status().await?;
        Ok(status["quarantined"][0]["last_good"] == true && status["denied"][0]["refused_here"].as_u64() > Some(0))
    })
    .await?;
    assert!(status_is(&mesh, &[403]).await?, "the last good list stays");
    let admin = format!("http://{}", mesh.control_plane.admin());
    let text = mesh.environment.command(&["status", "--admin", &admin]).await?;
    assert!(text.contains("DENIED: spiffe://test.local/ns/test/sa/client by IdentityDenyList test/incident: the test says so"), "{text}");
    until("a renewal is refused", begun, async || Ok(refusals(&mesh, "client")?.iter().any(|record| record["proof"] == "certificate")))
        .await?;

    let begun = Instant::now();
    std::fs::remove_file(list_file(&mesh))?;
    until("the entry is gone and requests pass", begun, async || status_is(&mesh, &[200]).await).await?;
    let reached = async || Ok(pair::line(mesh.tcp(), "hello").await?.as_deref() == Some("server: hello"));
    until("and so do connections", begun, reached).await?;
    mesh.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_certificate_and_a_denied_server_are_refused() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let mesh = Pair::start(environment, network, &pair::documents(network, "", STRICT)).await?;
    assert!(status_is(&mesh, &[200]).await?);

    // The server's own first: who is denied is not told of edits until it is let in again.
    let mut connection = open_connection(mesh.tcp()).await?;
    let begun = deny(&mesh, SERVER)?;
    until("no new request goes to the denied server", begun, async || status_is(&mesh, &[503]).await).await?;
    assert_eq!(pair::line(mesh.tcp(), "hello").await?, None, "a new connection");
    // Envoy drains what goes to a cluster's endpoints of before: what is under way there goes on, as docs/identity.md says.
    connection.write_all(b"still\n").await?;
    let mut answer = [0; 14];
    tokio::time::timeout(BOUND, connection.read_exact(&mut answer)).await??;
    assert_eq!(&answer, b"server: still\n");
    drop(connection);
    let begun = Instant::now();
    std::fs::remove_file(list_file(&mesh))?;
    until("the server is called again", begun, async || status_is(&mesh, &[200]).await).await?;
    mesh.control_plane.connected(2, BOUND).await?;

    let connection = open_connection(mesh.tcp()).await?;
    let serial = serial(&mesh, "client").await?.to_uppercase();
    let begun = deny(&mesh, &format!("serial: \"{serial}\""))?;
    until("the denied certificate is refused", begun, async || status_is(&mesh, &[403]).await).await?;
    ended("its open connection is closed", connection, begun).await?;
    until("the log has the reason", begun, async || logged(&mesh, "peer_serial_denied").await).await?;
    until("its discovery stream is refused", begun, async || Ok(!refusals(&mesh, "client")?.is_empty())).await?;
    assert_eq!(refusals(&mesh, "client")?[0]["serial"].as_str().map(str::to_uppercase), Some(serial));
    std::fs::remove_file(list_file(&mesh))?;
    until("the entry is gone and requests pass", begun, async || status_is(&mesh, &[200]).await).await?;
    mesh.stop().await
}
