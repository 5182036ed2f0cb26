//! Does what the plan says: fetches, keeps on disk, publishes.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use meshwright_bundle::TrustBundle;
use meshwright_config::{EndpointServer, FetchedBundles, ForeignDomain, State};
use meshwright_fetch::{Kept, Store, StoreError, set, sleep_until};
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::{self, FetchError};
use crate::plan::{Due, Held, Plan};
use crate::report::DomainReport;

/// In the data directory.
const FOLDER: &str = "federation";
/// Of what the store keeps.
const KIND: &str = "bundle";
/// At the same time; more wait.
const FETCHES: usize = 8;

/// Why bundles cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a running [`Federation`] has, and what can be asked of it.
#[derive(Debug, Clone)]
pub struct FederatedBundles {
    bundles: watch::Receiver<Arc<FetchedBundles>>,
    report: watch::Receiver<Arc<Vec<DomainReport>>>,
    wanted: Arc<watch::Sender<Vec<ForeignDomain>>>,
}

impl FederatedBundles {
    /// The newest bundles that were fetched; it changes when they do.
    #[must_use]
    pub fn bundles(&self) -> watch::Receiver<Arc<FetchedBundles>> {
        self.bundles.clone()
    }

    /// What is known of each trust domain; it changes with every attempt.
    #[must_use]
    pub fn reports(&self) -> watch::Receiver<Arc<Vec<DomainReport>>> {
        self.report.clone()
    }

    #[must_use]
    pub fn report(&self) -> Arc<Vec<DomainReport>> {
        Arc::clone(&self.report.borrow())
    }

    /// The documents from now on.
    pub fn want(&self, state: &State) {
        set(&self.wanted, domains(state));
    }
}

/// The one task that fetches.
#[derive(Debug)]
pub struct Federation {
    plan: Plan,
    store: Arc<Store>,
    places: Arc<Semaphore>,
    wanted: watch::Receiver<Vec<ForeignDomain>>,
    bundles: watch::Sender<Arc<FetchedBundles>>,
    report: watch::Sender<Arc<Vec<DomainReport>>>,
}

impl Federation {
    /// Reads what an earlier process kept in `<data_dir>/federation` of the trust domains that `state` declares; nothing is fetched before
    /// `run`.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(data_dir: &Path, state: &State) -> Result<(Self, FederatedBundles), OpenError> {
        let (wants, wanted) = watch::channel(domains(state));
        let (bundles, fetched) = watch::channel(Arc::default());
        let (report, reports) = watch::channel(Arc::default());
        let store = Arc::new(Store::open(data_dir, FOLDER)?);
        let mut federation = Self { plan: Plan::default(), store, places: Arc::new(Semaphore::new(FETCHES)), wanted, bundles, report };
        federation.take_wanted();
        federation.publish();
        Ok((federation, FederatedBundles { bundles: fetched, report: reports, wanted: Arc::new(wants) }))
    }

    /// Fetches until every [`FederatedBundles`] is gone.
    pub async fn run(mut self) {
        let mut running = JoinSet::new();
        loop {
            for due in self.plan.due(Instant::now().into_std()) {
                running.spawn(fetch(Arc::clone(&self.places), due));
            }
            self.publish();
            let next = self.plan.next();
            tokio::select! {
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.take_wanted(),
                    Err(_) => return,
                },
                Some(fetched) = running.join_next() => match fetched {
                    Ok((of, result)) => self.take(&of, result).await,
                    Err(error) => tracing::error!(%error, "a fetch of a trust bundle ended early"),
                },
                () = sleep_until(next) => {}
            }
        }
    }

    fn take_wanted(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        let store = &self.store;
        let restored = |of: &ForeignDomain| {
            load(store, of).unwrap_or_else(|error| {
                tracing::error!(%error, "a trust bundle that was kept cannot be used");
                None
            })
        };
        self.plan.want(&wanted, restored, Instant::now().into_std());
    }

    async fn take(&mut self, of: &ForeignDomain, result: Result<TrustBundle, FetchError>) {
        let (domain, now) = (of.name(), Instant::now().into_std());
        let bundle = match result {
            Ok(bundle) => bundle,
            Err(error) => {
                tracing::error!(%domain, %error, "the trust bundle cannot be fetched; the one in hand stays");
                return self.plan.failed(of, error.to_string(), now);
            }
        };
        let (roots, sequence) = (bundle.roots().len(), bundle.sequence());
        let held = Held { bundle, fetched: SystemTime::now() };
        if let Err(older) = self.plan.answered(of, held.clone(), now) {
            tracing::error!(%domain, error = %older, "the trust bundle in hand stays");
            return;
        }
        tracing::debug!(%domain, roots, sequence, "trust bundle fetched");
        let (store, of) = (Arc::clone(&self.store), of.clone());
        // One that cannot be kept is used all the same: the next start has the one of before.
        let saved = tokio::task::spawn_blocking(move || save(&store, &of, &held)).await;
        if let Ok(Err(error)) = saved {
            tracing::error!(%error, "a fetched trust bundle cannot be kept for the next start");
        }
    }

    fn publish(&self) {
        set(&self.bundles, Arc::new(self.plan.bundles()));
        self.report.send_replace(Arc::new(self.plan.report()));
    }
}

fn domains(state: &State) -> Vec<ForeignDomain> {
    state.mesh().map(|mesh| mesh.foreign_domains().to_vec()).unwrap_or_default()
}

async fn fetch(places: Arc<Semaphore>, due: Due) -> (ForeignDomain, Result<TrustBundle, FetchError>) {
    let _place = places.acquire().await;
    let result = client::fetch(&due).await;
    (due.of, result)
}

/// All that a declaration says: what was kept under another is not looked at.
fn source(of: &ForeignDomain) -> String {
    let endpoint = of.endpoint().map(|endpoint| {
        let server = match endpoint.server() {
            EndpointServer::Web => None,
            EndpointServer::Spiffe(id) => Some(id.to_string()),
        };
        json!({"url": endpoint.url(), "spiffe_id": server})
    });
    json!({"trust_domain": of.name().to_string(), "endpoint": endpoint, "bundle": of.bundle().map(TrustBundle::to_json)}).to_string()
}

fn load(store: &Store, of: &ForeignDomain) -> Result<Option<Held>, StoreError> {
    if of.endpoint().is_none() {
        return Ok(None);
    }
    let source = source(of);
    let Some(Kept { text, fetched }) = store.load(KIND, &source)? else { return Ok(None) };
    let bundle = TrustBundle::from_json(of.name(), &text).map_err(|error| store.unusable(KIND, &source, error.to_string()))?;
    Ok(Some(Held { bundle, fetched }))
}

fn save(store: &Store, of: &ForeignDomain, held: &Held) -> Result<(), StoreError> {
    store.save(KIND, &source(of), &Kept { text: held.bundle.to_json(), fetched: held.fetched })
}
