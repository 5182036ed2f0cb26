//! Does what the plan says: fetches, keeps on disk, publishes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use meshwright_config::{KeySets, KeySource, State};
use meshwright_fetch::{Kept, Store, StoreError, set, sleep_until};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::Client;
use crate::error::{FetchError, Outcome};
use crate::key_set::KeySet;
use crate::plan::Plan;
use crate::report::Report;
use crate::wanted::{Wanted, wanted};

/// At the same time; more wait.
const FETCHES: usize = 16;
/// Tokens with unknown keys that wait to be looked at; more are dropped, for others will come.
const REPORTS: usize = 64;

/// Why there is no fetcher.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("keys cannot be fetched: {0}")]
    Client(String),
}

/// What a running [`Fetcher`] has, and what can be asked of it.
#[derive(Debug, Clone)]
pub struct Keys {
    key_sets: watch::Receiver<Arc<KeySets>>,
    report: watch::Receiver<Arc<Report>>,
    wanted: Arc<watch::Sender<Wanted>>,
    unknown: mpsc::Sender<UnknownKey>,
}

#[derive(Debug)]
struct UnknownKey {
    issuer: String,
    kid: String,
}

impl Keys {
    /// The newest key sets; it changes when they do.
    #[must_use]
    pub fn key_sets(&self) -> watch::Receiver<Arc<KeySets>> {
        self.key_sets.clone()
    }

    /// What is known of the sources; it changes with every attempt.
    #[must_use]
    pub fn reports(&self) -> watch::Receiver<Arc<Report>> {
        self.report.clone()
    }

    #[must_use]
    pub fn report(&self) -> Arc<Report> {
        Arc::clone(&self.report.borrow())
    }

    /// The documents from now on.
    pub fn want(&self, state: &State) {
        set(&self.wanted, wanted(state));
    }

    /// A proxy saw a token of `issuer` that names a key which it does not have. Its keys are fetched again, within limits.
    pub fn unknown_key(&self, issuer: String, kid: String) {
        if self.unknown.try_send(UnknownKey { issuer, kid }).is_err() {
            tracing::debug!("a token's unknown key is not looked for: others are first");
        }
    }
}

/// The one task that fetches.
#[derive(Debug)]
pub struct Fetcher {
    plan: Plan,
    store: Arc<Store>,
    client: Arc<Client>,
    places: Arc<Semaphore>,
    fetches: BTreeMap<Outcome, u64>,
    wanted: watch::Receiver<Wanted>,
    unknown: mpsc::Receiver<UnknownKey>,
    key_sets: watch::Sender<Arc<KeySets>>,
    report: watch::Sender<Arc<Report>>,
}

impl Fetcher {
    /// Reads what an earlier process kept in `<data_dir>/jwks` of the sources that `state` names; nothing is fetched before `run`.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(data_dir: &Path, state: &State) -> Result<(Self, Keys), OpenError> {
        let (wants, wanted) = watch::channel(wanted(state));
        let (unknown, reported) = mpsc::channel(REPORTS);
        let (key_sets, sets) = watch::channel(Arc::default());
        let (report, reports) = watch::channel(Arc::default());
        let mut fetcher = Self {
            plan: Plan::default(),
            store: Arc::new(Store::open(data_dir, "jwks")?),
            client: Arc::new(Client::new().map_err(OpenError::Client)?),
            places: Arc::new(Semaphore::new(FETCHES)),
            fetches: Outcome::ALL.into_iter().map(|outcome| (outcome, 0)).collect(),
            wanted,
            unknown: reported,
            key_sets,
            report,
        };
        fetcher.take_wanted();
        fetcher.publish();
        Ok((fetcher, Keys { key_sets: sets, report: reports, wanted: Arc::new(wants), unknown }))
    }

    /// Fetches until every [`Keys`] is gone.
    pub async fn run(mut self) {
        let mut running = JoinSet::new();
        loop {
            for (source, timeout) in self.plan.due(now()) {
                running.spawn(fetch(Arc::clone(&self.client), Arc::clone(&self.store), Arc::clone(&self.places), source, timeout));
            }
            self.publish();
            let next = self.plan.next();
            tokio::select! {
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.take_wanted(),
                    Err(_) => return,
                },
                Some(unknown) = self.unknown.recv() => self.plan.unknown_key(&unknown.issuer, &unknown.kid, now()),
                Some(fetched) = running.join_next() => match fetched {
                    Ok((source, result)) => self.take(&source, result),
                    Err(error) => tracing::error!(%error, "a fetch of keys ended early"),
                },
                () = sleep_until(next) => {}
            }
        }
    }

    fn take_wanted(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        let store = &self.store;
        let restored = |source: &KeySource| {
            load(store, source).unwrap_or_else(|error| {
                tracing::error!(%error, "keys that were kept cannot be used");
                None
            })
        };
        self.plan.want(wanted, restored, now());
    }

    fn take(&mut self, source: &KeySource, result: Result<KeySet, FetchError>) {
        let url = source.url();
        let outcome = result.as_ref().map_or_else(FetchError::outcome, |_| Outcome::Success);
        let count = self.fetches.entry(outcome).or_default();
        *count = count.saturating_add(1);
        match result {
            Ok(set) => {
                tracing::info!(url, keys = set.len(), "keys fetched");
                self.plan.succeeded(source, set, now());
            }
            Err(error) => {
                tracing::error!(url, %error, "keys cannot be fetched; those in hand stay");
                self.plan.failed(source, error.to_string(), now());
            }
        }
    }

    fn publish(&self) {
        set(&self.key_sets, Arc::new(self.plan.key_sets()));
        self.report.send_replace(Arc::new(Report { sources: self.plan.report(), fetches: self.fetches.clone() }));
    }
}

/// Keys that cannot be kept are used all the same: the next start has those of before.
async fn fetch(
    client: Arc<Client>,
    store: Arc<Store>,
    places: Arc<Semaphore>,
    source: KeySource,
    timeout: Duration,
) -> (KeySource, Result<KeySet, FetchError>) {
    let _place = places.acquire().await;
    let result = client.fetch(&source, timeout).await;
    if let Ok(set) = result.clone() {
        let of = source.clone();
        let saved = tokio::task::spawn_blocking(move || save(&store, &of, &set)).await;
        if let Ok(Err(error)) = saved {
            tracing::error!(%error, "fetched keys cannot be kept for the next start");
        }
    }
    (source, result)
}

fn load(store: &Store, source: &KeySource) -> Result<Option<KeySet>, StoreError> {
    let (kind, name) = named(source);
    let Some(Kept { text, fetched }) = store.load(kind, name)? else { return Ok(None) };
    KeySet::checked(&text, fetched).map(Some).map_err(|error| store.unusable(kind, name, error.to_string()))
}

fn save(store: &Store, source: &KeySource, set: &KeySet) -> Result<(), StoreError> {
    let (kind, name) = named(source);
    store.save(kind, name, &Kept { text: set.jwks().to_owned(), fetched: set.fetched() })
}

fn named(source: &KeySource) -> (&'static str, &str) {
    match source {
        KeySource::Uri(uri) => ("uri", uri),
        KeySource::Issuer(issuer) => ("issuer", issuer),
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
