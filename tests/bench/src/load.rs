//! A closed-loop HTTP/1.1 load: a fixed number of kept-alive connections, each with one request in flight. It reports when each request was
//! sent and how long it took; it never sends a request twice and never ignores an answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::latency::Latencies;

/// Of [`Load::differing`]; all as long as one another.
static NUMBER: AtomicU64 = AtomicU64::new(100_000_000_000);

/// What every connection sends, over and over.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) bearer: Bearer,
    /// Each request has a header that no other has.
    pub(crate) differing: bool,
    /// Every answer must have it: a refused request would make the numbers look good.
    pub(crate) expected: StatusCode,
}

/// The token of a request.
#[derive(Debug, Clone)]
pub(crate) enum Bearer {
    None,
    Same(HeaderValue),
    /// A new one each time; the load ends when there are no more.
    Each(Tokens),
}

/// Tokens that are each used once.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    all: Arc<[HeaderValue]>,
    next: Arc<AtomicUsize>,
    end: usize,
}

/// One request that was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    pub(crate) sent: Instant,
    pub(crate) nanoseconds: u64,
}

/// What one round measured.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) elapsed: Duration,
    pub(crate) answered: Vec<Answered>,
}

impl Tokens {
    /// Those of `all` from `start` to before `end`.
    pub(crate) fn new(all: &Arc<[HeaderValue]>, start: usize, end: usize) -> Self {
        Self { all: Arc::clone(all), next: Arc::new(AtomicUsize::new(start)), end }
    }

    fn take(&self) -> Option<HeaderValue> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        if index < self.end { self.all.get(index).cloned() } else { None }
    }
}

impl Round {
    pub(crate) fn requests(&self) -> usize {
        self.answered.len()
    }

    pub(crate) fn latencies(&self) -> Latencies {
        self.answered.iter().map(|answered| answered.nanoseconds).collect()
    }
}

impl Load {
    /// Sends for `time`, or until the tokens are used up.
    ///
    /// # Errors
    /// When a connection breaks or an answer has another status than the expected one.
    pub(crate) async fn run(&self, address: SocketAddr, time: Duration) -> anyhow::Result<Round> {
        let begun = Instant::now();
        // A load that sleeps is woken by Envoy, whose CPU time the waking is, and how often that happens depends on who is faster.
        let awake = tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        let mut connections = JoinSet::new();
        for _ in 0..self.connections {
            connections.spawn(self.clone().connection(address, begun + time));
        }
        let mut answered = Vec::new();
        while let Some(done) = connections.join_next().await {
            answered.extend(done??);
        }
        awake.abort();
        Ok(Round { elapsed: begun.elapsed(), answered })
    }

    async fn connection(self, address: SocketAddr, end: Instant) -> anyhow::Result<Vec<Answered>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(driver);
        let mut answered = Vec::new();
        while Instant::now() < end {
            let Some(mut request) = self.request()? else { break };
            if self.differing {
                request.headers_mut().insert("x-number", HeaderValue::from(NUMBER.fetch_add(1, Ordering::Relaxed)));
            }
            let sent = Instant::now();
            let response = sender.send_request(request).await?;
            let status = response.status();
            response.into_body().collect().await?;
            answered.push(Answered { sent, nanoseconds: u64::try_from(sent.elapsed().as_nanos())? });
            anyhow::ensure!(status == self.expected, "`{}` was answered {status}, not {}", self.path, self.expected);
        }
        drop(sender);
        driver.await??;
        Ok(answered)
    }

    /// The next request; none when there is no token left for it.
    fn request(&self) -> anyhow::Result<Option<Request<Empty<Bytes>>>> {
        let mut request = Request::get(&self.path).header(HOST, "catalog.bookshop.mesh");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        match &self.bearer {
            Bearer::None => {}
            Bearer::Same(token) => request = request.header(AUTHORIZATION, token),
            Bearer::Each(tokens) => match tokens.take() {
                Some(token) => request = request.header(AUTHORIZATION, token),
                None => return Ok(None),
            },
        }
        Ok(Some(request.body(Empty::new())?))
    }
}

/// The status of one `GET path` over a connection of its own.
pub(crate) async fn status_of(address: SocketAddr, path: &str) -> anyhow::Result<StatusCode> {
    let stream = TcpStream::connect(address).await.context("Envoy does not accept connections")?;
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(driver);
    let request = Request::get(path).header(HOST, "catalog.bookshop.mesh").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    response.into_body().collect().await?;
    drop(sender);
    driver.await??;
    Ok(status)
}
