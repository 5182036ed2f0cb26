use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

const ANSWER: Duration = Duration::from_secs(5);
/// A config dump holds every policy of the workload.
const LARGEST: usize = 256 * 1024 * 1024;

/// Envoy's admin interface on its Unix socket.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    socket: PathBuf,
}

impl Admin {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// # Errors
    /// When Envoy does not answer in time, or with another status than 200.
    pub(crate) async fn json<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let (status, body) = self.send(Method::GET, path).await?;
        anyhow::ensure!(status == 200, "Envoy's admin interface answers `{path}` with {status}");
        serde_json::from_slice(&body).with_context(|| format!("Envoy's admin interface answers `{path}` with something else than expected"))
    }

    /// # Errors
    /// As [`Admin::json`].
    pub(crate) async fn post(&self, path: &str) -> anyhow::Result<()> {
        let (status, _body) = self.send(Method::POST, path).await?;
        anyhow::ensure!(status == 200, "Envoy's admin interface answers `{path}` with {status}");
        Ok(())
    }

    /// Whether Envoy says that it is live; false, too, while it does not answer yet.
    pub(crate) async fn is_live(&self) -> bool {
        matches!(self.send(Method::GET, "/ready").await, Ok((200, _)))
    }

    async fn send(&self, method: Method, path: &str) -> anyhow::Result<(u16, Bytes)> {
        tokio::time::timeout(ANSWER, self.exchange(method, path)).await.context("Envoy's admin interface does not answer")?
    }

    async fn exchange(&self, method: Method, path: &str) -> anyhow::Result<(u16, Bytes)> {
        let stream = UnixStream::connect(&self.socket).await.context("Envoy's admin interface is not there")?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header(header::HOST, "admin").body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        connection.abort();
        match body {
            Ok(body) => Ok((status, body.to_bytes())),
            Err(error) => anyhow::bail!("Envoy's admin interface breaks off its answer: {error}"),
        }
    }
}
