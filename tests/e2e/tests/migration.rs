//! From plaintext to mutual TLS and back, one PeerAuthentication after the other, under load: callers in the mesh notice nothing, those outside
//! are refused while it is STRICT and only then. The service has an instance without a proxy, too.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use meshwright_demo::client::{Answer, Client};
use meshwright_e2e::pair::{self, HOST, HTTP, Pair};
use meshwright_e2e::stats::stat;
use meshwright_test_support as support;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const WORKERS: usize = 4;
const PACE: Duration = Duration::from_millis(10);
/// Answers that are seen in each mode before the next.
const SEEN: usize = 150;
const TIMEOUT: Duration = Duration::from_secs(30);
const PLAIN: &str = "no proxy here";

/// What each of them was answered, by instance.
type Account = Arc<Mutex<BTreeMap<String, usize>>>;

/// An app without a proxy, until the task is dropped.
async fn plain_app(address: SocketAddr) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let listener = TcpListener::bind(address).await?;
    Ok(tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = Vec::new();
                let mut piece = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut piece).await {
                    request.extend_from_slice(piece.get(..length).unwrap_or_default());
                    if request.ends_with(b"\r\n\r\n") {
                        request.clear();
                        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{PLAIN}", PLAIN.len());
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    }))
}

async fn load(client: Client, account: Account, stop: Arc<AtomicBool>) {
    let mut pace = tokio::time::interval(PACE);
    while !stop.load(Ordering::SeqCst) {
        pace.tick().await;
        let instance = match client.get(&format!("http://{HOST}:{HTTP}/")).await {
            Ok(Answer::Reply { status: 200, body }) if body == PLAIN => "plain".to_owned(),
            Ok(Answer::Reply { status: 200, .. }) => "proxied".to_owned(),
            Ok(other) => format!("failed: {}", other.summary()),
            Err(error) => format!("failed: {error}"),
        };
        *account.lock().unwrap().entry(instance).or_default() += 1;
    }
}

fn seen(account: &Account, instance: &str) -> usize {
    account.lock().unwrap().get(instance).copied().unwrap_or_default()
}

/// So many more answers of both instances.
async fn answered(account: &Account) -> anyhow::Result<()> {
    let before = [seen(account, "plain"), seen(account, "proxied")];
    let enough = || [seen(account, "plain"), seen(account, "proxied")].iter().zip(before).all(|(now, before)| *now >= before + SEEN);
    let waited = async {
        while !enough() {
            tokio::time::sleep(PACE).await;
        }
    };
    tokio::time::timeout(TIMEOUT, waited).await.map_err(|_| anyhow::anyhow!("no answers: {:?}", account.lock().unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_of_the_mesh_fails_while_the_mode_changes() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let bare = network.at(3, HTTP);
    let app = plain_app(bare).await?;
    let documents = |mode: &str| {
        let more = format!(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: bare, namespace: test}}\nspec:\n  address: {}\n  \
             labels: {{app: server, security.istio.io/tlsMode: disabled}}\n---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
             metadata: {{name: all, namespace: test}}\nspec: {{mtls: {{mode: {mode}}}}}\n",
            bare.ip()
        );
        pair::documents(network, "", &more)
    };
    let mesh = Pair::start(environment, network, &documents("DISABLE")).await?;
    let (account, stop) = (Account::default(), Arc::new(AtomicBool::new(false)));
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(tokio::spawn(load(mesh.calls()?, Arc::clone(&account), Arc::clone(&stop))));
    }
    let direct = format!("http://{}/", mesh.server_port(HTTP));
    answered(&account).await?;
    for mode in ["PERMISSIVE", "STRICT", "PERMISSIVE", "DISABLE", "PERMISSIVE", "STRICT", "PERMISSIVE", "DISABLE"] {
        mesh.edit(&documents(mode)).await?;
        // Each is a new connection.
        for _ in 0..10 {
            let status = Client::outside()?.get(&direct).await?.status();
            assert_eq!(status, (mode != "STRICT").then_some(200), "{mode}");
        }
        answered(&account).await?;
    }
    stop.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await?;
    }
    let account = account.lock().unwrap().clone();
    assert_eq!(account.keys().map(String::as_str).collect::<Vec<_>>(), ["plain", "proxied"], "{account:?}");
    let state_dir = mesh.environment.state_dir("server");
    assert!(stat(&state_dir, "ssl.handshake").await? > 0, "some of it was mutual TLS");
    app.abort();
    mesh.stop().await
}
