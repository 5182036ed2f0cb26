//! Hostile requests against a whole mesh: each gets one clear answer, and the next good request is served as before.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use meshwright_demo::bookshop::{Bookshop, INGRESS_HOST};
use meshwright_e2e::cases::HOSTILE;
use meshwright_test_support as support;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Sends raw bytes through an outbound listener and returns the status line; empty when the connection was closed without one.
async fn raw(outbound: SocketAddr, request: &[u8]) -> anyhow::Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(outbound).await?;
        // Envoy may answer and close before it has read all of a request that is too large.
        let _cut = stream.write_all(request).await;
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while !answer.contains(&b'\n') {
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(length) => answer.extend_from_slice(piece.get(..length).unwrap_or_default()),
            }
        }
        anyhow::Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
    };
    tokio::time::timeout(TIMEOUT, exchange).await?
}

fn get(path: &str, headers: &[u8]) -> Vec<u8> {
    let mut request = format!("GET {path} HTTP/1.1\r\nhost: catalog.bookshop.mesh\r\n").into_bytes();
    request.extend_from_slice(headers);
    request.extend_from_slice(b"\r\n");
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_requests_are_answered_and_forgotten() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let mesh = Bookshop::start(environment, network, &|_| {}).await?;
    let outbound = network.at(2, 15_001);
    let good = || raw(outbound, b"GET /books HTTP/1.1\r\nhost: catalog.bookshop.mesh\r\n\r\n");
    assert_eq!(good().await?, "HTTP/1.1 200 OK");

    let mut thousand = String::new();
    for number in 0..1000 {
        write!(thousand, "x-{number}: y\r\n")?;
    }
    let long_token = format!("authorization: Bearer {}\r\n", "a".repeat(1 << 20));
    for (what, request, statuses) in [
        ("1000 headers", get("/books", thousand.as_bytes()), ["HTTP/1.1 431", "HTTP/1.1 431"]),
        ("a token of 1 MB", get("/books", long_token.as_bytes()), ["HTTP/1.1 431", "HTTP/1.1 431"]),
        (
            "a token of 40 kB",
            get("/books", format!("authorization: Bearer {}\r\n", "a".repeat(40_000)).as_bytes()),
            ["HTTP/1.1 401", "HTTP/1.1 200"],
        ),
        ("headers that are not UTF-8", get("/books", b"x-name: \xff\xfe\x80\r\n"), ["HTTP/1.1 200", "HTTP/1.1 200"]),
        ("a path that is not UTF-8", get("/books/\u{fffd}", b""), ["HTTP/1.1 200", "HTTP/1.1 400"]),
    ] {
        let answer = raw(outbound, &request).await?;
        assert!(statuses.iter().any(|status| answer.starts_with(status)), "{what}: {answer}");
        assert_eq!(good().await?, "HTTP/1.1 200 OK", "after {what}");
    }

    for case in HOSTILE {
        let header = case.header.map(|(name, value)| format!("{name}: {value}\r\n")).unwrap_or_default();
        let request = format!("{} {} HTTP/1.1\r\nhost: catalog.bookshop.mesh\r\n{header}\r\n", case.method, case.path);
        let answer = raw(outbound, request.as_bytes()).await?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        assert!(status.is_some_and(|status| case.statuses.contains(&status)), "{}: {answer}", case.what);
        assert_eq!(good().await?, "HTTP/1.1 200 OK", "after {}", case.what);
    }

    let browser = mesh.browser()?;
    let url = format!("https://{INGRESS_HOST}:{}/orders", mesh.address("gateway")?.port());
    let token = mesh.issuer.token("ada", &["customer"], 3600)?;
    // Trailing characters, a stripped signature, and `none`: each must be refused, never taken for anonymous.
    let (unsigned, _signature) = token.rsplit_once('.').unwrap_or((&token, ""));
    for forged in [
        format!("{token}A"),
        format!("{unsigned}."),
        "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2FjY291bnRzLmJvb2tzaG9wLmV4YW1wbGUifQ.".to_owned(),
    ] {
        let answer = browser.send("POST", &url, &[("authorization", &format!("Bearer {forged}"))]).await?;
        assert_eq!(answer.status(), Some(401), "{forged}: {}", answer.summary());
    }
    let answer = browser.send("POST", &url, &[("authorization", &format!("Bearer {token}"))]).await?;
    assert_eq!(answer.status(), Some(200), "{}", answer.summary());
    mesh.stop().await
}
