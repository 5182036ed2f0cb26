//! All clients together: starts them, tells them to break off and come back, and waits for what they have seen.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::google::protobuf::{ListValue, Struct, Value, value::Kind as Of};
use meshwright_workloads::ProxyLine;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::client::Reply;
use crate::contents::Contents;
use crate::marks::MarkId;
use crate::stats::{Activity, Counts};
use crate::stream;
use crate::target::Target;

/// How clients behave.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Connections that are made at the same time.
    pub connecting: usize,
    /// Each `slow`th client answers late, by this.
    pub slow: Option<(usize, Duration)>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { connecting: 256, slow: None }
    }
}

/// What one client is.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) index: usize,
    pub(crate) node: core::Node,
    pub(crate) certificate: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) ack_delay: Option<Duration>,
}

/// What clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wish {
    pub(crate) connected: bool,
    /// Streams of before a change of it are broken off.
    pub(crate) round: u64,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) target: Target,
    pub(crate) connecting: Semaphore,
    pub(crate) wish: watch::Sender<Wish>,
    seen: Mutex<Seen>,
    changed: watch::Sender<usize>,
}

#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) contents: Contents,
    counts: Counts,
    synced: Vec<bool>,
    synced_at: Vec<Duration>,
    began: Instant,
    last: Activity,
    last_error: Option<String>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Seen> {
        // Every change is complete before the lock is released.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connected(&self) {
        let mut seen = self.lock();
        seen.counts.connected = seen.counts.connected.saturating_add(1);
        seen.last = Activity(Instant::now());
    }

    pub(crate) fn lost(&self, index: usize, error: Option<anyhow::Error>) {
        let mut seen = self.lock();
        if let Some(synced) = seen.synced.get_mut(index) {
            *synced = false;
        }
        if let Some(error) = error {
            seen.counts.failed = seen.counts.failed.saturating_add(1);
            seen.last_error = Some(format!("{error:#}"));
        }
    }

    pub(crate) fn replied(&self, index: usize, bytes: usize, reply: &Reply, synced: bool) {
        let now = Instant::now();
        let mut seen = self.lock();
        if bytes > 0 {
            seen.counts.count(bytes, reply);
        }
        for mark in &reply.marks {
            seen.contents.marks.arrived(*mark, index, now);
        }
        seen.last = Activity(now);
        let since = now.saturating_duration_since(seen.began);
        if let Some(was) = seen.synced.get_mut(index)
            && !std::mem::replace(was, synced)
            && synced
        {
            seen.synced_at.push(since);
        }
        let count = seen.synced_at.len();
        drop(seen);
        self.changed.send_replace(count);
    }

    pub(crate) fn replied_with(&self, index: usize, bytes: usize, reply: Reply, synced: bool) -> Reply {
        self.replied(index, bytes, &reply, synced);
        reply
    }
}

/// Clients, which live until it is dropped.
#[derive(Debug)]
pub struct Swarm {
    shared: Arc<Shared>,
    size: usize,
    _lives: JoinSet<()>,
}

impl Swarm {
    /// Clients that do nothing yet.
    #[must_use]
    pub fn new(target: Target, proxies: impl IntoIterator<Item = ProxyLine>, pace: Pace) -> Self {
        let members: Vec<Member> = proxies.into_iter().enumerate().map(|(index, proxy)| member(index, proxy, pace)).collect();
        let now = Instant::now();
        let seen = Seen {
            contents: Contents::default(),
            counts: Counts::default(),
            synced: vec![false; members.len()],
            synced_at: Vec::new(),
            began: now,
            last: Activity(now),
            last_error: None,
        };
        let shared = Arc::new(Shared {
            target,
            connecting: Semaphore::new(pace.connecting.max(1)),
            wish: watch::Sender::new(Wish::default()),
            seen: Mutex::new(seen),
            changed: watch::Sender::new(0),
        });
        let size = members.len();
        let mut lives = JoinSet::new();
        for member in members {
            lives.spawn(stream::live(member, Arc::clone(&shared)));
        }
        Self { shared, size, _lives: lives }
    }

    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// From now on clients connect, and come back.
    pub fn connect(&self) {
        self.begin();
        self.shared.wish.send_modify(|wish| wish.connected = true);
    }

    /// Every stream is broken off; each client comes back with the versions that it has.
    pub fn reconnect(&self) {
        self.begin();
        self.shared.wish.send_modify(|wish| wish.round = wish.round.saturating_add(1));
    }

    /// Times until clients are in sync count from now on.
    pub fn begin(&self) {
        let mut seen = self.shared.lock();
        seen.began = Instant::now();
        seen.synced_at.clear();
        seen.synced.fill(false);
    }

    /// Waits until every client is in sync. How long each took; fewer when `timeout` passed first.
    pub async fn synced(&self, timeout: Duration) -> Vec<Duration> {
        self.wait(timeout, |seen| seen.synced_at.len() >= self.size).await;
        self.shared.lock().synced_at.clone()
    }

    /// Waits until `count` clients have acknowledged an edit.
    pub async fn arrived(&self, mark: MarkId, count: usize, timeout: Duration) -> Vec<Duration> {
        self.wait(timeout, |seen| seen.contents.marks.latencies(mark).len() >= count).await;
        self.shared.lock().contents.marks.latencies(mark).to_vec()
    }

    async fn wait(&self, timeout: Duration, done: impl Fn(&Seen) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let waiting = async {
            while !done(&self.shared.lock()) {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        // What there is is looked at by the caller.
        let _passed = tokio::time::timeout(timeout, waiting).await;
    }

    /// Waits until nothing was received for so long, at most for `timeout`.
    pub async fn quiet(&self, quiet: Duration, timeout: Duration) {
        let waiting = async {
            loop {
                let since = self.shared.lock().last.0.elapsed();
                let Some(rest) = quiet.checked_sub(since).filter(|rest| !rest.is_zero()) else { return };
                tokio::time::sleep(rest).await;
            }
        };
        let _passed = tokio::time::timeout(timeout, waiting).await;
    }

    /// An edit that is about to be saved; `earlier` is the one whose place it takes, if there is one.
    #[must_use]
    pub fn mark(&self, text: &str, earlier: Option<MarkId>) -> MarkId {
        self.shared.lock().contents.marks.add(text, earlier)
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.lock().counts.clone()
    }

    /// How many contents were different.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.shared.lock().contents.distinct()
    }

    /// Why a stream ended last.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.shared.lock().last_error.clone()
    }
}

fn member(index: usize, proxy: ProxyLine, pace: Pace) -> Member {
    let metadata = if let serde_json::Value::Object(fields) = proxy.metadata { Some(fields_of(fields)) } else { None };
    let version = core::BuildVersion {
        version: Some(envoy_types::pb::envoy::r#type::v3::SemanticVersion { major_number: 1, minor_number: 40, patch: 0 }),
        metadata: None,
    };
    let node = core::Node {
        id: proxy.id,
        cluster: proxy.cluster,
        metadata,
        user_agent_name: "envoy".to_owned(),
        user_agent_version_type: Some(core::node::UserAgentVersionType::UserAgentBuildVersion(version)),
        ..core::Node::default()
    };
    let ack_delay = pace.slow.filter(|(each, _)| index.checked_rem(*each) == Some(0)).map(|(_, delay)| delay);
    Member { index, node, certificate: proxy.certificate, key: proxy.key, ack_delay }
}

fn fields_of(fields: serde_json::Map<String, serde_json::Value>) -> Struct {
    Struct { fields: fields.into_iter().map(|(name, value)| (name, value_of(value))).collect() }
}

fn value_of(value: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match value {
        Json::Null => Of::NullValue(0),
        Json::Bool(value) => Of::BoolValue(value),
        Json::Number(number) => Of::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Of::StringValue(text),
        Json::Array(values) => Of::ListValue(ListValue { values: values.into_iter().map(value_of).collect() }),
        Json::Object(fields) => Of::StructValue(fields_of(fields)),
    };
    Value { kind: Some(kind) }
}
