#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
//! The echo server over real sockets, as an app in the mesh meets it.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use meshwright_echo::{Echo, EchoOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

fn options(name: &str) -> EchoOptions {
    EchoOptions { name: name.to_owned(), listen: Some("127.0.0.1:0".parse().unwrap()), ..EchoOptions::default() }
}

/// A running server; it stops when `stop` is sent or dropped.
struct Running {
    http: Option<SocketAddr>,
    tcp: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn start(options: EchoOptions) -> Running {
    let echo = Echo::bind(options).await.unwrap();
    let (http, tcp) = (echo.http_address(), echo.tcp_address());
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(echo.serve(async {
        let _either = stopped.await;
    }));
    Running { http, tcp, stop, task }
}

async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> (u16, Value) {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let response: Response<_> = if request.version() == Version::HTTP_2 {
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let request =
        headers.iter().fold(Request::get(path).header("host", "shop.mesh"), |request, (name, value)| request.header(*name, *value));
    send(address, request.body(Full::default()).unwrap()).await
}

#[tokio::test]
async fn reports_what_it_received() {
    let echo = start(options("catalog")).await;
    let request = Request::post("/books?page=2")
        .header("host", "catalog.mesh")
        .header("x-two", "a")
        .header("x-two", "b")
        .body(Full::from("hello"))
        .unwrap();
    let (status, body) = send(echo.http.unwrap(), request).await;
    assert_eq!(status, 200);
    assert_eq!((&body["service"], &body["version"]), (&json!("catalog"), &json!("v1")));
    assert_eq!((&body["method"], &body["path"], &body["query"]), (&json!("POST"), &json!("/books"), &json!("page=2")));
    assert_eq!((&body["authority"], &body["protocol"]), (&json!("catalog.mesh"), &json!("HTTP/1.1")));
    assert_eq!((&body["headers"]["x-two"], &body["body_bytes"], &body["calls"]), (&json!("a, b"), &json!(5), &json!([])));
    assert!(body["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn speaks_http2_without_tls() {
    let echo = start(options("catalog")).await;
    let request = Request::get("http://catalog.mesh/books").version(Version::HTTP_2).body(Full::default()).unwrap();
    let (status, body) = send(echo.http.unwrap(), request).await;
    assert_eq!(status, 200);
    assert_eq!((&body["protocol"], &body["authority"]), (&json!("HTTP/2.0"), &json!("catalog.mesh")));
}

/// An echo server answers any absolute URL, which makes it a fine proxy to see calls arrive at.
#[tokio::test]
async fn calls_go_through_the_proxy_and_carry_what_ties_them_together() {
    let proxy = start(options("next")).await;
    let echo = start(EchoOptions { proxy: proxy.http, ..options("frontend") }).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers =
        [("traceparent", trace), ("x-request-id", "r1"), ("x-b3-traceid", "b"), ("authorization", "Bearer t"), ("cookie", "secret=1")];
    let (status, body) = get(echo.http.unwrap(), "/?call=http://catalog.mesh/books?page%3D2&call=http://orders.mesh:81/", &headers).await;
    assert_eq!(status, 200);
    let call = &body["calls"][0];
    assert_eq!((&call["url"], &call["status"]), (&json!("http://catalog.mesh/books?page=2"), &json!(200)));
    assert_eq!((&call["body"]["service"], &call["body"]["path"]), (&json!("next"), &json!("/books")));
    assert_eq!(
        call["body"]["headers"],
        json!({"host": "catalog.mesh", "traceparent": trace, "x-request-id": "r1", "x-b3-traceid": "b", "authorization": "Bearer t"})
    );
    assert_eq!(body["calls"][1]["body"]["headers"]["host"], json!("orders.mesh:81"));
}

#[tokio::test]
async fn a_call_that_is_not_allowed_or_not_possible_is_reported_in_its_place() {
    let proxy = start(options("next")).await;
    let allowed = EchoOptions { proxy: proxy.http, allow_call: vec!["catalog.mesh".to_owned()], ..options("frontend") };
    let echo = start(allowed).await;
    let (_, body) = get(echo.http.unwrap(), "/?call=http://bank.mesh/&call=http://catalog.mesh/", &[]).await;
    assert_eq!(body["calls"][0]["error"], json!("calls to `bank.mesh` are not allowed"));
    assert_eq!(body["calls"][1]["status"], json!(200));
    let alone = start(options("frontend")).await;
    let (status, body) = get(alone.http.unwrap(), "/?call=http://catalog.mesh/", &[]).await;
    assert_eq!((status, &body["calls"][0]["error"]), (200, &json!("this echo server has no proxy to call through")));
    let (status, body) = get(alone.http.unwrap(), "/?call=ftp://catalog.mesh/", &[]).await;
    assert_eq!((status, &body["error"]), (400, &json!("`call=ftp://catalog.mesh/`: an absolute http URL is allowed")));
    let (status, _) = get(alone.http.unwrap(), "/?status=503", &[]).await;
    assert_eq!(status, 503);
}

#[tokio::test]
async fn a_silent_peer_costs_the_call_timeout_and_no_more() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Some(silent.local_addr().unwrap());
    let echo = start(EchoOptions { proxy, call_timeout: Duration::from_millis(100), ..options("frontend") }).await;
    let (_, body) = get(echo.http.unwrap(), "/?call=http://catalog.mesh/", &[]).await;
    assert_eq!(body["calls"][0]["error"], json!("no answer within 100ms"));
}

#[tokio::test]
async fn tcp_answers_line_by_line_and_is_called_through_loopback() {
    let ledger = start(EchoOptions { tcp: Some("127.0.0.1:0".parse().unwrap()), listen: None, ..options("ledger") }).await;
    let address = ledger.tcp.unwrap();
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    for (line, answer) in [("hello\n", "ledger: hello\n"), ("a\r\n", "ledger: a\n"), ("\n", "ledger: \n")] {
        stream.write_all(line.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_line(&mut text).await.unwrap();
        assert_eq!(text, answer);
    }
    let echo = start(options("orders")).await;
    let (_, body) = get(echo.http.unwrap(), &format!("/?tcp={address}&send=two+words"), &[]).await;
    assert_eq!(body["calls"], json!([{"tcp": address.to_string(), "answer": "ledger: two words"}]));
    ledger.stop.send(()).unwrap();
    ledger.task.await.unwrap();
    let (_, body) = get(echo.http.unwrap(), &format!("/?tcp={address}"), &[]).await;
    assert_eq!(body["calls"][0]["error"].as_str().unwrap().split(':').next(), Some("the connection was refused"));
}

#[tokio::test]
async fn a_line_without_an_end_is_not_kept_for_ever() {
    let ledger = start(EchoOptions { tcp: Some("127.0.0.1:0".parse().unwrap()), listen: None, ..options("ledger") }).await;
    let mut stream = TcpStream::connect(ledger.tcp.unwrap()).await.unwrap();
    let _closed_meanwhile = stream.write_all(&[b'x'; 100 * 1024]).await;
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    assert_eq!(answer, b"");
}

#[tokio::test]
async fn a_running_request_is_answered_after_the_shutdown_signal() {
    let echo = start(options("catalog")).await;
    let address = echo.http.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /?delay_ms=300 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // Answered later than the slow request was read: connections are served in the order in which they come.
    assert_eq!(get(address, "/", &[]).await.0, 200);
    echo.stop.send(()).unwrap();
    let mut text = String::new();
    slow.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    echo.task.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn nothing_to_listen_on_and_a_port_in_use_are_errors() {
    let error = Echo::bind(EchoOptions { listen: None, ..options("a") }).await.unwrap_err();
    assert!(error.to_string().contains("needs an address"), "{error}");
    let first = start(options("a")).await;
    let error = Echo::bind(EchoOptions { listen: first.http, ..options("b") }).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {}", first.http.unwrap()));
}
