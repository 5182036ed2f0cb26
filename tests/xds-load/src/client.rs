//! One client without sockets: responses in, requests out, as Envoy 1.40 would write them.

use std::time::{Duration, Instant};

use envoy_types::pb::envoy::config::core::v3 as core;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::contents::{ContentId, Contents, NameId};
use crate::marks::MarkId;
use crate::wire::{Kind, Request, Response};

/// How long Envoy waits for the endpoints of a cluster that has changed (`initial_fetch_timeout`).
const WARMING: Duration = Duration::from_secs(15);

/// What one Envoy knows and waits for.
#[derive(Debug)]
pub struct Client {
    node: core::Node,
    kinds: [OfKind; Kind::ALL.len()],
    /// A stream of before has given it something.
    initialised: bool,
    warming: Option<Warming>,
}

#[derive(Debug, Default)]
struct OfKind {
    requested: bool,
    /// On this stream.
    answered: bool,
    wanted: FxHashSet<NameId>,
    known: FxHashMap<NameId, ContentId>,
    /// Wanted and not answered yet.
    pending: FxHashSet<NameId>,
}

/// The ACK of clusters is held until their endpoints are there.
#[derive(Debug)]
struct Warming {
    nonce: String,
    names: FxHashSet<NameId>,
    until: Instant,
    marks: Vec<MarkId>,
}

/// What a response makes a client do.
#[derive(Debug, Default)]
pub struct Reply {
    pub requests: Vec<Request>,
    /// Edits that it has acknowledged with these.
    pub marks: Vec<MarkId>,
    pub kind: Option<Kind>,
    pub resources: usize,
    /// Of them, those that the client held in the same version.
    pub repeated: usize,
}

impl Client {
    #[must_use]
    pub fn new(node: core::Node) -> Self {
        Self { node, kinds: Default::default(), initialised: false, warming: None }
    }

    /// The first requests of a stream.
    pub fn open(&mut self, contents: &Contents) -> Vec<Request> {
        self.warming = None;
        let mut requests = Vec::new();
        let mut node = Some(self.node.clone());
        for kind in Kind::ALL {
            let of_kind = self.of(kind);
            of_kind.answered = false;
            if kind != Kind::Cluster && !of_kind.requested {
                continue;
            }
            of_kind.requested = true;
            let version = |(name, id): (&NameId, &ContentId)| Some((contents.text(*name), contents.get(*id)?.version.clone()));
            let versions = of_kind.known.iter().filter_map(version).collect();
            let mut subscribe: Vec<String> = of_kind.wanted.iter().map(|name| contents.text(*name)).collect();
            subscribe.sort();
            requests.push(Request { node: node.take(), subscribe, versions, ..Request::of(kind) });
        }
        requests
    }

    /// Everything that it asked for has been answered.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        let answered = |kind: Kind| self.kinds.get(index(kind)).is_some_and(|of_kind| of_kind.answered);
        self.warming.is_none()
            && answered(Kind::Cluster)
            && answered(Kind::Listener)
            && self.kinds.iter().all(|of_kind| of_kind.pending.is_empty())
    }

    /// When [`Client::on_timeout`] is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.warming.as_ref().map(|warming| warming.until)
    }

    /// Envoy goes on without the endpoints.
    pub fn on_timeout(&mut self) -> Reply {
        let mut reply = Reply::default();
        if let Some(warming) = self.warming.take() {
            acknowledge(&mut reply, Kind::Cluster, warming.nonce);
            reply.marks = warming.marks;
        }
        reply
    }

    /// Nothing is answered to a type that was not asked for.
    pub fn on_response(&mut self, response: &Response<'_>, contents: &mut Contents) -> Reply {
        let Some(kind) = Kind::from_type_url(response.type_url) else { return Reply::default() };
        let mut reply = Reply { kind: Some(kind), resources: response.resources.len(), ..Reply::default() };
        let mut marks = Vec::new();
        let mut changed = Vec::new();
        for raw in &response.resources {
            let id = contents.intern(kind, raw);
            let Some(content) = contents.get(id) else { continue };
            let of_kind = self.of(kind);
            of_kind.pending.remove(&content.name);
            if of_kind.known.insert(content.name, id) == Some(id) {
                reply.repeated = reply.repeated.saturating_add(1);
            } else {
                marks.extend(content.marks.iter().copied());
                changed.push(id);
            }
        }
        let removed: Vec<NameId> = response.removed.iter().map(|name| contents.name(name)).collect();
        let first = !std::mem::replace(&mut self.of(kind).answered, true);
        match kind {
            Kind::Cluster | Kind::Listener => {
                for name in &removed {
                    self.of(kind).known.remove(name);
                }
                self.subscribe(&changed, contents, &mut reply);
                if !removed.is_empty() {
                    self.unsubscribe(contents, &mut reply);
                }
            }
            Kind::Endpoint | Kind::Route | Kind::Secret | Kind::Extension => {
                // Envoy keeps what it has; what it has not it no longer waits for, but for secrets and extensions.
                let of_kind = self.of(kind);
                let is_over = matches!(kind, Kind::Endpoint | Kind::Route);
                if is_over {
                    for name in &removed {
                        of_kind.pending.remove(name);
                    }
                }
            }
        }
        let nonce = response.nonce.to_owned();
        // The very first clusters of a process are acknowledged at once.
        let warms = kind == Kind::Cluster && (self.initialised || !first);
        let warming = if warms { endpoints_of(&changed, contents) } else { FxHashSet::default() };
        if warming.is_empty() {
            acknowledge(&mut reply, kind, nonce);
            reply.marks = marks;
        } else {
            self.warming = Some(Warming { nonce, names: warming, until: Instant::now() + WARMING, marks });
        }
        if kind == Kind::Endpoint {
            self.warmed(response, &removed, contents, &mut reply);
        }
        self.go_on(&mut reply);
        reply
    }

    /// Endpoints end the warming of their clusters.
    fn warmed(&mut self, response: &Response<'_>, removed: &[NameId], contents: &mut Contents, reply: &mut Reply) {
        let Some(warming) = &mut self.warming else { return };
        for raw in &response.resources {
            warming.names.remove(&contents.name(raw.name));
        }
        for name in removed {
            warming.names.remove(name);
        }
        if let Some(warming) = self.warming.take_if(|warming| warming.names.is_empty()) {
            acknowledge(reply, Kind::Cluster, warming.nonce);
            reply.marks.extend(warming.marks);
        }
    }

    /// Listeners are asked for once the clusters are complete.
    fn go_on(&mut self, reply: &mut Reply) {
        let [clusters, endpoints, listeners, ..] = &mut self.kinds;
        if clusters.answered && endpoints.pending.is_empty() && !listeners.requested {
            listeners.requested = true;
            reply.requests.push(Request::of(Kind::Listener));
        }
        self.initialised |= self.is_synced();
    }

    fn subscribe(&mut self, changed: &[ContentId], contents: &Contents, reply: &mut Reply) {
        let mut new: FxHashMap<Kind, Vec<String>> = FxHashMap::default();
        for content in changed.iter().filter_map(|id| contents.get(*id)) {
            for (kind, name) in &content.references {
                let of_kind = self.of(*kind);
                if of_kind.wanted.insert(*name) {
                    of_kind.requested = true;
                    of_kind.pending.insert(*name);
                    new.entry(*kind).or_default().push(contents.text(*name));
                }
            }
        }
        for kind in Kind::ALL {
            if let Some(subscribe) = new.remove(&kind) {
                reply.requests.push(Request { subscribe, ..Request::of(kind) });
            }
        }
    }

    /// What nothing refers to any more.
    fn unsubscribe(&mut self, contents: &Contents, reply: &mut Reply) {
        let holders = [Kind::Cluster, Kind::Listener].into_iter().filter_map(|kind| self.kinds.get(index(kind)));
        let held = holders.flat_map(|of_kind| of_kind.known.values()).filter_map(|id| contents.get(*id));
        let referred: FxHashSet<(Kind, NameId)> = held.flat_map(|content| content.references.iter().copied()).collect();
        for kind in [Kind::Endpoint, Kind::Route, Kind::Secret, Kind::Extension] {
            let of_kind = self.of(kind);
            let gone: Vec<NameId> = of_kind.wanted.iter().copied().filter(|name| !referred.contains(&(kind, *name))).collect();
            for name in &gone {
                of_kind.wanted.remove(name);
                of_kind.pending.remove(name);
                of_kind.known.remove(name);
            }
            if !gone.is_empty() {
                let unsubscribe = gone.iter().map(|name| contents.text(*name)).collect();
                reply.requests.push(Request { unsubscribe, ..Request::of(kind) });
            }
        }
    }

    fn of(&mut self, kind: Kind) -> &mut OfKind {
        let [cds, eds, lds, rds, sds, ecds] = &mut self.kinds;
        match kind {
            Kind::Cluster => cds,
            Kind::Endpoint => eds,
            Kind::Listener => lds,
            Kind::Route => rds,
            Kind::Secret => sds,
            Kind::Extension => ecds,
        }
    }
}

fn index(kind: Kind) -> usize {
    Kind::ALL.iter().position(|other| *other == kind).unwrap_or_default()
}

fn endpoints_of(changed: &[ContentId], contents: &Contents) -> FxHashSet<NameId> {
    let references = changed.iter().filter_map(|id| contents.get(*id)).flat_map(|content| content.references.iter());
    references.filter(|(kind, _)| *kind == Kind::Endpoint).map(|(_, name)| *name).collect()
}

fn acknowledge(reply: &mut Reply, kind: Kind, nonce: String) {
    reply.requests.push(Request { nonce, ..Request::of(kind) });
}
