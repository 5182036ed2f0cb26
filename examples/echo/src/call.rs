use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use http::{HeaderMap, HeaderName, Request, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// What is read of an answer.
const LARGEST_BODY: usize = 1024 * 1024;
const LONGEST_LINE: u64 = 64 * 1024;

/// Headers that tie calls to the request that caused them: W3C Trace Context, B3 in both forms, Envoy's request id, and the caller's token.
fn is_propagated(name: &HeaderName) -> bool {
    let name = name.as_str();
    ["x-request-id", "traceparent", "tracestate", "b3", "authorization"].contains(&name) || name.starts_with("x-b3-")
}

/// Who may be called, and by which way.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) proxy: Option<SocketAddr>,
    pub(crate) allowed: Vec<String>,
    pub(crate) timeout: Duration,
}

impl Caller {
    /// GETs `url` through the proxy with the headers of `cause` that are passed on; what went wrong is an answer, too.
    pub(crate) async fn get(&self, url: &Uri, cause: &HeaderMap) -> Value {
        let answer = tokio::time::timeout(self.timeout, self.try_get(url, cause)).await.unwrap_or_else(|_| Err(late(self.timeout)));
        match answer {
            Ok((status, body)) => json!({"url": url.to_string(), "status": status, "body": body}),
            Err(error) => json!({"url": url.to_string(), "error": format!("{error:#}")}),
        }
    }

    async fn try_get(&self, url: &Uri, cause: &HeaderMap) -> anyhow::Result<(u16, Value)> {
        let proxy = self.proxy.context("this echo server has no proxy to call through")?;
        let host = url.host().unwrap_or_default();
        anyhow::ensure!(self.allowed.is_empty() || self.allowed.iter().any(|allowed| allowed == host), "calls to `{host}` are not allowed");
        let stream = TcpStream::connect(proxy).await.with_context(|| format!("the proxy {proxy} is not reached"))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        // The absolute form is how a client asks a proxy (RFC 9112, section 3.2.2).
        let mut request = Request::get(url.clone()).body(Empty::<Bytes>::new())?;
        let authority = url.authority().map_or(host, http::uri::Authority::as_str);
        request.headers_mut().insert(header::HOST, authority.parse()?);
        for (name, value) in cause.iter().filter(|(name, _)| is_propagated(name)) {
            request.headers_mut().append(name, value.clone());
        }
        let response = sender.send_request(request).await.context("the connection was closed")?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LARGEST_BODY).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the answer breaks off: {error}"))?.to_bytes();
        drop(sender);
        // Whatever happens to the connection now, the answer is whole.
        connection.abort();
        Ok((status, text_or_json(&body)))
    }

    /// Sends one line to a loopback listener and reads one.
    pub(crate) async fn line(&self, address: SocketAddr, line: &str) -> Value {
        let answer = tokio::time::timeout(self.timeout, exchange(address, line)).await.unwrap_or_else(|_| Err(late(self.timeout)));
        match answer {
            Ok(answer) => json!({"tcp": address.to_string(), "answer": answer}),
            Err(error) => json!({"tcp": address.to_string(), "error": format!("{error:#}")}),
        }
    }
}

async fn exchange(address: SocketAddr, line: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await.context("the connection was refused")?;
    stream.write_all(format!("{line}\n").as_bytes()).await.context("the connection was closed")?;
    let mut answer = Vec::new();
    BufReader::new(stream).take(LONGEST_LINE).read_until(b'\n', &mut answer).await.context("the connection was closed")?;
    anyhow::ensure!(!answer.is_empty(), "the connection was closed");
    Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
}

fn text_or_json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}

fn late(timeout: Duration) -> anyhow::Error {
    anyhow::anyhow!("no answer within {timeout:?}")
}
