//! A closed-loop HTTP/1.1 load: a fixed number of kept-alive connections, each with one request in flight, for a fixed time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What one round measured.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
    /// Latency of every request, in nanoseconds, sorted.
    latencies: Vec<u64>,
}

impl Round {
    pub(crate) fn per_second(&self) -> f64 {
        to_f64(self.requests) / self.elapsed.as_secs_f64()
    }

    /// Latency in microseconds that `share` (0 to 1) of the requests did not exceed.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let wanted = to_f64(u64::try_from(last).unwrap_or(0)) * share;
        let index = (0..=last).find(|i| to_f64(u64::try_from(*i).unwrap_or(0)) >= wanted).unwrap_or(last);
        self.latencies.get(index).map_or(0.0, |nanoseconds| to_f64(*nanoseconds) / 1000.0)
    }
}

/// Exact below 2^53, which no count here reaches.
pub(crate) fn to_f64(count: u64) -> f64 {
    let (high, low) = (count >> 32, count & u64::from(u32::MAX));
    f64::from(u32::try_from(high).unwrap_or(u32::MAX)) * 4_294_967_296.0 + f64::from(u32::try_from(low).unwrap_or(u32::MAX))
}

/// Sends `GET path` with `headers` over `connections` connections for `time`.
///
/// # Errors
/// When a connection breaks or any answer is not 200: a refused request would make the numbers look good.
pub(crate) async fn run(address: SocketAddr, connections: usize, time: Duration, headers: &[(String, String)]) -> anyhow::Result<Round> {
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        clients.spawn(connection(address, begun + time, headers.to_vec()));
    }
    let mut latencies = Vec::new();
    while let Some(done) = clients.join_next().await {
        latencies.extend(done??);
    }
    let elapsed = begun.elapsed();
    latencies.sort_unstable();
    Ok(Round { requests: u64::try_from(latencies.len())?, elapsed, latencies })
}

async fn connection(address: SocketAddr, end: Instant, headers: Vec<(String, String)>) -> anyhow::Result<Vec<u64>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(driver);
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let mut request = Request::get("/books/1").header("host", "catalog.bookshop.mesh");
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let sent = Instant::now();
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        let status = response.status();
        response.into_body().collect().await?;
        latencies.push(u64::try_from(sent.elapsed().as_nanos())?);
        anyhow::ensure!(status == 200, "a request was answered {status}");
    }
    drop(sender);
    driver.await??;
    Ok(latencies)
}
