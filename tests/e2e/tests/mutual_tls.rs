//! PeerAuthentication as those who connect find it: every mode, with plaintext and with mutual TLS, over HTTP and TCP, live from one to the
//! next.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use meshwright_demo::client::Client;
use meshwright_e2e::cases::{Found, Mode, WHO, modes};
use meshwright_e2e::pair::{self, HOST, HTTP, Pair, TCP};
use meshwright_test_support as support;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Statuses of `/named` and `/nameless`; `None`: the connection was closed.
async fn http(client: &Client, authority: &str) -> anyhow::Result<[Option<u16>; 2]> {
    let status = async |path: &str| anyhow::Ok(client.get(&format!("http://{authority}{path}")).await?.status());
    Ok([status("/named").await?, status("/nameless").await?])
}

/// What comes back for a TLS greeting that is the client's own affair, followed by the end of a line.
async fn own_tls(to: SocketAddr) -> anyhow::Result<Vec<u8>> {
    let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let mut tls = ClientConnection::new(Arc::new(config), ServerName::try_from("own.example")?)?;
    let mut hello = Vec::new();
    tls.write_tls(&mut hello)?;
    hello.push(b'\n');
    let exchange = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(&hello).await?;
        let mut answer = vec![0; 8];
        let length = stream.read_exact(&mut answer).await.unwrap_or_default();
        answer.truncate(length);
        anyhow::Ok(answer)
    };
    tokio::time::timeout(TIMEOUT, exchange).await.context("no answer to a TLS greeting")?
}

async fn find(mesh: &Pair) -> anyhow::Result<Found> {
    let outside = Client::outside()?;
    let line = Some("server: hello".to_owned());
    Ok(Found {
        mesh_http: http(&mesh.calls()?, HOST).await?,
        outside_http: http(&outside, &mesh.server_port(HTTP).to_string()).await?,
        mesh_tcp: pair::line(mesh.tcp(), "hello").await? == line,
        outside_tcp: pair::line(mesh.server_port(TCP), "hello").await? == line,
        own_tls: own_tls(mesh.server_port(TCP)).await? == b"server: ",
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_takes_who_it_says() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let documents = |more: &str| pair::documents(network, "", &format!("{more}{WHO}"));
    let mesh = Pair::start(environment, network, &documents("")).await?;
    for Mode { what, document, found: expected, .. } in modes() {
        if let Some(more) = document {
            mesh.edit(&documents(&more)).await?;
        }
        // The sidecar's own connections of before end with the next answer on each; new ones are as the new mode says from the first.
        let begun = Instant::now();
        while http(&mesh.calls()?, HOST).await? != expected.mesh_http && begun.elapsed() < TIMEOUT {}
        assert_eq!(find(&mesh).await?, expected, "{what}");
    }
    mesh.stop().await
}
