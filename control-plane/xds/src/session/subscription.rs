use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::message::{Action, Protocol, Response};
use crate::{Resource, ResourceType, Snapshot};

const WILDCARD: &str = "*";

/// One type on one stream: what the client asked for, what it holds, what is on its way.
#[derive(Debug)]
pub(super) struct Subscription {
    kind: ResourceType,
    /// A request has come.
    requested: bool,
    wildcard: bool,
    /// Names were given at some time: an empty list is no wildcard any more.
    named: bool,
    names: BTreeSet<String>,
    /// Name → version, as sent or as the client said it holds.
    known: BTreeMap<String, String>,
    /// To be sent whatever the client holds: it asked anew, or waits for them after a change of what refers to them.
    again: BTreeSet<String>,
    /// Names that do not exist of which the client is to hear so.
    missing: BTreeSet<String>,
    /// Name → version that the client refused: not sent again until it changes.
    refused: BTreeMap<String, String>,
    /// State of the world, for the types whose absence deletes: what was sent last, kept while removals have to wait.
    held: BTreeMap<String, Arc<Resource>>,
    in_flight: Option<InFlight>,
    last_nonce: String,
    /// A wildcard is answered once even when there is nothing to say: Envoy waits for it.
    answered: bool,
}

#[derive(Debug)]
struct InFlight {
    nonce: String,
    versions: Vec<(String, String)>,
    removed: Vec<String>,
}

impl Subscription {
    pub(super) fn new(kind: ResourceType) -> Self {
        Self {
            kind,
            requested: false,
            wildcard: false,
            named: false,
            names: BTreeSet::new(),
            known: BTreeMap::new(),
            again: BTreeSet::new(),
            missing: BTreeSet::new(),
            refused: BTreeMap::new(),
            held: BTreeMap::new(),
            in_flight: None,
            last_nonce: String::new(),
            answered: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// State of the world: a request that answers a response other than the newest is to be ignored whole.
    pub(super) fn is_stale(&self, nonce: &str) -> bool {
        !nonce.is_empty() && nonce != self.last_nonce
    }

    /// The ACK or NACK of what is in flight, when the nonce says that it is one. Only `error` makes it a NACK.
    pub(super) fn resolve(&mut self, nonce: &str, error: Option<String>) -> Option<Action> {
        let InFlight { versions, removed, .. } = self.in_flight.take_if(|sent| sent.nonce == nonce)?;
        let Some(message) = error else {
            for (name, _) in &versions {
                self.refused.remove(name);
            }
            return Some(Action::Acked { kind: self.kind, versions, removed });
        };
        let names = versions.iter().map(|(name, _)| name.clone()).collect();
        for (name, version) in versions {
            // Which of them the client took cannot be known: it holds none for sure, and none is sent again as it is.
            self.known.remove(&name);
            self.refused.insert(name, version);
        }
        Some(Action::Nacked { kind: self.kind, names, message })
    }

    pub(super) fn subscribe_delta(&mut self, subscribe: Vec<String>, initial_versions: Vec<(String, String)>) {
        let first = !self.requested;
        self.requested = true;
        if first {
            self.known.extend(initial_versions);
            // Legacy wildcard: the first request names nothing, and the type is one that allows it.
            self.wildcard |= subscribe.is_empty() && self.kind.has_legacy_wildcard();
        }
        for name in subscribe {
            if name == WILDCARD {
                self.wildcard = true;
                continue;
            }
            // Subscribing to what is subscribed already means that the client has lost it.
            if !first {
                self.again.insert(name.clone());
            }
            self.missing.insert(name.clone());
            self.names.insert(name);
        }
        if first && !self.wildcard {
            let names = &self.names;
            self.known.retain(|name, _| names.contains(name));
        }
    }

    pub(super) fn unsubscribe_delta(&mut self, unsubscribe: Vec<String>) {
        for name in unsubscribe {
            if name == WILDCARD {
                self.wildcard = false;
                let names = &self.names;
                self.known.retain(|name, _| names.contains(name));
            } else if self.names.remove(&name) {
                if self.wildcard {
                    // The client cannot know whether the wildcard still covers it: tell it.
                    self.again.insert(name.clone());
                    self.missing.insert(name);
                } else {
                    self.known.remove(&name);
                    self.again.remove(&name);
                    self.missing.remove(&name);
                }
            }
        }
    }

    /// State of the world: the names of a request replace those before.
    pub(super) fn replace_names(&mut self, names: Vec<String>) {
        self.requested = true;
        self.named |= !names.is_empty();
        let mut names: BTreeSet<String> = names.into_iter().collect();
        let explicit = names.remove(WILDCARD);
        self.wildcard = explicit || (!self.named && self.kind.has_legacy_wildcard());
        self.names = names;
        if !self.wildcard {
            let names = &self.names;
            self.known.retain(|name, _| names.contains(name));
        }
    }

    pub(super) fn send_again(&mut self, name: &str) {
        self.again.insert(name.to_owned());
    }

    fn wants(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// Differs from what the client holds, or must be repeated; and is not what it refused.
    fn is_due(&self, resource: &Resource) -> bool {
        let name = resource.name();
        let differs = self.known.get(name).is_none_or(|known| known != resource.version());
        let refused = self.refused.get(name).is_some_and(|refused| refused == resource.version());
        self.wants(name) && !refused && (differs || self.again.contains(name))
    }

    fn additions(&self, snapshot: &Snapshot) -> Vec<Arc<Resource>> {
        snapshot.resources(self.kind).filter(|resource| self.is_due(resource)).cloned().collect()
    }

    pub(super) fn has_additions(&self, snapshot: &Snapshot) -> bool {
        self.requested && snapshot.resources(self.kind).any(|resource| self.is_due(resource))
    }

    /// The client goes on with an older version of something, because it refused the one in the snapshot.
    pub(super) fn refuses(&self, snapshot: &Snapshot) -> bool {
        let current = |name: &str, version: &str| snapshot.get(self.kind, name).is_some_and(|resource| resource.version() == version);
        self.refused.iter().any(|(name, version)| self.wants(name) && current(name, version))
    }

    /// The next response, when there is something to say and nothing is in flight. It counts as held by the client from now on.
    pub(super) fn take(&mut self, protocol: Protocol, snapshot: &Snapshot, removals: bool, nonce: String) -> Option<Response> {
        if !self.requested || self.in_flight.is_some() {
            return None;
        }
        let additions = self.additions(snapshot);
        let gone: Vec<String> = self.known.keys().filter(|name| snapshot.get(self.kind, name).is_none()).cloned().collect();
        let gone = if removals { gone } else { Vec::new() };
        let first = self.wildcard && !self.answered;
        let (resources, removed) = match protocol {
            Protocol::Delta => {
                let mut removed: BTreeSet<String> = gone.into_iter().collect();
                removed.extend(self.take_missing(snapshot));
                (additions, removed.into_iter().collect())
            }
            Protocol::StateOfTheWorld => (self.state(additions, !gone.is_empty() || first, snapshot, removals), gone),
        };
        let says_nothing = match protocol {
            Protocol::Delta => resources.is_empty() && removed.is_empty(),
            Protocol::StateOfTheWorld => resources.is_empty() && (removed.is_empty() || !self.kind.is_full_state()),
        };
        if says_nothing && !first {
            // Absence is not deletion here, so nothing is said; but what is gone is known no longer.
            for name in &removed {
                self.known.remove(name);
            }
            return None;
        }
        if protocol == Protocol::StateOfTheWorld && self.kind.is_full_state() {
            self.held = resources.iter().map(|resource| (resource.name().to_owned(), Arc::clone(resource))).collect();
        }
        Some(self.sent(resources, removed, nonce))
    }

    fn sent(&mut self, resources: Vec<Arc<Resource>>, removed: Vec<String>, nonce: String) -> Response {
        self.answered = true;
        for resource in &resources {
            self.again.remove(resource.name());
            self.missing.remove(resource.name());
            self.known.insert(resource.name().to_owned(), resource.version().to_owned());
        }
        for name in &removed {
            self.known.remove(name);
        }
        let versions = resources.iter().map(|resource| (resource.name().to_owned(), resource.version().to_owned())).collect();
        self.last_nonce.clone_from(&nonce);
        self.in_flight = Some(InFlight { nonce: nonce.clone(), versions, removed: removed.clone() });
        Response { kind: self.kind, nonce, resources, removed }
    }

    /// Names that the client asked for and that do not exist; once each, until it asks again.
    fn take_missing(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let asked = std::mem::take(&mut self.missing);
        if !self.kind.tells_missing() {
            return Vec::new();
        }
        asked.into_iter().filter(|name| snapshot.get(self.kind, name).is_none()).collect()
    }

    /// State of the world: for clusters and listeners all of it as soon as one differs, since absence deletes; what is gone stays in it while
    /// removals have to wait. For the other types what differs.
    fn state(&self, additions: Vec<Arc<Resource>>, changed: bool, snapshot: &Snapshot, removals: bool) -> Vec<Arc<Resource>> {
        if !self.kind.is_full_state() || (additions.is_empty() && !changed) {
            return additions;
        }
        let current = snapshot.resources(self.kind).filter(|resource| self.wants(resource.name())).cloned();
        let leaving = self.held.values().filter(|held| !removals && snapshot.get(self.kind, held.name()).is_none()).cloned();
        current.chain(leaving).collect()
    }
}
