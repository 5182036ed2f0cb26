//! What is known of each proxy: what it should hold, what it has acknowledged, what it refused. Fed by stream events and by the publisher,
//! read by the admin API. Holds no configuration and makes no decision.

mod entry;
mod held;
mod status;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use meshwright_ca::ObservedProxy;
use meshwright_xds::{ResourceType, Snapshot, StreamEvent, StreamId};
use rustc_hash::FxHashMap;
use tokio::sync::watch;

use crate::board::held::Held;
pub(crate) use crate::board::status::{Nack, ProxyStatus};
use crate::metrics::Metrics;
use crate::receipts::footprint::ResourceKey;
use crate::receipts::{Change, OnProxy, Propagation, Question, Receipt, Waiting, differences};
use crate::refusals::Refused;

/// So long news is gathered before a receipt is made of it.
const COALESCE: Duration = Duration::from_millis(5);

/// Name → version.
pub(crate) type Versions = BTreeMap<Arc<str>, Arc<str>>;

/// What is known of one proxy's resources.
#[derive(Debug)]
pub(crate) struct Holdings {
    pub(crate) revision: u64,
    pub(crate) target: Arc<Snapshot>,
    pub(crate) previous: Arc<Snapshot>,
    pub(crate) acknowledged: BTreeMap<ResourceType, Versions>,
}

/// From which base to which, and what differs.
type Step = ((u64, u64), Arc<[Change]>);

#[derive(Debug, Default)]
struct Inner {
    revision: u64,
    /// By node.
    places: BTreeMap<String, Place>,
    /// Nothing is ever taken out.
    entries: Vec<Entry>,
    /// The last step from one base to another, and what it changes: thousands of proxies take it one after the other.
    step: Option<Step>,
    /// To which proxy a stream belongs.
    streams: FxHashMap<StreamId, Place>,
}

/// Where the board has a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(usize);

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
    /// How many proxies refuse something: nearly always none, and then nobody need be asked.
    refusing: AtomicUsize,
}

impl Board {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { inner: Mutex::default(), changed: watch::Sender::new(()), metrics, refusing: AtomicUsize::new(0) }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.lock().revision
    }

    pub(crate) fn set_revision(&self, revision: u64) {
        self.lock().revision = revision;
        self.tell();
    }

    /// Where a proxy is, from now on if it was nowhere.
    pub(crate) fn place(&self, node: &str) -> Place {
        self.lock().place(node)
    }

    /// What a proxy should hold from now on; `saved`: when the change was, if it was one of a file.
    pub(crate) fn set_target(&self, place: Place, revision: u64, saved: Option<Instant>, snapshot: Arc<Snapshot>) {
        let mut inner = self.lock();
        let Inner { entries, step, .. } = &mut *inner;
        let Some(entry) = entries.get_mut(place.0) else { return };
        entry.revision = revision;
        if let Some(old) = entry.target.replace(Arc::clone(&snapshot)).filter(|old| !Arc::ptr_eq(old, &snapshot)) {
            let changes = changes(step, &old, &snapshot);
            if !changes.is_empty() {
                entry.held.retarget(&changes);
                entry.propagation.retarget(revision, saved, &changes);
                entry.previous = Some(old);
            }
        }
        entry.error = None;
        drop(inner);
        self.tell();
    }

    pub(crate) fn set_error(&self, place: Place, error: String) {
        if let Some(entry) = self.lock().entries.get_mut(place.0) {
            entry.error = Some(error);
        }
        self.tell();
    }

    /// The documents that a proxy does not take; none when all that was refused has been settled.
    pub(crate) fn set_refused(&self, node: &str, refused: Option<Vec<Refused>>) {
        let mut inner = self.lock();
        let Some(entry) = inner.entry_of(node) else { return };
        entry.refuses = refused.is_some();
        entry.refused = refused.unwrap_or_default();
        self.refusing.store(inner.entries.iter().filter(|entry| entry.refuses).count(), Ordering::SeqCst);
        drop(inner);
        self.tell();
    }

    /// Whether what the proxy holds of a resource is older than `revision`; not so when it holds nothing.
    pub(crate) fn changed_since_held(&self, node: &str, (kind, name): &ResourceKey, revision: u64) -> bool {
        let inner = self.lock();
        let held = inner.get(node).and_then(|entry| Some((entry, entry.version_of(*kind, name)?)));
        held.is_some_and(|(entry, held)| !entry.propagation.was_target_since(revision, *kind, name, Some(held)))
    }

    /// The proxy of a stream, if it refuses something.
    pub(crate) fn refusing(&self, stream: StreamId) -> Option<String> {
        if self.refusing.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let inner = self.lock();
        let place = inner.streams.get(&stream)?;
        inner.entries.get(place.0).filter(|entry| entry.refuses)?;
        inner.places.iter().find(|(_, of)| *of == place).map(|(node, _)| node.clone())
    }

    /// Who a proxy has shown to be.
    pub(crate) fn set_peer(&self, node: &str, identity: String, certificate_expires: Option<String>) {
        let mut inner = self.lock();
        let Some(entry) = inner.entry_of(node) else { return };
        entry.identity = identity;
        entry.certificate_expires = certificate_expires;
    }

    pub(crate) fn observe(&self, event: StreamEvent) {
        self.metrics.count(&event);
        let took = self.lock().observe(event);
        took.into_iter().for_each(|latency| self.metrics.converged(latency));
        self.tell();
    }

    /// Wakes those who wait for something. Whoever comes to wait looks for himself first, so that nobody is missed.
    fn tell(&self) {
        if self.changed.receiver_count() > 0 {
            self.changed.send_replace(());
        }
    }

    pub(crate) fn proxies(&self) -> Vec<ProxyStatus> {
        self.lock().all().map(|(node, entry)| entry.status(node)).collect()
    }

    /// Which proxies have acknowledged the trust bundle that they should hold now.
    pub(crate) fn bundle_holders(&self) -> Vec<ObservedProxy> {
        self.lock().all().map(|(node, entry)| entry.observed(node)).collect()
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
        let entry = inner.get(node)?;
        let target = Arc::clone(entry.target.as_ref()?);
        let previous = entry.previous.clone().unwrap_or_else(|| Arc::clone(&target));
        Some(Holdings { revision: entry.revision, target, previous, acknowledged: entry.held.versions(entry.target.as_deref()) })
    }

    /// How far a document has come, now.
    pub(crate) fn receipt(&self, question: &Question) -> Receipt {
        let inner = self.lock();
        let document = &question.found.document;
        let refusing = inner.all().filter_map(|(node, entry)| entry.refuses(node, document));
        let others = question.footprints.iter().filter(|(node, _)| inner.get(node).is_none_or(|entry| !entry.keeps(document)));
        let proxies = others.map(|(node, footprint)| match inner.get(node) {
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

/// What differs between two targets, where possible as it was found for the last proxy.
fn changes(step: &mut Option<Step>, old: &Snapshot, new: &Snapshot) -> Arc<[Change]> {
    let taken = new.step_from(old);
    if let (Some(taken), Some((known, changes))) = (taken, &*step)
        && taken == *known
    {
        return Arc::clone(changes);
    }
    let changes: Arc<[Change]> = differences(old, new).into();
    *step = taken.map(|taken| (taken, Arc::clone(&changes)));
    changes
}

impl Inner {
    fn place(&mut self, node: &str) -> Place {
        if let Some(place) = self.places.get(node) {
            return *place;
        }
        let place = Place(self.entries.len());
        self.entries.push(Entry::default());
        self.places.insert(node.to_owned(), place);
        place
    }

    fn get(&self, node: &str) -> Option<&Entry> {
        self.entries.get(self.places.get(node)?.0)
    }

    /// Of a proxy that is there from now on.
    fn entry_of(&mut self, node: &str) -> Option<&mut Entry> {
        let place = self.place(node);
        self.entries.get_mut(place.0)
    }

    /// In the order of nodes.
    fn all(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.places.iter().filter_map(|(node, place)| Some((node, self.entries.get(place.0)?)))
    }

    /// Returns how long each revision took that the proxy has now acknowledged all of.
    fn observe(&mut self, event: StreamEvent) -> Vec<Duration> {
        match event {
            StreamEvent::Connected { stream, node, only } => {
                let place = self.place(node.id());
                self.streams.insert(stream, place);
                let Some(entry) = self.entries.get_mut(place.0) else { return Vec::new() };
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
            }
            StreamEvent::Sent { .. } => {}
            StreamEvent::Acked { stream, resource_type, versions, removed } => {
                let Some(entry) = self.entry(stream) else { return Vec::new() };
                if let Some(nacks) = entry.nacks.get_mut(&resource_type) {
                    nacks.retain(|nack| !nack.resources.iter().any(|name| versions.iter().any(|(acked, _)| **acked == **name)));
                }
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
                if let Some(place) = self.streams.remove(&stream)
                    && let Some(entry) = self.entries.get_mut(place.0)
                {
                    entry.streams = entry.streams.saturating_sub(1);
                    entry.away_since = (entry.streams == 0).then(SystemTime::now);
                }
            }
        }
        Vec::new()
    }

    fn entry(&mut self, stream: StreamId) -> Option<&mut Entry> {
        self.entries.get_mut(self.streams.get(&stream)?.0)
    }

    fn enforced(&self, revision: u64, proxies: usize) -> bool {
        let connected: Vec<&Entry> = self.entries.iter().filter(|entry| entry.streams > 0).collect();
        self.revision >= revision
            && connected.len() >= proxies
            && connected.iter().all(|entry| entry.revision >= revision && entry.in_sync())
    }
}
