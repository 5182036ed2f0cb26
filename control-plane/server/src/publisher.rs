//! Turns state into each proxy's snapshot: when the documents or fetched keys change, for every connected proxy; when a proxy connects, for
//! that one.
//! A proxy whose snapshot cannot be made keeps the one before, and the board says why.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshwright_config::KeySets;
use meshwright_jwks::Keys;
use meshwright_sources::{DocumentState, Loaded};
use meshwright_translate::{MeshInputs, Proxy, translate};
use meshwright_xds::Snapshot;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::board::{Board, ProxyStatus};
use crate::key_sources;

/// Makes snapshots and hands them to streams.
pub(crate) struct Publisher {
    board: Arc<Board>,
    keys: Keys,
    facts: Facts,
    inner: Mutex<Inner>,
}

/// What `status` says of the mesh as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) trust_domain: String,
    pub(crate) root_namespace: String,
    pub(crate) root_expires: String,
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
    loaded: Arc<Loaded>,
    inputs: MeshInputs,
    /// Why the newest state is not the one in force.
    problem: Option<String>,
    revision: u64,
    targets: BTreeMap<String, Target>,
}

/// One proxy and what it is to hold. Streams of the same node share it.
struct Target {
    proxy: Proxy,
    snapshot: watch::Sender<Arc<Snapshot>>,
}

impl Inner {
    fn snapshot(&self, proxy: &Proxy) -> Result<Snapshot, String> {
        let resources = translate(self.loaded.state(), proxy, &self.inputs).map_err(|error| error.to_string())?;
        Snapshot::build(resources).map_err(|error| error.to_string())
    }
}

impl Publisher {
    /// `trust_bundle_pem`: the roots that workloads' certificates are verified against.
    pub(crate) fn new(board: Arc<Board>, trust_bundle_pem: String, keys: Keys, facts: Facts, loaded: Arc<Loaded>) -> Self {
        board.set_revision(1);
        let inputs = MeshInputs { trust_bundle_pem, key_sets: Arc::clone(&keys.key_sets().borrow()) };
        let inner = Inner { loaded, inputs, problem: None, revision: 1, targets: BTreeMap::new() };
        Self { board, keys, facts, inner: Mutex::new(inner) }
    }

    /// The snapshots of a proxy that has just connected.
    ///
    /// # Errors
    /// Why its first snapshot cannot be made.
    pub(crate) fn subscribe(&self, proxy: Proxy) -> Result<watch::Receiver<Arc<Snapshot>>, String> {
        let mut inner = self.lock();
        let snapshot = Arc::new(inner.snapshot(&proxy)?);
        let node = proxy.node_id().to_owned();
        self.board.set_target(&node, inner.revision, Arc::clone(&snapshot));
        match inner.targets.get_mut(&node) {
            Some(target) => {
                target.proxy = proxy;
                target.snapshot.send_replace(snapshot);
                Ok(target.snapshot.subscribe())
            }
            None => {
                let (sender, receiver) = watch::channel(snapshot);
                inner.targets.insert(node, Target { proxy, snapshot: sender });
                Ok(receiver)
            }
        }
    }

    /// New documents: a new revision, and new snapshots for those connected. Targets without a stream are forgotten.
    pub(crate) fn publish(&self, loaded: Arc<Loaded>) {
        let mut inner = self.lock();
        inner.problem = self.facts.contradiction(&loaded);
        if let Some(problem) = &inner.problem {
            tracing::error!(problem, "the new configuration is refused; the last one stays");
            return;
        }
        self.keys.want(loaded.state());
        inner.loaded = loaded;
        self.send(inner);
    }

    /// Other keys: the same documents give other snapshots.
    pub(crate) fn publish_keys(&self, key_sets: Arc<KeySets>) {
        let mut inner = self.lock();
        if inner.inputs.key_sets != key_sets {
            inner.inputs.key_sets = key_sets;
            self.send(inner);
        }
    }

    /// Other roots.
    pub(crate) fn publish_trust_bundle(&self, trust_bundle_pem: String) {
        let mut inner = self.lock();
        if inner.inputs.trust_bundle_pem != trust_bundle_pem {
            inner.inputs.trust_bundle_pem = trust_bundle_pem;
            self.send(inner);
        }
    }

    /// Of whatever changed, to those that it changes something for.
    fn send(&self, mut inner: MutexGuard<'_, Inner>) {
        inner.revision = inner.revision.saturating_add(1);
        inner.targets.retain(|_, target| target.snapshot.receiver_count() > 0);
        let revision = inner.revision;
        for (node, target) in &inner.targets {
            match inner.snapshot(&target.proxy) {
                Ok(snapshot) => {
                    let snapshot = Arc::new(snapshot);
                    self.board.set_target(node, revision, Arc::clone(&snapshot));
                    // What is the same must not wake the stream.
                    target.snapshot.send_if_modified(|current| {
                        let changed = **current != *snapshot;
                        *current = snapshot;
                        changed
                    });
                }
                Err(error) => {
                    tracing::error!(node, error, "the proxy keeps its last configuration");
                    self.board.set_error(node, error);
                }
            }
        }
        drop(inner);
        self.board.set_revision(revision);
        tracing::info!(revision, "configuration published");
    }

    pub(crate) fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.lock().loaded)
    }

    /// All that `status` says, with the board's `proxies`.
    pub(crate) fn status(&self, proxies: &[ProxyStatus]) -> Value {
        let inner = self.lock();
        let quarantined: Vec<Value> = inner
            .loaded
            .documents()
            .iter()
            .filter_map(|document| match document.state() {
                DocumentState::Accepted => None,
                DocumentState::Quarantined { error, last_good } => Some(json!({"error": error.to_string(), "last_good": last_good})),
            })
            .collect();
        json!({
            "trust_domain": self.facts.trust_domain,
            "root_expires": self.facts.root_expires,
            "module_sha256": self.facts.module_sha256,
            "revision": inner.revision,
            "documents": inner.loaded.documents().len(),
            "quarantined": quarantined,
            "source_error": inner.problem.as_deref().or_else(|| inner.loaded.source_error()),
            "key_sources": self.keys.report().sources.iter().map(key_sources::status).collect::<Vec<_>>(),
            "proxies": proxies,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while holding the lock cannot leave half a change behind: each field is replaced whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
