//! Turns state into each proxy's snapshot: when the documents or fetched keys change, for every connected proxy; when a proxy connects, for
//! that one.
//! A proxy whose snapshot cannot be made keeps the one before, and the board says why.

mod refused;
mod report;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use meshwright_config::{DocumentKey, FetchedBundles, KeySets, Kind, State};
use meshwright_federation::FederatedBundles;
use meshwright_jwks::Keys;
use meshwright_sources::{DocumentState, Loaded, differences};
use meshwright_translate::{MeshInputs, Proxy, Translator};
use meshwright_xds::Snapshot;
use tokio::sync::watch;

use crate::board::{Board, Place};
use crate::lineage::Lineage;
use crate::receipts::footprint::Alternatives;
use crate::receipts::{Found, Ledger, Question};
use crate::refusals::Refusals;

/// So long a proxy that has gone is reckoned with: it may go on with what it has.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The configuration with which the process began.
const FIRST_REVISION: u64 = 1;

/// Makes snapshots and hands them to streams.
pub(crate) struct Publisher {
    board: Arc<Board>,
    keys: Keys,
    federated: FederatedBundles,
    facts: Facts,
    documents: watch::Receiver<Arc<Loaded>>,
    lineage: Arc<Lineage>,
    /// What is translated. Whoever waits for a change of it waits for one of who is denied: every stream does.
    in_force: watch::Sender<Arc<State>>,
    inner: Mutex<Inner>,
}

/// What `status` says of the mesh as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) trust_domain: String,
    pub(crate) root_namespace: String,
    pub(crate) root_expires: String,
    pub(crate) root_fingerprint: String,
    pub(crate) module_sha256: String,
}

impl Facts {
    /// What every certificate says cannot change while they are out there.
    fn contradiction(&self, loaded: &Loaded) -> Option<String> {
        let mesh = loaded.state().mesh()?;
        let fields = [
            ("trustDomain", self.trust_domain.as_str(), mesh.trust_domain().as_str()),
            ("rootNamespace", self.root_namespace.as_str(), mesh.root_namespace()),
        ];
        let (field, own, found) = fields.into_iter().find(|(_, own, found)| own != found)?;
        Some(format!(
            "the Mesh document: spec.{field}: found `{found}`; the data directory is that of `{own}`, which cannot be changed while the control plane runs"
        ))
    }
}

struct Inner {
    /// The newest that the source gave.
    offered: Arc<Loaded>,
    /// The newest that is in force.
    loaded: Arc<Loaded>,
    ledger: Ledger,
    translator: Translator,
    /// Why the newest state is not the one in force.
    problem: Option<String>,
    revision: u64,
    targets: BTreeMap<String, Target>,
    /// What proxies have refused.
    refusals: BTreeMap<String, Refusals>,
}

/// One proxy and what it is to hold. Streams of the same node share it.
struct Target {
    proxy: Proxy,
    place: Place,
    snapshot: watch::Sender<Arc<Snapshot>>,
    /// Since when it has no stream.
    gone: Option<Instant>,
}

impl Target {
    /// What is the same must not wake the stream.
    fn send(&self, snapshot: Arc<Snapshot>) {
        self.snapshot.send_if_modified(|current| {
            let changed = match snapshot.step_from(current) {
                Some((before, now)) => before != now,
                None => **current != *snapshot,
            };
            *current = snapshot;
            changed
        });
    }

    /// False for what has gone together with its workload.
    fn is_of_the_mesh(&self, state: &State) -> bool {
        let metadata = self.proxy.metadata();
        self.snapshot.receiver_count() > 0 || state.workload(&metadata.namespace, &metadata.workload).is_some()
    }

    /// Without a stream for too long; `now` is noted where there is none since this moment.
    fn is_forgotten(&mut self, now: Instant) -> bool {
        if self.snapshot.receiver_count() > 0 {
            self.gone = None;
            return false;
        }
        now.saturating_duration_since(*self.gone.get_or_insert(now)) > REMEMBERED
    }
}

impl Inner {
    /// What is known of a document, but for proxies.
    fn found(&self, key: &DocumentKey) -> Option<Found> {
        let status = self.offered.documents().iter().find(|document| document.key() == Some(key));
        let in_force = self.loaded.in_force().get(key);
        let entry = self.ledger.get(key);
        if status.is_none() && entry.is_none() && in_force.is_none() {
            return None;
        }
        // What has not changed is what it was at the start.
        let unchanged = if in_force.is_some() { FIRST_REVISION } else { self.revision };
        let version = in_force.map(|in_force| in_force.version().to_owned());
        let found_version = status.map(|status| status.version().to_owned()).filter(|found| Some(found) != version.as_ref());
        let refused = status.and_then(|status| match status.state() {
            DocumentState::Accepted => None,
            DocumentState::Quarantined { error, .. } => Some(error.to_string()),
        });
        let of_all = self.problem.as_deref().or_else(|| self.offered.source_error()).map(str::to_owned);
        Some(Found {
            document: key.to_string(),
            version,
            found_version,
            origin: status.map(|status| format!("{}:{}", status.file(), status.line())),
            revision: entry.map_or(unchanged, |entry| entry.revision),
            error: refused.or(of_all),
            held: self.offered.held().is_some_and(|held| held.documents().contains(key)),
        })
    }
}

impl Publisher {
    /// `trust_bundle_pem`: the roots that workloads' certificates are verified against.
    pub(crate) fn new(
        board: Arc<Board>,
        trust_bundle_pem: String,
        keys: Keys,
        federated: FederatedBundles,
        facts: Facts,
        documents: watch::Receiver<Arc<Loaded>>,
        lineage: Arc<Lineage>,
    ) -> Self {
        board.set_revision(FIRST_REVISION);
        let loaded = Arc::clone(&documents.borrow());
        lineage.advance(&loaded);
        let (key_sets, foreign_bundles) = (Arc::clone(&keys.key_sets().borrow()), Arc::clone(&federated.bundles().borrow()));
        let inputs = MeshInputs { trust_bundle_pem, foreign_bundles, key_sets };
        let state = current(&loaded);
        let translator = Translator::new(Arc::clone(&state), inputs);
        let offered = Arc::clone(&loaded);
        let (problem, revision, targets, refusals) = (None, FIRST_REVISION, BTreeMap::new(), BTreeMap::new());
        let inner = Inner { offered, loaded, ledger: Ledger::default(), translator, problem, revision, targets, refusals };
        Self { board, keys, federated, facts, documents, lineage, in_force: watch::Sender::new(state), inner: Mutex::new(inner) }
    }

    /// The snapshots of a proxy that has just connected.
    ///
    /// # Errors
    /// Why its first snapshot cannot be made.
    pub(crate) fn subscribe(&self, proxy: Proxy) -> Result<watch::Receiver<Arc<Snapshot>>, String> {
        let mut inner = self.lock();
        let node = proxy.node_id().to_owned();
        let inner = &mut *inner;
        let snapshot = refused::snapshot(&mut inner.translator, &inner.refusals, &inner.loaded, &node, &proxy)?;
        let place = self.board.place(&node);
        self.board.set_target(place, inner.revision, None, Arc::clone(&snapshot));
        match inner.targets.get_mut(&node) {
            Some(target) => {
                target.proxy = proxy;
                target.snapshot.send_replace(snapshot);
                Ok(target.snapshot.subscribe())
            }
            None => {
                let (sender, receiver) = watch::channel(snapshot);
                inner.targets.insert(node, Target { proxy, place, snapshot: sender, gone: None });
                Ok(receiver)
            }
        }
    }

    /// Takes the newest documents, if they are new: a new revision, and new snapshots for those connected. Whoever calls, in whatever order,
    /// never brings back older ones.
    pub(crate) fn publish(&self) {
        let mut inner = self.lock();
        let loaded = Arc::clone(&self.documents.borrow());
        if Arc::ptr_eq(&loaded, &inner.offered) {
            return;
        }
        inner.offered = Arc::clone(&loaded);
        inner.problem = self.facts.contradiction(&loaded);
        if let Some(problem) = &inner.problem {
            tracing::error!(problem, "the new configuration is refused; the last one stays");
            return;
        }
        self.keys.want(loaded.state());
        self.federated.want(loaded.state());
        // Of instances that come and go no state is made.
        if differences(inner.loaded.in_force(), loaded.in_force()).any(|(key, ..)| key.kind() != Kind::WorkloadEntry) {
            self.lineage.advance(&loaded);
        }
        let last = std::mem::replace(&mut inner.loaded, loaded);
        let (revision, now) = (inner.revision.saturating_add(1), SystemTime::now());
        let Inner { ledger, loaded, .. } = &mut *inner;
        let saved = ledger.update(revision, last.in_force(), loaded.in_force(), now);
        let saved = saved.and_then(|saved| Instant::now().checked_sub(now.duration_since(saved).unwrap_or_default()));
        for (node, refused) in inner.forgive_changed() {
            self.board.set_refused(&node, refused);
        }
        let inputs = inner.translator.inputs().clone();
        self.send(inner, inputs, saved);
    }

    /// Other keys: the same documents give other snapshots.
    pub(crate) fn publish_keys(&self, key_sets: Arc<KeySets>) {
        let inner = self.lock();
        let inputs = inner.translator.inputs().clone();
        if inputs.key_sets != key_sets {
            self.send(inner, MeshInputs { key_sets, ..inputs }, None);
        }
    }

    /// Other bundles of other trust domains.
    pub(crate) fn publish_foreign_bundles(&self, foreign_bundles: Arc<FetchedBundles>) {
        let inner = self.lock();
        let inputs = inner.translator.inputs().clone();
        if inputs.foreign_bundles != foreign_bundles {
            self.send(inner, MeshInputs { foreign_bundles, ..inputs }, None);
        }
    }

    /// Other roots.
    pub(crate) fn publish_trust_bundle(&self, trust_bundle_pem: String) {
        let inner = self.lock();
        let inputs = inner.translator.inputs().clone();
        if inputs.trust_bundle_pem != trust_bundle_pem {
            self.send(inner, MeshInputs { trust_bundle_pem, ..inputs }, None);
        }
    }

    /// Entries of deny lists whose time is over are taken out.
    pub(crate) fn end_denials(&self) {
        let inner = self.lock();
        if inner.translator.state().without_ended(now()).is_some() {
            let inputs = inner.translator.inputs().clone();
            self.send(inner, inputs, None);
        }
    }

    /// For how long no entry of a deny list ends; none when none does.
    pub(crate) fn until_end_of_denial(&self) -> Option<Duration> {
        let now = now();
        let end = self.in_force.borrow().next_end_of_denial(now)?;
        Some(Duration::from_secs(end.saturating_sub(now)))
    }

    /// The state that proxies are told of. A change is announced when it may deny somebody else.
    pub(crate) fn in_force(&self) -> watch::Receiver<Arc<State>> {
        self.in_force.subscribe()
    }

    /// Of whatever changed, to those that it changes something for. `saved`: when the change was, if it was one of files.
    fn send(&self, mut guard: MutexGuard<'_, Inner>, inputs: MeshInputs, saved: Option<Instant>) {
        let inner = &mut *guard;
        let state = current(&inner.loaded);
        inner.translator.change(Arc::clone(&state), inputs);
        self.in_force.send_if_modified(|current| {
            let is_news = current.deny_lists() != state.deny_lists() || current.mesh() != state.mesh();
            *current = state;
            is_news
        });
        inner.revision = inner.revision.saturating_add(1);
        let now = Instant::now();
        inner.targets.retain(|_, target| !target.is_forgotten(now));
        let revision = inner.revision;
        for (node, target) in inner.targets.iter().filter(|(_, target)| target.gone.is_none()) {
            match refused::snapshot(&mut inner.translator, &inner.refusals, &inner.loaded, node, &target.proxy) {
                Ok(snapshot) => {
                    self.board.set_target(target.place, revision, saved, Arc::clone(&snapshot));
                    target.send(snapshot);
                }
                Err(error) => {
                    let error = error.to_string();
                    tracing::error!(node, error, "the proxy keeps its last configuration");
                    self.board.set_error(target.place, error);
                }
            }
        }
        inner.translator.settle();
        drop(guard);
        self.board.set_revision(revision);
        tracing::info!(revision, "configuration published");
    }

    pub(crate) fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.lock().loaded)
    }

    /// What there is to ask of a document; none of its name being known. Takes a translation or two for each proxy.
    pub(crate) fn question(&self, key: &DocumentKey) -> Option<Question> {
        let inner = self.lock();
        let found = inner.found(key)?;
        let state = Arc::clone(inner.loaded.state());
        let before = inner.ledger.get(key).and_then(|entry| entry.before.clone());
        let mut alternatives = Alternatives::new(&inner.translator, key.clone(), before.as_deref());
        let proxies: Vec<(String, Proxy, Arc<Snapshot>)> = inner
            .targets
            .iter()
            .filter(|(_, target)| target.is_of_the_mesh(&state))
            .map(|(node, target)| (node.clone(), target.proxy.clone(), Arc::clone(&target.snapshot.borrow())))
            .collect();
        // Others need not wait for the rest.
        drop(inner);
        let footprints = proxies.into_iter().map(|(node, proxy, target)| (node, alternatives.footprint(&proxy, &target)));
        Some(Question { found, footprints: footprints.filter(|(_, footprint)| !footprint.is_empty()).collect() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while holding the lock cannot leave half a change behind: each field is replaced whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What holds of the documents at this time.
fn current(loaded: &Loaded) -> Arc<State> {
    loaded.state().without_ended(now()).map_or_else(|| Arc::clone(loaded.state()), Arc::new)
}

/// In seconds since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
