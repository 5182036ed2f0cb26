//! Accepts connections and serves gRPC on them: TLS with the peer's certificates handed to each request, or plaintext where the operator
//! asked for it by name. Knows nothing of what is served.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use meshwright_ca::PeerCertificates;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;
use tower::ServiceExt as _;

/// A peer that goes silent is noticed after interval plus timeout; tonic's and hyper's own default is never.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const HANDSHAKE: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections held at once; more wait in the listen queue.
const CONNECTIONS: usize = 20_000;

/// Marks requests that came over the plaintext port, whose peer nobody has authenticated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unauthenticated;

/// How a listener protects its connections.
#[derive(Clone)]
pub(crate) enum Protection {
    Tls(TlsAcceptor),
    /// As [`Protection::Tls`], for HTTP/1 clients too.
    AnyHttp(TlsAcceptor),
    /// Only for `--insecure-plaintext`.
    Plaintext,
}

/// Serves until `shutdown` turns true, then lets running streams end for at most `drain`.
pub(crate) async fn serve(
    listener: TcpListener,
    protection: Protection,
    routes: Routes,
    mut shutdown: watch::Receiver<bool>,
    drain: Duration,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut shutdown) => break,
        };
        let stream = match accepted {
            Ok((stream, _peer)) => stream,
            Err(error) => {
                // Out of file descriptors: the next accept would fail at once as well.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (protection, routes, watcher) = (protection.clone(), routes.clone(), graceful.watcher());
        tokio::spawn(async move {
            if let Err(error) = connection(stream, protection, routes, watcher).await {
                tracing::debug!(error = %format!("{error:#}"), "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::info!("connections still open after the drain time are closed");
    }
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // An error means that whoever could say so is gone: that is the end as well.
    let _end = shutdown.wait_for(|stop| *stop).await;
}

async fn connection(
    stream: TcpStream,
    protection: Protection,
    routes: Routes,
    watcher: hyper_util::server::graceful::Watcher,
) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    match protection {
        Protection::Plaintext => http(stream, routes, Unauthenticated, true, watcher).await,
        Protection::Tls(ref acceptor) | Protection::AnyHttp(ref acceptor) => {
            let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await??;
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
            http(stream, routes, PeerCertificates(chain), matches!(protection, Protection::Tls(_)), watcher).await
        }
    }
}

async fn http<T: Clone + Send + Sync + 'static>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    routes: Routes,
    peer: T,
    http2_only: bool,
    watcher: hyper_util::server::graceful::Watcher,
) -> anyhow::Result<()> {
    let service = routes.prepare().map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer.clone());
        request.map(tonic::body::Body::new)
    });
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = if http2_only { builder.http2_only() } else { builder };
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(KEEPALIVE_INTERVAL).keep_alive_timeout(KEEPALIVE_TIMEOUT);
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
    watcher.watch(served).await.map_err(|error| anyhow::anyhow!(error))
}
