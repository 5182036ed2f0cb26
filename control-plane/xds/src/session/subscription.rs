mod full_state;
mod suspects;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::interest::Interest;
use super::message::{Action, Protocol, Response};
use super::open::{Open, UNCERTAIN, pairs, shared, shared_name, uncertain};
use super::sorted::{SharedLists, Sorted};
use crate::resource::Identity;
use crate::{Resource, ResourceType, Snapshot};

/// Less than such a part of what is held is put in its place one by one.
const FEW: usize = 8;

/// One type on one stream: what the client asked for, what it holds, what is on its way.
#[derive(Debug)]
pub(super) struct Subscription {
    kind: ResourceType,
    protocol: Protocol,
    interest: Interest,
    /// Name → version, as sent or as the client said it holds, of what it is interested in.
    known: Sorted,
    /// Names that may have to be sent or removed. Of all others it is certain that the client has them as the snapshot does.
    open: Open,
    /// To be sent whatever the client holds: it asked anew, or waits for them after a change of what refers to them.
    again: BTreeSet<Arc<str>>,
    /// Names that were asked for and may not exist, of which the client is to hear so.
    asked: BTreeSet<Arc<str>>,
    /// Name → version that the client refused: not sent again until it changes.
    refused: BTreeMap<Arc<str>, Arc<str>>,
    /// Refused together, so that one may be good: each group is tried once more on its own.
    suspects: Vec<Vec<Arc<Identity>>>,
    /// State of the world, for the types whose absence deletes: what was sent last, kept while removals have to wait.
    held: BTreeMap<String, Arc<Resource>>,
    /// The client refused that: of what it had before, all may be left.
    refused_held: bool,
    in_flight: Option<InFlight>,
    last_nonce: String,
    /// The client waits for an answer, even when there is nothing to say: Envoy does so with its wildcards.
    owes_answer: bool,
    /// Something has been sent.
    answered: bool,
}

#[derive(Debug)]
struct InFlight {
    nonce: String,
    /// Shared with what is on its way.
    sent: Arc<[Arc<Resource>]>,
    removed: Vec<String>,
    /// Something in it is not known to the client for sure.
    brings_new: bool,
    /// Some of it may have been dropped meanwhile.
    forgotten: bool,
}

/// What [`Subscription::take`] gives.
pub(super) struct Taken {
    pub(super) response: Response,
    /// What of it is more than a repetition of what the client holds; none when all of it is.
    pub(super) changed: Option<Vec<Arc<Resource>>>,
}

impl Subscription {
    pub(super) fn new(kind: ResourceType, protocol: Protocol, shared: &SharedLists) -> Self {
        Self {
            kind,
            protocol,
            interest: Interest::new(kind, shared),
            known: Sorted::new(shared),
            open: Open::All,
            again: BTreeSet::new(),
            asked: BTreeSet::new(),
            refused: BTreeMap::new(),
            suspects: Vec::new(),
            held: BTreeMap::new(),
            refused_held: false,
            in_flight: None,
            last_nonce: String::new(),
            owes_answer: false,
            answered: false,
        }
    }

    /// The most names that the client makes this hold in one place.
    pub(super) fn len(&self) -> usize {
        self.interest.len().max(self.again.len()).max(self.asked.len())
    }

    /// State of the world: a request that answers a response other than the newest is to be ignored whole.
    pub(super) fn is_stale(&self, nonce: &str) -> bool {
        !nonce.is_empty() && nonce != self.last_nonce
    }

    /// The ACK or NACK of what is in flight, when the nonce says that it is one. Only `error` makes it a NACK.
    pub(super) fn resolve(&mut self, nonce: &str, error: Option<String>) -> Option<Action> {
        let InFlight { sent, removed, forgotten, .. } = self.in_flight.take_if(|sent| sent.nonce == nonce)?;
        let versions = || sent.iter().map(|resource| resource.identity());
        let Some(message) = error else {
            let is_simple = self.refused.is_empty() && !forgotten;
            for name in versions().map(|sent| &sent.name).filter(|_| !is_simple) {
                let was_refused = self.refused.remove(name).is_some();
                // Dropped and asked for anew while on its way, it may be held or not.
                let is_uncertain = self.interest.contains(name) && !self.known.contains(name);
                if is_uncertain {
                    self.known.insert(uncertain(name));
                }
                if was_refused || is_uncertain {
                    self.open.add(name);
                }
            }
            return Some(Action::Acked { kind: self.kind, versions: pairs(versions()), removed });
        };
        let names: Vec<String> = versions().map(|sent| sent.name.to_string()).collect();
        self.refused_held = self.is_full_state() && !names.is_empty();
        // Which part of it the client took cannot be known. What it may hold is to be removed once it goes, and a removal is tried again.
        // Not one that was refused on its own, nor one by absence from the full state: the client could have both repeated for ever.
        let tries_removal_again = !names.is_empty() && !self.is_full_state();
        let may_be_held = names.iter().chain(removed.iter().filter(|_| tries_removal_again));
        for name in may_be_held.filter(|name| self.interest.contains(name)) {
            let name = Arc::from(name.as_str());
            self.open.add(&name);
            self.known.insert(uncertain(&name));
        }
        self.suspect(&versions().cloned().collect::<Vec<_>>());
        self.refused.extend(pairs(versions()).into_iter().filter(|(name, _)| self.interest.contains(name)));
        Some(Action::Nacked { kind: self.kind, names, message })
    }

    /// `snapshot`: whose names and versions are shared where the client has the same.
    pub(super) fn subscribe_delta(
        &mut self,
        subscribe: &[String],
        initial_versions: Vec<(String, String)>,
        snapshot: Option<&Snapshot>,
    ) -> Option<Action> {
        let (first, wildcard) = (!self.interest.is_requested(), self.interest.is_wildcard());
        self.interest.request();
        if first {
            // A client that comes back is told at least that it is heard: its ACK is when removals may begin.
            self.owes_answer |= self.kind.has_legacy_wildcard() && !initial_versions.is_empty();
            self.known.extend(initial_versions.into_iter().map(|held| shared(self.kind, held, snapshot)));
            self.open = Open::All;
        }
        let names = subscribe.iter().map(|name| shared_name(self.kind, name, snapshot)).collect();
        for named in self.interest.subscribe(names) {
            self.open.add(&named.name);
            // Subscribing to what is subscribed already means that the client has lost it.
            if !first {
                self.again.insert(Arc::clone(&named.name));
            }
            self.asked.insert(Arc::clone(&named.name));
        }
        self.after_change(wildcard, first);
        // What it holds from an earlier stream it need not acknowledge again.
        let held = first && !self.known.is_empty();
        held.then(|| {
            let versions = pairs(self.known.iter());
            Action::Acked { kind: self.kind, versions, removed: Vec::new() }
        })
    }

    pub(super) fn unsubscribe_delta(&mut self, unsubscribe: &[String]) {
        let wildcard = self.interest.is_wildcard();
        for name in unsubscribe {
            if self.interest.unsubscribe(name) && self.interest.is_wildcard() {
                // The client cannot know whether the wildcard still covers it: tell it.
                let name = Arc::from(name.as_str());
                self.open.add(&name);
                self.again.insert(Arc::clone(&name));
                self.asked.insert(name);
            }
        }
        self.after_change(wildcard, !unsubscribe.is_empty());
    }

    /// Another snapshot is to be served; `changes` are the names in which it may differ from the one before, none when all may.
    pub(super) fn snapshot_changed(&mut self, changes: Option<&[Arc<str>]>) {
        match (&mut self.open, changes) {
            (Open::Names(names), Some(changes)) => names.extend(changes.iter().cloned()),
            (open, None) => *open = Open::All,
            (Open::All, Some(_)) => {}
        }
    }

    /// State of the world: the names of a request replace those before.
    pub(super) fn replace_names(&mut self, names: Vec<String>) {
        let wildcard = self.interest.is_wildcard();
        // Where absence means deletion, the answer is how a client learns that a name does not exist.
        self.owes_answer |= self.interest.replace(names) && self.is_full_state();
        self.open = Open::All;
        self.after_change(wildcard, true);
    }

    /// State of the world: a stale request is not obeyed, but a name that is not in it is not held, also when it comes back before the server
    /// has seen it missing.
    pub(super) fn forget_unnamed(&mut self, names: &[String]) {
        if !self.interest.is_wildcard_also_with(names) {
            self.known.retain(|name| names.iter().any(|named| **named == **name));
            self.open = Open::All;
            if let Some(sent) = &mut self.in_flight {
                sent.forgotten = true;
            }
        }
    }

    /// Forgets what the client is not interested in any more, since it does not hold it; nor does it refuse it any more, as it may never have
    /// said which of a response it meant.
    fn after_change(&mut self, was_wildcard: bool, may_want_less: bool) {
        let interest = &self.interest;
        let turned = interest.is_wildcard() != was_wildcard;
        self.owes_answer |= interest.is_wildcard() && turned;
        if turned {
            self.open = Open::All;
        } else if !may_want_less {
            return;
        }
        self.known.retain(interest.ascending());
        let mut wants = interest.ascending();
        self.again.retain(|name| wants(name));
        let mut wants = interest.ascending();
        self.asked.retain(|name| wants(name));
        self.refused.retain(|name, _| interest.contains(name));
        if let Some(sent) = &mut self.in_flight {
            sent.forgotten = true;
        }
    }

    /// What refers to these has been sent: the client waits for them. A client that comes back may subscribe to them only afterwards, and say
    /// that it holds them.
    pub(super) fn send_again(&mut self, mut names: Vec<Arc<str>>) {
        if self.interest.is_requested() {
            names.retain(|name| self.interest.contains(name));
        }
        names.iter().for_each(|name| self.open.add(name));
        if self.again.is_empty() {
            // Many are put in order together, and nearly always are.
            self.again = names.into_iter().collect();
        } else {
            self.again.extend(names);
        }
    }

    /// The client has acknowledged or refused something, so that all it wanted when it connected is known.
    pub(super) fn has_conversed(&self) -> bool {
        self.answered && self.in_flight.is_none()
    }

    fn is_full_state(&self) -> bool {
        self.protocol == Protocol::StateOfTheWorld && self.kind.is_full_state()
    }

    /// Where this cannot be told the client goes on holding what is gone, until it wants it no more.
    fn tells_removals(&self) -> bool {
        match self.protocol {
            Protocol::Delta => self.kind.tells_gone(),
            Protocol::StateOfTheWorld => self.kind.is_full_state(),
        }
    }

    fn is_refused(&self, resource: &Resource) -> bool {
        self.refused.get(resource.name()).is_some_and(|refused| **refused == *resource.version())
    }

    fn is_new(&self, resource: &Resource) -> bool {
        self.known.get(resource.name()).is_none_or(|known| &*known.version == UNCERTAIN)
    }

    /// The next response, when there is something to say and nothing is in flight. It counts as held by the client from now on.
    pub(super) fn take(&mut self, snapshot: &Snapshot, may_remove: bool, nonce: u64) -> Option<Taken> {
        // Content that is not served any more may be served again: what was refused with it, or what refused it, may be another then.
        self.refused.retain(|name, version| snapshot.get(self.kind, name).is_some_and(|resource| *resource.version() == **version));
        if !self.interest.is_requested() || self.in_flight.is_some() {
            return None;
        }
        let mut changed: Vec<Arc<Resource>> = self.due(snapshot).cloned().collect();
        if changed.is_empty() {
            changed = self.next_suspects(snapshot);
        }
        self.owes_answer |= self.refused_another(snapshot, may_remove);
        let gone: Vec<Arc<str>> = self.gone(snapshot).cloned().collect();
        let removed = if may_remove { self.forget(&gone) } else { Vec::new() };
        // Whatever was due is sent: open is what may not be removed yet.
        let still_open = if may_remove { BTreeSet::new() } else { gone.into_iter().collect() };
        let (resources, changed, removed) = match self.protocol {
            Protocol::Delta => (changed, None, self.told_removed(removed, snapshot)),
            Protocol::StateOfTheWorld if self.kind.is_full_state() => {
                let differs = !changed.is_empty() || !removed.is_empty() || self.owes_answer;
                (if differs { self.state(snapshot, may_remove) } else { Vec::new() }, Some(changed), removed)
            }
            // Absence says nothing here, and there is no other way to say that something is gone.
            Protocol::StateOfTheWorld => (changed, None, Vec::new()),
        };
        let response =
            (!resources.is_empty() || !removed.is_empty() || self.owes_answer).then(|| self.sent(resources, removed, nonce.to_string()));
        self.open = Open::Names(still_open);
        Some(Taken { response: response?, changed })
    }

    fn sent(&mut self, resources: Vec<Arc<Resource>>, removed: Vec<String>, nonce: String) -> Response {
        // Nothing waits for new ones of another type.
        let brings_new = self.kind == ResourceType::Cluster && resources.iter().any(|resource| self.is_new(resource));
        for resource in &resources {
            self.again.remove(resource.name());
            self.asked.remove(resource.name());
        }
        self.knows(&resources);
        for group in &mut self.suspects {
            group.retain(|suspect| resources.iter().all(|resource| resource.name() != &*suspect.name));
        }
        if self.is_full_state() {
            self.hold(&resources);
        }
        let resources: Arc<[Arc<Resource>]> = resources.into();
        (self.owes_answer, self.answered) = (false, true);
        self.last_nonce.clone_from(&nonce);
        self.in_flight =
            Some(InFlight { nonce: nonce.clone(), sent: Arc::clone(&resources), removed: removed.clone(), brings_new, forgotten: false });
        Response { kind: self.kind, nonce, resources, removed }
    }

    /// What is sent is held from now on.
    fn knows(&mut self, resources: &[Arc<Resource>]) {
        // Many are put in order together; of few each is looked up, which costs less than a look at all.
        if resources.len() > self.known.len() / FEW {
            self.known.extend(resources.iter().map(|resource| Arc::clone(resource.identity())));
        } else {
            for identity in resources.iter().map(|resource| resource.identity()) {
                identity.found_at(self.known.insert_near(identity.place(), Arc::clone(identity)));
            }
        }
    }

    /// What the client holds and the snapshot has no more.
    fn forget(&mut self, gone: &[Arc<str>]) -> Vec<String> {
        for name in gone {
            self.known.remove(name);
        }
        gone.iter().map(ToString::to_string).collect()
    }

    /// Delta: what is gone, and once each what was asked for and does not exist.
    fn told_removed(&mut self, gone: Vec<String>, snapshot: &Snapshot) -> Vec<String> {
        if gone.is_empty() && self.asked.is_empty() {
            return gone;
        }
        let mut asked = std::mem::take(&mut self.asked);
        if !self.kind.tells_missing() {
            asked.clear();
        }
        let known = &self.known;
        let missing = asked.into_iter().filter(|name| snapshot.get(self.kind, name).is_none() && !known.contains(name));
        gone.into_iter().chain(missing.map(|name| name.to_string())).collect::<BTreeSet<_>>().into_iter().collect()
    }
}
