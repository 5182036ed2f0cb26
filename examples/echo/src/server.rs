use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::call::Caller;
use crate::http::{App, answer};
use crate::options::EchoOptions;
use crate::tcp;

/// Out of file descriptors, the next accept would fail at once as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An echo server whose ports are taken and which does not answer yet.
#[derive(Debug)]
pub struct Echo {
    app: Arc<App>,
    http: Option<TcpListener>,
    tcp: Option<TcpListener>,
    drain_timeout: Duration,
}

/// Binds, logs one line `echo ready` with the addresses, and serves until `shutdown` completes and running requests are answered.
///
/// # Errors
/// When there is nothing to listen on or a port cannot be taken.
pub async fn run(options: EchoOptions, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let echo = Echo::bind(options).await?;
    let shown = |address: Option<SocketAddr>| address.map_or_else(|| "none".to_owned(), |address| address.to_string());
    tracing::info!("echo ready http={} tcp={}", shown(echo.http_address()), shown(echo.tcp_address()));
    echo.serve(shutdown).await;
    Ok(())
}

impl Echo {
    /// # Errors
    /// When there is nothing to listen on or a port cannot be taken.
    pub async fn bind(options: EchoOptions) -> anyhow::Result<Self> {
        let EchoOptions { name, version, listen, tcp, proxy, allow_call, call_timeout, drain_timeout } = options;
        anyhow::ensure!(listen.is_some() || tcp.is_some(), "an echo server needs an address to listen on, for HTTP or for TCP");
        let app = App { name, version, caller: Caller { proxy, allowed: allow_call, timeout: call_timeout } };
        Ok(Self { app: Arc::new(app), http: bind(listen).await?, tcp: bind(tcp).await?, drain_timeout })
    }

    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref()?.local_addr().ok()
    }

    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref()?.local_addr().ok()
    }

    /// Serves until `shutdown` completes, then until running requests are answered or the drain timeout has passed.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self { app, http, tcp, drain_timeout } = self;
        let graceful = GracefulShutdown::new();
        let mut streams = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                (stream, peer) = accept(http.as_ref()) => { streams.spawn(serve_http(Arc::clone(&app), stream, peer, graceful.watcher())); }
                (stream, _peer) = accept(tcp.as_ref()) => { streams.spawn(serve_lines(Arc::clone(&app), stream)); }
                Some(_ended) = streams.join_next() => {}
                () = &mut shutdown => break,
            }
        }
        drop((http, tcp));
        // HTTP connections end after the request that they are at; a TCP stream has no such point and is cut.
        if tokio::time::timeout(drain_timeout, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests still running after {drain_timeout:?} are cut off");
        }
    }
}

async fn bind(address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    Ok(Some(TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?))
}

async fn accept(listener: Option<&TcpListener>) -> (TcpStream, SocketAddr) {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_http(app: Arc<App>, stream: TcpStream, peer: SocketAddr, watcher: hyper_util::server::graceful::Watcher) {
    let service = service_fn(move |request| answer(Arc::clone(&app), peer, request));
    let builder = Builder::new(TokioExecutor::new());
    let connection = watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    if let Err(error) = connection.await {
        tracing::debug!(%error, %peer, "a connection ended early");
    }
}

async fn serve_lines(app: Arc<App>, stream: TcpStream) {
    if let Err(error) = tcp::lines(stream, &app.name).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
