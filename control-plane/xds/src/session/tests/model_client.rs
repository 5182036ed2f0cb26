//! A client that behaves as Envoy does, and checks at every step what it is sent.

use std::collections::{BTreeMap, BTreeSet};

use ResourceType::{Cluster, Endpoint, ExtensionConfig, Listener, Route, Secret};

use super::super::Response;
use super::*;

/// Content that starts with this is refused.
pub(super) const BAD: &[u8] = b"bad";

#[derive(Debug)]
pub(super) enum Request {
    Delta(DeltaRequest),
    Sotw(SotwRequest),
}

/// One type, as the client has it.
#[derive(Debug, Default)]
struct Holding {
    names: BTreeSet<String>,
    held: BTreeMap<String, Arc<Resource>>,
    nonce: String,
    /// How often it may be sent without having changed: once for each time that its dependent changed, that it was asked for anew, and that
    /// it was refused with others.
    expected_again: BTreeMap<String, usize>,
    /// Must be sent, changed or not: what refers to it changed and waits for it.
    awaited: BTreeSet<String>,
}

#[derive(Debug)]
pub(super) struct Client {
    protocol: Protocol,
    types: BTreeMap<ResourceType, Holding>,
    /// Clusters that it refused: what refers to them may come all the same.
    refused_clusters: BTreeSet<String>,
    outbox: Vec<Request>,
}

impl Holding {
    fn expect_again(&mut self, name: &str) {
        *self.expected_again.entry(name.to_owned()).or_default() += 1;
    }

    fn is_expected_again(&mut self, name: &str) -> bool {
        self.expected_again.get_mut(name).is_some_and(|count| std::mem::replace(count, count.saturating_sub(1)) > 0)
    }
}

impl Client {
    pub(super) fn new(protocol: Protocol) -> Self {
        let types = ResourceType::ALL.into_iter().map(|kind| (kind, Holding::default())).collect();
        Self { protocol, types, refused_clusters: BTreeSet::new(), outbox: Vec::new() }
    }

    fn of(&mut self, kind: ResourceType) -> &mut Holding {
        self.types.get_mut(&kind).unwrap()
    }

    pub(super) fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.outbox)
    }

    /// A new stream. State of the world has no way to say what is held, so that its client begins anew.
    pub(super) fn connect(&mut self) {
        self.outbox.clear();
        if self.protocol == Protocol::StateOfTheWorld {
            *self = Self::new(self.protocol);
        }
        for kind in [Cluster, Endpoint, Listener, Secret, ExtensionConfig, Route] {
            let protocol = self.protocol;
            let holding = self.of(kind);
            holding.nonce.clear();
            holding.expected_again.clear();
            holding.awaited.clear();
            let names: Vec<String> = holding.names.iter().cloned().collect();
            if !kind.has_legacy_wildcard() && names.is_empty() {
                continue;
            }
            let type_url = kind.type_url().to_owned();
            let held = holding.held.values().map(|resource| (resource.name().to_owned(), resource.version().to_owned())).collect();
            self.outbox.push(match protocol {
                Protocol::Delta => {
                    Request::Delta(DeltaRequest { type_url, subscribe: names, initial_versions: held, ..DeltaRequest::default() })
                }
                Protocol::StateOfTheWorld => Request::Sotw(SotwRequest { type_url, names, ..SotwRequest::default() }),
            });
        }
    }

    /// Loses something, and asks for it anew; delta only.
    pub(super) fn forget(&mut self, kind: ResourceType, index: usize) {
        if self.protocol != Protocol::Delta || kind.has_legacy_wildcard() {
            return;
        }
        let holding = self.of(kind);
        let Some(name) = holding.names.iter().nth(index).cloned() else { return };
        holding.held.remove(&name);
        holding.expect_again(&name);
        self.outbox.push(Request::Delta(DeltaRequest {
            type_url: kind.type_url().to_owned(),
            subscribe: vec![name],
            ..DeltaRequest::default()
        }));
    }

    /// Takes what is good in a response; of a response with something bad nothing at all if `whole`.
    pub(super) fn receive(&mut self, response: &Response, whole: bool) {
        let kind = response.kind();
        let full = self.protocol == Protocol::StateOfTheWorld && kind.is_full_state();
        let is_bad = |resource: &Resource| resource.body().starts_with(BAD);
        let refuses = response.resources().iter().any(|resource| is_bad(resource));
        for resource in response.resources() {
            self.check_is_due(resource, full);
            if kind == Cluster && refuses {
                self.refused_clusters.insert(resource.name().to_owned());
            }
        }
        let takes_nothing = refuses && whole && !full;
        for resource in response.resources().iter().filter(|resource| !is_bad(resource) && !takes_nothing) {
            self.take(resource);
        }
        let mut removed: Vec<String> = if takes_nothing { Vec::new() } else { response.removed().to_vec() };
        if full {
            let stays = |name: &String| response.resources().iter().any(|resource| resource.name() == name);
            removed = self.of(kind).held.keys().filter(|name| !stays(name)).cloned().collect();
        }
        for name in removed {
            self.remove(kind, &name);
        }
        if refuses {
            let names = response.resources().iter().map(|resource| resource.name());
            for name in names.chain(response.removed().iter().map(String::as_str)) {
                self.of(kind).expect_again(name);
            }
        }
        self.of(kind).nonce = response.nonce().to_owned();
        self.answer(kind, refuses.then(|| "bad content".to_owned()));
        self.follow_references();
    }

    fn check_is_due(&mut self, resource: &Resource, full: bool) {
        let holding = self.of(resource.kind());
        holding.awaited.remove(resource.name());
        let unchanged = holding.held.get(resource.name()).is_some_and(|held| held.version() == resource.version());
        let expected = unchanged && holding.is_expected_again(resource.name());
        assert!(full || !unchanged || expected, "{} {} is resent unchanged", resource.kind().short_name(), resource.name());
        if !unchanged || expected {
            for (dependent, target) in resource.dependencies() {
                self.of(*dependent).expect_again(target);
            }
        }
    }

    fn take(&mut self, resource: &Arc<Resource>) {
        let (kind, name) = (resource.kind(), resource.name().to_owned());
        if !kind.has_legacy_wildcard() && !self.of(kind).names.contains(&name) {
            return; // Unsubscribed meanwhile.
        }
        for (dependent, target) in resource.dependencies().to_vec() {
            if dependent == Cluster {
                let there = self.of(Cluster).held.contains_key(&target) || self.refused_clusters.contains(&target);
                assert!(there, "{} {name} comes before its cluster {target}", kind.short_name());
            }
        }
        let changed = self.of(kind).held.insert(name, Arc::clone(resource)).is_none_or(|before| before.version() != resource.version());
        for (dependent, target) in resource.dependencies().to_vec() {
            if changed && dependent.is_awaited_by_dependents() {
                self.of(dependent).awaited.insert(target);
            }
        }
    }

    fn remove(&mut self, kind: ResourceType, name: &str) {
        // What was asked for anew and does not exist is answered so at once, whatever refers to it: Envoy ignores that where it has it.
        let asked_anew = self.of(kind).is_expected_again(name);
        if self.of(kind).held.remove(name).is_none() || asked_anew {
            return;
        }
        for holding in self.types.values() {
            for other in holding.held.values() {
                let refers = other.dependencies().iter().any(|(dependent, target)| *dependent == kind && target == name);
                assert!(!refers, "{} {name} is removed while {} refers to it", kind.short_name(), other.name());
            }
        }
    }

    /// Subscribes to what clusters and listeners refer to, and drops what they no longer do.
    fn follow_references(&mut self) {
        let referred: BTreeSet<(ResourceType, String)> = [Cluster, Listener]
            .into_iter()
            .flat_map(|kind| self.types[&kind].held.values())
            .flat_map(|resource| resource.dependencies().to_vec())
            .filter(|(kind, _)| *kind != Cluster)
            .collect();
        for kind in [Endpoint, Secret, ExtensionConfig, Route] {
            let wanted: BTreeSet<String> = referred.iter().filter(|(other, _)| *other == kind).map(|(_, name)| name.clone()).collect();
            let protocol = self.protocol;
            let holding = self.of(kind);
            let subscribe: Vec<String> = wanted.difference(&holding.names).cloned().collect();
            let unsubscribe: Vec<String> = holding.names.difference(&wanted).cloned().collect();
            if subscribe.is_empty() && unsubscribe.is_empty() {
                continue;
            }
            holding.names = wanted;
            holding.held.retain(|name, _| !unsubscribe.contains(name));
            for name in &subscribe {
                holding.expect_again(name);
            }
            match protocol {
                Protocol::Delta => {
                    let type_url = kind.type_url().to_owned();
                    self.outbox.push(Request::Delta(DeltaRequest { type_url, subscribe, unsubscribe, ..DeltaRequest::default() }));
                }
                Protocol::StateOfTheWorld => self.answer(kind, None),
            }
        }
    }

    fn answer(&mut self, kind: ResourceType, error: Option<String>) {
        let protocol = self.protocol;
        let holding = self.of(kind);
        let (type_url, nonce) = (kind.type_url().to_owned(), holding.nonce.clone());
        let names = holding.names.iter().cloned().collect();
        self.outbox.push(match protocol {
            Protocol::Delta => Request::Delta(DeltaRequest { type_url, nonce, error, ..DeltaRequest::default() }),
            Protocol::StateOfTheWorld => Request::Sotw(SotwRequest { type_url, names, nonce, error }),
        });
    }

    /// What it should hold it holds, where that is good; and never anything bad.
    pub(super) fn check_holds_the_good(&self, snapshot: &Snapshot) {
        for (kind, holding) in &self.types {
            let is_good = |name: &String| snapshot.get(*kind, name).is_some_and(|resource| !resource.body().starts_with(BAD));
            let awaited: Vec<&String> = holding.awaited.iter().filter(|name| holding.names.contains(*name) && is_good(name)).collect();
            assert!(awaited.is_empty(), "{} {awaited:?} never follow what changed", kind.short_name());
            assert!(holding.held.values().all(|resource| !resource.body().starts_with(BAD)));
            for resource in snapshot.resources(*kind).filter(|resource| !resource.body().starts_with(BAD)) {
                if kind.has_legacy_wildcard() || holding.names.contains(resource.name()) {
                    let held = holding.held.get(resource.name()).map(|held| held.version());
                    assert_eq!(held, Some(resource.version()), "{} {}", kind.short_name(), resource.name());
                }
            }
        }
    }

    /// Exactly the snapshot, once nothing in it is bad.
    pub(super) fn check_equals(&self, snapshot: &Snapshot) {
        self.check_holds_the_good(snapshot);
        for (kind, holding) in &self.types {
            let expected: BTreeMap<&str, &str> = snapshot.resources(*kind).map(|resource| (resource.name(), resource.version())).collect();
            let held: BTreeMap<&str, &str> = holding.held.values().map(|resource| (resource.name(), resource.version())).collect();
            assert_eq!(held, expected, "{}", kind.short_name());
        }
    }
}
