//! Stands between sidecars and control planes and cuts their connections at chosen points.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const PIECE: usize = 4096;

/// A relay of TCP connections.
#[derive(Debug)]
pub struct Cutter {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    targets: Vec<SocketAddr>,
    next: AtomicUsize,
    alternating: AtomicBool,
    cutting: AtomicBool,
    cuts: AtomicU32,
    seed: u64,
    connections: AtomicU32,
    /// Ends every connection there is.
    all: Notify,
}

impl Cutter {
    /// Relays to the first of `targets`; cuts nothing yet.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn start(targets: Vec<SocketAddr>, seed: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            targets,
            next: AtomicUsize::new(0),
            alternating: AtomicBool::new(false),
            cutting: AtomicBool::new(false),
            cuts: AtomicU32::new(0),
            seed,
            connections: AtomicU32::new(0),
            all: Notify::new(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on each connection goes to the target after that of the last one.
    pub fn alternate(&self) {
        self.shared.alternating.store(true, Ordering::SeqCst);
    }

    /// Whether each new connection is cut after some bytes: from none to a few thousand in either direction.
    pub fn cut_at_random(&self, cutting: bool) {
        self.shared.cutting.store(cutting, Ordering::SeqCst);
    }

    /// Ends every connection there is.
    pub fn cut_all(&self) {
        self.shared.all.notify_waiters();
    }

    /// How many connections were cut at a random byte.
    #[must_use]
    pub fn cuts(&self) -> u32 {
        self.shared.cuts.load(Ordering::SeqCst)
    }

    /// How many connections were begun.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.all.notify_waiters();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((from, _)) = listener.accept().await {
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let step = usize::from(shared.alternating.load(Ordering::SeqCst));
        let next = shared.next.fetch_add(step, Ordering::SeqCst) % shared.targets.len().max(1);
        let Some(target) = shared.targets.get(next).copied() else { return };
        tokio::spawn(relay(from, target, number, Arc::clone(&shared)));
    }
}

async fn relay(from: TcpStream, target: SocketAddr, number: u32, shared: Arc<Shared>) {
    let Ok(to) = TcpStream::connect(target).await else { return };
    let mut random = StdRng::seed_from_u64(shared.seed.wrapping_add(u64::from(number)));
    let most = if shared.cutting.load(Ordering::SeqCst) { random.random_range(0..20_000) } else { usize::MAX };
    let (from_read, from_write) = from.into_split();
    let (to_read, to_write) = to.into_split();
    tokio::select! {
        cut = copy(from_read, to_write, most) => count(&shared, cut),
        cut = copy(to_read, from_write, most) => count(&shared, cut),
        () = shared.all.notified() => {}
    }
}

fn count(shared: &Shared, cut: bool) {
    if cut {
        shared.cuts.fetch_add(1, Ordering::SeqCst);
    }
}

/// Copies up to `most` bytes; whether it was that bound that ended it.
async fn copy(mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf, most: usize) -> bool {
    let mut left = most;
    let mut piece = [0; PIECE];
    while left > 0 {
        let Ok(read) = from.read(&mut piece).await else { return false };
        let sent = read.min(left);
        left = left.saturating_sub(sent);
        let Some(bytes) = piece.get(..sent).filter(|bytes| !bytes.is_empty()) else { return false };
        if to.write_all(bytes).await.is_err() {
            return false;
        }
    }
    true
}
