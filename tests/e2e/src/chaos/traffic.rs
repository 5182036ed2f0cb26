//! Requests at a steady pace through two sidecars, and an account of what was answered against what the policy says.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use meshwright_demo::client::{Answer, Client};
use tokio::task::JoinHandle;

use crate::pair::{HOST, HTTP};

const WORKERS: u32 = 4;
/// Of each worker: three requests, so that all of them together send about 200 a second.
const PACE: Duration = Duration::from_millis(60);
/// A bound on one worker's rounds, should a test hang.
const MOST_ROUNDS: u32 = 20_000;
const SHOWN: usize = 5;

/// What was answered.
#[derive(Debug, Clone, Default)]
pub struct Account {
    pub requests: u32,
    /// The policy allows it, and it was not answered 200.
    pub failed: Vec<String>,
    /// The policy denies it, and it was not answered 403.
    pub let_through: Vec<String>,
    /// The policy of an older turn decided after that of a newer one had.
    pub went_back: Vec<String>,
    /// The newest turn that was seen in force.
    pub newest: u32,
}

impl Account {
    /// Nothing allowed failed, nothing denied got through, no proxy went back to an older policy.
    ///
    /// # Errors
    /// What went wrong, with the first few requests of each kind.
    pub fn clean(&self) -> anyhow::Result<()> {
        let wrong = [("failed", &self.failed), ("let through", &self.let_through), ("older policy", &self.went_back)];
        let wrong: Vec<String> = wrong
            .iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(what, list)| format!("{} {what}: {:?}", list.len(), list.iter().take(SHOWN).collect::<Vec<_>>()))
            .collect();
        anyhow::ensure!(self.requests > 0, "no request was sent");
        anyhow::ensure!(wrong.is_empty(), "of {} requests {}", self.requests, wrong.join("; "));
        Ok(())
    }
}

/// The traffic, until it is stopped.
#[derive(Debug)]
pub struct Traffic {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// The newest turn that may be in force.
    saved: AtomicU32,
    account: Mutex<Account>,
}

impl Traffic {
    /// Begins, with the policy of `turn` in force.
    #[must_use]
    pub fn start(client: &Client, turn: u32) -> Self {
        let shared = Arc::new(Shared::default());
        shared.saved.store(turn, Ordering::SeqCst);
        let workers = (0..WORKERS).map(|_| tokio::spawn(work(client.clone(), Arc::clone(&shared)))).collect();
        Self { shared, workers }
    }

    /// From now on the policy of `turn` may be in force. To be called before it is saved.
    pub fn may_see(&self, turn: u32) {
        self.shared.saved.fetch_max(turn, Ordering::SeqCst);
    }

    /// The newest turn seen in force so far.
    #[must_use]
    pub fn newest(&self) -> u32 {
        self.shared.account().newest
    }

    /// Waits until the policy of `turn` has been seen in force.
    ///
    /// # Errors
    /// When that takes longer than `most`.
    pub async fn sees(&self, turn: u32, most: Duration) -> anyhow::Result<()> {
        let seen = async {
            let mut look = tokio::time::interval(Duration::from_millis(20));
            while self.newest() < turn {
                look.tick().await;
            }
        };
        tokio::time::timeout(most, seen).await.with_context(|| format!("turn {turn} is not in force; the newest is {}", self.newest()))
    }

    /// Ends it and tells what was answered.
    ///
    /// # Errors
    /// When a worker panicked.
    pub async fn stop(self) -> anyhow::Result<Account> {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers {
            worker.await?;
        }
        Ok(self.shared.account().clone())
    }
}

impl Shared {
    fn account(&self) -> std::sync::MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn work(client: Client, shared: Arc<Shared>) {
    let mut pace = tokio::time::interval(PACE);
    for _ in 0..MOST_ROUNDS {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        pace.tick().await;
        always(&client, &shared).await;
        never(&client, &shared).await;
        turn(&client, &shared).await;
    }
}

fn url(path: &str) -> String {
    format!("http://{HOST}:{HTTP}{path}")
}

async fn get(client: &Client, shared: &Shared, path: &str) -> (Option<u16>, String) {
    let begun = Instant::now();
    let answer = client.get(&url(path)).await;
    shared.account().requests += 1;
    let status = answer.as_ref().ok().and_then(Answer::status);
    let words = answer.map_or_else(|error| error.to_string(), |answer| answer.summary());
    (status, format!("{path}: {words} after {:?}", begun.elapsed()))
}

async fn always(client: &Client, shared: &Shared) {
    let (status, words) = get(client, shared, "/always").await;
    if status != Some(200) {
        shared.account().failed.push(words);
    }
}

async fn never(client: &Client, shared: &Shared) {
    let (status, words) = get(client, shared, "/never").await;
    if status != Some(403) {
        shared.account().let_through.push(words);
    }
}

/// The newest turn's path, and by it which policy decides now: one that allows an older turn's path after a newer one was seen went back.
async fn turn(client: &Client, shared: &Shared) {
    let before = shared.account().newest;
    let saved = shared.saved.load(Ordering::SeqCst);
    // Between the last one seen and the last one saved: which of them is in force is the control plane's to say.
    for turn in before.saturating_sub(1)..=saved {
        let known = shared.account().newest;
        let (status, words) = get(client, shared, &format!("/turn/{turn}")).await;
        match status {
            Some(200) if turn < known => shared.account().went_back.push(format!("{words}, and {known} was in force before")),
            Some(200) => {
                let mut account = shared.account();
                account.newest = account.newest.max(turn);
            }
            Some(403) => {}
            _ => shared.account().failed.push(words),
        }
    }
}
