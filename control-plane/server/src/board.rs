//! What is known of each proxy: what it should hold, what it has acknowledged, what it refused. Fed by stream events and by the publisher,
//! read by the admin API. Holds no configuration and makes no decision.

mod held;
mod refused;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use meshwright_ca::ObservedProxy;
use meshwright_xds::{ResourceType, Snapshot, StreamEvent, StreamId};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use self::refused::Nack;
use crate::board::held::Held;
use crate::metrics::Metrics;
use crate::receipts::footprint::ResourceKey;
use crate::receipts::{Footprint, OnProxy, Propagation, Question, Receipt, Waiting, label};
use crate::refusals::Refused;

/// The secret that holds the roots.
const TRUST_BUNDLE: &str = "trust-bundle";
/// So long news is gathered before a receipt is made of it.
const COALESCE: Duration = Duration::from_millis(5);

/// Name → version.
pub(crate) type Versions = BTreeMap<Arc<str>, Arc<str>>;

/// One proxy, as `status` shows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProxyStatus {
    pub(crate) node: String,
    pub(crate) identity: String,
    pub(crate) envoy: String,
    pub(crate) connected: bool,
    /// The revision of the configuration from which its target was made.
    pub(crate) revision: u64,
    /// Everything it should hold is acknowledged.
    pub(crate) in_sync: bool,
    pub(crate) certificate_expires: Option<String>,
    /// How many resources it should hold, and their bytes.
    pub(crate) resources: usize,
    pub(crate) bytes: usize,
    pub(crate) types: BTreeMap<&'static str, TypeStatus>,
    /// Why its newest target could not be made; the one before stays.
    pub(crate) error: Option<String>,
    /// Documents that it does not take: its target has their last good versions.
    pub(crate) refused: Vec<Refused>,
}

/// One resource type of one proxy.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct TypeStatus {
    /// How many resources it should hold.
    pub(crate) target: usize,
    /// How many of these it has acknowledged.
    pub(crate) acknowledged: usize,
    /// A hash of names and versions, the same for proxies that hold the same.
    pub(crate) version: String,
    pub(crate) nacks: Vec<Nack>,
}

/// What is known of one proxy's resources.
#[derive(Debug)]
pub(crate) struct Holdings {
    pub(crate) revision: u64,
    pub(crate) target: Arc<Snapshot>,
    pub(crate) previous: Arc<Snapshot>,
    pub(crate) acknowledged: BTreeMap<ResourceType, Versions>,
}

#[derive(Debug, Default)]
struct Inner {
    revision: u64,
    proxies: BTreeMap<String, Entry>,
    /// Which node a stream belongs to.
    streams: BTreeMap<StreamId, String>,
}

#[derive(Debug, Default)]
struct Entry {
    identity: String,
    envoy: String,
    certificate_expires: Option<String>,
    streams: usize,
    /// Since when it has none.
    away_since: Option<SystemTime>,
    revision: u64,
    target: Option<Arc<Snapshot>>,
    /// The target before, when it was another.
    previous: Option<Arc<Snapshot>>,
    held: Held,
    nacks: BTreeMap<ResourceType, Vec<Nack>>,
    error: Option<String>,
    refused: Vec<Refused>,
    /// What it takes is to be told to whoever finds out what it refuses.
    refuses: bool,
    propagation: Propagation,
}

/// Everything known of all proxies, and a signal when some of it changes.
#[derive(Debug)]
pub(crate) struct Board {
    inner: Mutex<Inner>,
    changed: watch::Sender<()>,
    metrics: Metrics,
}

impl Board {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { inner: Mutex::default(), changed: watch::Sender::new(()), metrics }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.lock().revision
    }

    pub(crate) fn set_revision(&self, revision: u64) {
        self.lock().revision = revision;
        self.changed.send_replace(());
    }

    /// What a proxy should hold from now on; `saved`: when the change was, if it was one of a file.
    pub(crate) fn set_target(&self, node: &str, revision: u64, saved: Option<Instant>, snapshot: Arc<Snapshot>) {
        let mut inner = self.lock();
        let entry = inner.proxies.entry(node.to_owned()).or_default();
        entry.revision = revision;
        if let Some(old) = entry.target.replace(Arc::clone(&snapshot)).filter(|old| **old != *snapshot) {
            entry.held.retarget(&old, &snapshot);
            entry.propagation.retarget(revision, saved, &old, &snapshot);
            entry.previous = Some(old);
        }
        entry.error = None;
        drop(inner);
        self.changed.send_replace(());
    }

    pub(crate) fn set_error(&self, node: &str, error: String) {
        self.lock().proxies.entry(node.to_owned()).or_default().error = Some(error);
        self.changed.send_replace(());
    }

    /// Who a proxy has shown to be.
    pub(crate) fn set_peer(&self, node: &str, identity: String, certificate_expires: Option<String>) {
        let mut inner = self.lock();
        let entry = inner.proxies.entry(node.to_owned()).or_default();
        entry.identity = identity;
        entry.certificate_expires = certificate_expires;
    }

    pub(crate) fn observe(&self, event: StreamEvent) {
        self.metrics.count(&event);
        let took = self.lock().observe(event);
        took.into_iter().for_each(|latency| self.metrics.converged(latency));
        self.changed.send_replace(());
    }

    pub(crate) fn proxies(&self) -> Vec<ProxyStatus> {
        self.lock().proxies.iter().map(|(node, entry)| entry.status(node)).collect()
    }

    /// Which proxies have acknowledged the trust bundle that they should hold now.
    pub(crate) fn bundle_holders(&self) -> Vec<ObservedProxy> {
        self.lock().proxies.iter().map(|(node, entry)| entry.observed(node)).collect()
    }

    /// Waits until at least `proxies` are connected and every connected one has acknowledged all of `revision`, or of a later one. False
    /// when `timeout` passed first.
    pub(crate) async fn wait_enforced(&self, revision: u64, proxies: usize, timeout: std::time::Duration) -> bool {
        let mut changed = self.changed.subscribe();
        let enforced = async {
            while !self.lock().enforced(revision, proxies) {
                // The sender lives as long as the board.
                let _still_open = changed.changed().await;
            }
        };
        tokio::time::timeout(timeout, enforced).await.is_ok()
    }

    /// What a proxy should hold, held before, and has acknowledged.
    pub(crate) fn holdings(&self, node: &str) -> Option<Holdings> {
        let inner = self.lock();
        let entry = inner.proxies.get(node)?;
        let target = Arc::clone(entry.target.as_ref()?);
        let previous = entry.previous.clone().unwrap_or_else(|| Arc::clone(&target));
        Some(Holdings { revision: entry.revision, target, previous, acknowledged: entry.held.versions(entry.target.as_deref()) })
    }

    /// How far a document has come, now.
    pub(crate) fn receipt(&self, question: &Question) -> Receipt {
        let inner = self.lock();
        let document = &question.found.document;
        let refusing = inner.proxies.iter().filter_map(|(node, entry)| entry.refuses(node, document));
        let others = question.footprints.iter().filter(|(node, _)| inner.proxies.get(*node).is_none_or(|entry| !entry.keeps(document)));
        let proxies = others.map(|(node, footprint)| match inner.proxies.get(node) {
            Some(entry) => entry.enforces(node, question.found.revision, footprint),
            None => OnProxy::Waiting(Waiting {
                node: node.clone(),
                connected: false,
                resources: Vec::new(),
                reason: "has not connected".to_owned(),
                refused: false,
            }),
        });
        Receipt::new(question.found.clone(), proxies.chain(refusing).collect())
    }

    /// The receipt as soon as waiting longer cannot change it, or when `timeout` has passed.
    pub(crate) async fn wait_receipt(&self, question: &Question, timeout: Duration) -> Receipt {
        let mut changed = self.changed.subscribe();
        let settled = async {
            while self.receipt(question).is_open() {
                // The sender lives as long as the board.
                let _still_open = changed.changed().await;
                // Thousands of proxies acknowledge at about the same time: looked at one by one, each would cost a look at all.
                tokio::time::sleep(COALESCE).await;
            }
        };
        // Whichever came first, the receipt says it.
        let _passed = tokio::time::timeout(timeout, settled).await;
        self.receipt(question)
    }

    pub(crate) fn metrics(&self) -> Result<String, std::fmt::Error> {
        self.metrics.encode(&self.proxies(), self.revision())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is complete before the lock is released, also when a later line panics.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Returns how long each revision took that the proxy has now acknowledged all of.
    fn observe(&mut self, event: StreamEvent) -> Vec<Duration> {
        match event {
            StreamEvent::Connected { stream, node, only } => {
                let entry = self.proxies.entry(node.id().to_owned()).or_default();
                // What another stream of an earlier process acknowledged says nothing of this one. Where each type has a stream of its own,
                // they are of one process as long as there is one.
                if only.is_none() || entry.streams == 0 {
                    entry.held.clear();
                    entry.nacks.clear();
                    entry.propagation.restart();
                }
                entry.streams = entry.streams.saturating_add(1);
                entry.away_since = None;
                entry.envoy = node.user_agent_version().to_owned();
                self.streams.insert(stream, node.id().to_owned());
            }
            StreamEvent::Sent { .. } => {}
            StreamEvent::Acked { stream, resource_type, versions, removed } => {
                let Some(entry) = self.entry(stream) else { return Vec::new() };
                let nacks = entry.nacks.entry(resource_type).or_default();
                nacks.retain(|nack| !nack.resources.iter().any(|name| versions.iter().any(|(acked, _)| **acked == **name)));
                entry.held.acknowledge(entry.target.as_deref(), resource_type, versions, removed);
                return entry.acknowledged(resource_type);
            }
            StreamEvent::Nacked { stream, resource_type, names, message, .. } => {
                let Some(entry) = self.entry(stream) else { return Vec::new() };
                let nacks = entry.nacks.entry(resource_type).or_default();
                nacks.retain(|nack| nack.resources != names);
                nacks.push(Nack { resources: names, message });
            }
            StreamEvent::Disconnected { stream } => {
                if let Some(node) = self.streams.remove(&stream)
                    && let Some(entry) = self.proxies.get_mut(&node)
                {
                    entry.streams = entry.streams.saturating_sub(1);
                    entry.away_since = (entry.streams == 0).then(SystemTime::now);
                }
            }
        }
        Vec::new()
    }

    fn entry(&mut self, stream: StreamId) -> Option<&mut Entry> {
        self.proxies.get_mut(self.streams.get(&stream)?)
    }

    fn enforced(&self, revision: u64, proxies: usize) -> bool {
        let connected: Vec<&Entry> = self.proxies.values().filter(|entry| entry.streams > 0).collect();
        self.revision >= revision
            && connected.len() >= proxies
            && connected.iter().all(|entry| entry.revision >= revision && entry.in_sync())
    }
}

impl Entry {
    /// A type that the proxy has not asked for yet counts as not acknowledged.
    fn in_sync(&self) -> bool {
        if !self.refused.is_empty() {
            return false;
        }
        let Some(target) = &self.target else { return false };
        self.held.is_complete(target)
    }

    fn version_of(&self, kind: ResourceType, name: &str) -> Option<&str> {
        self.held.version(self.target.as_deref(), kind, name)
    }

    fn acknowledged(&mut self, kind: ResourceType) -> Vec<Duration> {
        let Self { held, target, propagation, .. } = self;
        let held = |kind: ResourceType, name: &str| held.version(target.as_deref(), kind, name);
        propagation.acknowledged(kind, &held, Instant::now())
    }

    /// Whether the proxy holds what a document has been since `revision`.
    fn enforces(&self, node: &str, revision: u64, footprint: &Footprint) -> OnProxy {
        let Some(target) = self.target.as_ref().filter(|_| self.revision >= revision) else {
            return OnProxy::Waiting(self.waiting(node, Vec::new()));
        };
        let lacks = |(kind, name): &&ResourceKey| {
            let held = self.version_of(*kind, name);
            let wanted = target.get(*kind, name).map(|resource| resource.version());
            held != wanted && !self.propagation.was_target_since(revision, *kind, name, held)
        };
        let lacking: Vec<ResourceKey> = footprint.present.iter().chain(&footprint.absent).filter(lacks).cloned().collect();
        if lacking.is_empty() {
            return OnProxy::Enforced(self.propagation.latency(revision));
        }
        OnProxy::Waiting(self.waiting(node, lacking))
    }

    fn waiting(&self, node: &str, lacking: Vec<ResourceKey>) -> Waiting {
        // What was refused together is tried again in parts: the fewest names are nearest to the cause.
        let refusals = lacking.iter().flat_map(|(kind, name)| {
            let of_type = self.nacks.get(kind).map(Vec::as_slice).unwrap_or_default();
            of_type.iter().filter(move |nack| nack.resources.contains(name))
        });
        let refusal = refusals.min_by_key(|nack| nack.resources.len());
        let connected = self.streams > 0;
        let reason = match (&self.error, refusal, connected) {
            (Some(error), ..) => format!("its configuration cannot be made: {error}"),
            (None, Some(nack), _) => format!("refused {}: {}", nack.resources.join(", "), nack.message),
            (None, None, false) => "not connected: it decides by what it has".to_owned(),
            (None, None, true) => "has not acknowledged it yet".to_owned(),
        };
        let resources = match refusal {
            Some(nack) => lacking.iter().filter(|(_, name)| nack.resources.contains(name)).map(|(kind, name)| label(*kind, name)).collect(),
            None => lacking.iter().map(|(kind, name)| label(*kind, name)).collect(),
        };
        Waiting { node: node.to_owned(), connected, resources, reason, refused: refusal.is_some() }
    }

    fn status(&self, node: &str) -> ProxyStatus {
        let types = ResourceType::ALL.iter().filter_map(|kind| Some((kind.short_name(), self.type_status(*kind)?))).collect();
        ProxyStatus {
            node: node.to_owned(),
            identity: self.identity.clone(),
            envoy: self.envoy.clone(),
            connected: self.streams > 0,
            revision: self.revision,
            in_sync: self.in_sync(),
            certificate_expires: self.certificate_expires.clone(),
            resources: self.target.iter().flat_map(|target| ResourceType::ALL.map(|kind| target.resources(kind).count())).sum(),
            bytes: self.target.iter().flat_map(|target| ResourceType::ALL.map(|kind| bytes(target, kind))).sum(),
            types,
            error: self.error.clone(),
            refused: self.refused.clone(),
        }
    }

    fn observed(&self, node: &str) -> ObservedProxy {
        // What could not be made is not what it should hold.
        let wanted = self.target.as_ref().and_then(|target| target.get(ResourceType::Secret, TRUST_BUNDLE));
        let held = self.version_of(ResourceType::Secret, TRUST_BUNDLE);
        let holds = self.error.is_none() && wanted.is_some_and(|bundle| held == Some(bundle.version()));
        ObservedProxy { name: node.to_owned(), identity: self.identity.clone(), holds, away_since: self.away_since }
    }

    fn type_status(&self, kind: ResourceType) -> Option<TypeStatus> {
        let target = self.target.as_ref()?;
        let resources: Vec<_> = target.resources(kind).collect();
        let acknowledged = resources.len().saturating_sub(self.held.lacking(target, kind));
        let mut hash = Sha256::new();
        for resource in &resources {
            hash.update(resource.name());
            hash.update([0]);
            hash.update(resource.version());
            hash.update([0]);
        }
        let version = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let nacks = self.nacks.get(&kind).cloned().unwrap_or_default();
        Some(TypeStatus { target: resources.len(), acknowledged, version, nacks })
    }
}

fn bytes(target: &Snapshot, kind: ResourceType) -> usize {
    target.resources(kind).map(|resource| resource.body().len()).sum()
}
