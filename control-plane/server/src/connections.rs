//! Accepts connections and serves gRPC on them: TLS with the peer's certificates handed to each request, or plaintext where the operator
//! asked for it by name. Knows nothing of what is served.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use meshwright_ca::PeerCertificates;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
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

/// Streams that one connection may have at once: a proxy has a few, and one for each cluster where it asks without ADS.
const STREAMS: u32 = 1_000;

/// Bytes of responses that wait in a stream's buffer beyond what the transport is writing: a slow client costs so much, hyper's own default is
/// 400 KB. Less than a piece of a response, so that the next is made when the one before is being written.
const SEND_BUFFER: usize = 8 * 1024;
/// Bytes that wait for the socket encrypted: a frame of HTTP/2 with its head. The library's own default is 64 KB.
const TLS_BUFFER: usize = 20 * 1024;

/// How connections end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetimes {
    /// A connection is told to go when it is so old, ± a tenth: replicas that came later get their share of proxies.
    pub(crate) age: Duration,
    /// What is under way may take so long to end; discovery streams, which have no end, are cut off after it and open elsewhere.
    pub(crate) grace: Duration,
    /// At a shutdown connections are told to go one after the other, each so long after the one before, all within [`Self::window`]: those
    /// who have to take the proxies over are not called all at once.
    pub(crate) between: Duration,
    pub(crate) window: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { age: seconds(1_800), grace: seconds(1), between: Duration::from_millis(10), window: seconds(10) }
    }
}

impl Lifetimes {
    /// `luck` is from 0 to 1.
    fn age_with(self, luck: f64) -> Duration {
        self.age.mul_f64(0.2_f64.mul_add(luck.clamp(0.0, 1.0), 0.9))
    }

    /// The time over which the end of so many connections is spread.
    fn spread(self, connections: usize) -> Duration {
        self.between.saturating_mul(u32::try_from(connections).unwrap_or(u32::MAX)).min(self.window)
    }
}

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

/// Serves until `shutdown` turns true, then tells connections to go, spread over a time that their number decides.
pub(crate) async fn serve(
    listener: TcpListener,
    protection: Protection,
    routes: Routes,
    mut shutdown: watch::Receiver<bool>,
    lifetimes: Lifetimes,
) {
    // Once: a connection then only shares it.
    let routes = routes.prepare();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let ending = watch::Sender::new(None);
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Forgotten here, so that they do not pile up.
            Some(_ended) = connections.join_next() => continue,
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
        let (protection, routes, ending) = (protection.clone(), routes.clone(), ending.subscribe());
        connections.spawn(async move {
            if let Err(error) = connection(stream, protection, routes, Ending { lifetimes, ending }).await {
                tracing::debug!(error = %format!("{error:#}"), "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    let window = lifetimes.spread(connections.len());
    ending.send_replace(Some(window));
    tracing::info!(connections = connections.len(), window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX), "connections end");
    while connections.join_next().await.is_some() {}
}

/// When one connection ends.
struct Ending {
    lifetimes: Lifetimes,
    /// At a shutdown: the time over which all end.
    ending: watch::Receiver<Option<Duration>>,
}

impl Ending {
    async fn due(&mut self) {
        let luck: f64 = rand::random();
        let told = async {
            match self.ending.wait_for(Option::is_some).await {
                Ok(window) => window.unwrap_or_default(),
                // Whoever would say so is gone: that is the end as well.
                Err(_) => Duration::ZERO,
            }
        };
        let window = tokio::select! {
            () = tokio::time::sleep(self.lifetimes.age_with(luck)) => return,
            window = told => window,
        };
        tokio::time::sleep(window.mul_f64(luck)).await;
    }
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // An error means that whoever could say so is gone: that is the end as well.
    let _end = shutdown.wait_for(|stop| *stop).await;
}

async fn connection(stream: TcpStream, protection: Protection, routes: Routes, ending: Ending) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    match protection {
        Protection::Plaintext => http(stream, routes, Unauthenticated, true, ending).await,
        Protection::Tls(ref acceptor) | Protection::AnyHttp(ref acceptor) => {
            let mut stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await??;
            stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
            http(stream, routes, PeerCertificates(chain), matches!(protection, Protection::Tls(_)), ending).await
        }
    }
}

async fn http<T: Clone + Send + Sync + 'static>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    routes: Routes,
    peer: T,
    http2_only: bool,
    mut ending: Ending,
) -> anyhow::Result<()> {
    let service = routes.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer.clone());
        request.map(tonic::body::Body::new)
    });
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = if http2_only { builder.http2_only() } else { builder };
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(KEEPALIVE_INTERVAL).keep_alive_timeout(KEEPALIVE_TIMEOUT);
    builder.http2().max_concurrent_streams(STREAMS).max_send_buf_size(SEND_BUFFER);
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned());
    let grace = ending.lifetimes.grace;
    // Looked at when it is due, and not with each frame.
    let mut due: FuturesUnordered<_> = std::iter::once(ending.due()).collect();
    tokio::select! {
        biased;
        ended = served.as_mut() => return ended.map_err(|error| anyhow::anyhow!(error)),
        _due = due.next() => {}
    }
    // GOAWAY: the peer opens nothing more here.
    served.as_mut().graceful_shutdown();
    match tokio::time::timeout(grace, served).await {
        Ok(ended) => ended.map_err(|error| anyhow::anyhow!(error)),
        // What is left are streams without an end.
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
