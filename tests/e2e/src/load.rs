//! Requests at an even pace, half of them on a connection of their own, until somebody has seen enough. What is late is made up for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// Those that send beside each other.
const WORKERS: u32 = 32;
const ANSWERED: Duration = Duration::from_secs(10);
/// Kept of what failed; all are counted.
const SHOWN: usize = 20;

/// Where to, and how often.
#[derive(Debug, Clone)]
pub struct Target {
    /// The sidecar's outbound listener.
    pub proxy: SocketAddr,
    /// `host:port`.
    pub authority: String,
    pub per_second: u32,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Account {
    pub requests: u64,
    pub fresh_connections: u64,
    pub failed: u64,
    /// Of the first that failed, why.
    pub failures: Vec<String>,
    pub longest: Duration,
    pub elapsed: Duration,
}

/// Requests under way; ends when it is dropped.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    begun: Instant,
    workers: Vec<JoinHandle<Account>>,
}

impl Load {
    #[must_use]
    pub fn start(target: &Target) -> Self {
        let (stop, sent, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Instant::now());
        let worker = |number| tokio::spawn(work(target.clone(), number, begun, Arc::clone(&stop), Arc::clone(&sent)));
        let workers = (0..WORKERS).map(worker).collect();
        Self { stop, sent, begun, workers }
    }

    /// Answered so far, or failed.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Ends it; what was begun is waited for.
    ///
    /// # Errors
    /// When a worker ended early.
    pub async fn stop(mut self) -> anyhow::Result<Account> {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Account { elapsed: self.begun.elapsed(), ..Account::default() };
        for worker in std::mem::take(&mut self.workers) {
            let Account { requests, fresh_connections, failed, failures, longest, elapsed: _ } = worker.await?;
            all.requests = all.requests.saturating_add(requests);
            all.fresh_connections = all.fresh_connections.saturating_add(fresh_connections);
            all.failed = all.failed.saturating_add(failed);
            all.failures.extend(failures);
            all.longest = all.longest.max(longest);
        }
        all.failures.truncate(SHOWN);
        Ok(all)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.workers.iter().for_each(JoinHandle::abort);
    }
}

async fn work(target: Target, number: u32, begun: Instant, stop: Arc<AtomicBool>, sent: Arc<AtomicU64>) -> Account {
    let (mut account, mut kept) = (Account::default(), None);
    let pace = Duration::from_secs(1) / target.per_second;
    for turn in 0_u32.. {
        sleep_until(begun + pace.saturating_mul(turn.saturating_mul(WORKERS).saturating_add(number))).await;
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let asked = Instant::now();
        let is_fresh = turn % 2 == 0;
        let answer = if is_fresh { once(&target).await } else { again(&target, &mut kept).await };
        account.requests = account.requests.saturating_add(1);
        account.fresh_connections = account.fresh_connections.saturating_add(is_fresh.into());
        account.longest = account.longest.max(asked.elapsed());
        if let Err(error) = answer {
            account.failed = account.failed.saturating_add(1);
            account.failures.push(format!("{error:#}"));
            account.failures.truncate(SHOWN);
        }
        sent.fetch_add(1, Ordering::SeqCst);
    }
    account
}

type Sender = SendRequest<Empty<Bytes>>;

async fn connect(target: &Target) -> anyhow::Result<Sender> {
    let stream = TcpStream::connect(target.proxy).await.context("the proxy does not accept")?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its errors are those of the requests on it.
    tokio::spawn(connection);
    Ok(sender)
}

async fn once(target: &Target) -> anyhow::Result<()> {
    let mut sender = timeout(ANSWERED, connect(target)).await.context("no connection in time")??;
    ask(target, &mut sender).await
}

/// On the connection of before, unless the proxy has ended it.
async fn again(target: &Target, kept: &mut Option<Sender>) -> anyhow::Result<()> {
    let usable = match kept.take() {
        Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
        None => None,
    };
    let mut sender = match usable {
        Some(sender) => sender,
        None => connect(target).await?,
    };
    ask(target, &mut sender).await?;
    *kept = Some(sender);
    Ok(())
}

async fn ask(target: &Target, sender: &mut Sender) -> anyhow::Result<()> {
    let request = Request::get("/").header("host", &target.authority).body(Empty::new())?;
    let exchange = async {
        let response = sender.send_request(request).await.context("no answer")?;
        let status = response.status();
        let body = response.into_body().collect().await.context("half an answer")?.to_bytes();
        anyhow::ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        Ok(())
    };
    timeout(ANSWERED, exchange).await.context("no answer in time")?
}
