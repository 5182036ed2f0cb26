//! One stream, without sockets: requests and snapshots in, actions out. Nothing here knows the time, blocks or fails.

mod interest;
mod message;
mod open;
mod sorted;
mod subscription;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use message::{Action, DeltaRequest, Limits, Protocol, Refused, Response, SotwRequest};
pub use sorted::SharedLists;
use subscription::{Subscription, Taken};

use crate::by_type::ByType;
use crate::{ResourceType, Snapshot};

/// What is referred to before what refers to it. Secrets and extension configurations come after listeners, since a changed listener waits
/// until those that it refers to are sent after it. An extension that changed itself comes before them too: a listener that takes more, where
/// the policy in it does not permit that yet, would answer with refusals until it does.
const PUSH_ORDER: [ResourceType; ResourceType::ALL.len() + 1] = [
    ResourceType::Cluster,
    ResourceType::Endpoint,
    ResourceType::ExtensionConfig,
    ResourceType::Listener,
    ResourceType::Secret,
    ResourceType::ExtensionConfig,
    ResourceType::Route,
];

/// The protocol's state for one client on one stream.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    snapshot: Option<Arc<Snapshot>>,
    subscriptions: ByType<Subscription>,
    nonces: u64,
}

impl Session {
    /// A session that shares nothing with others.
    #[must_use]
    pub fn new(protocol: Protocol, limits: Limits) -> Self {
        Self::sharing(protocol, limits, &SharedLists::default())
    }

    /// One of many, of which each list of names that several have is there once.
    #[must_use]
    pub fn sharing(protocol: Protocol, limits: Limits, shared: &SharedLists) -> Self {
        let subscriptions = ByType::make(|kind| Subscription::new(kind, protocol, shared));
        Self { limits, snapshot: None, subscriptions, nonces: 0 }
    }

    /// How many names the client has subscribed to, of all types.
    pub(crate) fn names(&self) -> usize {
        ResourceType::ALL.into_iter().map(|kind| self.of(kind).len()).fold(0, usize::saturating_add)
    }

    /// A new snapshot to bring the client to. Differences are sent at once where nothing of the same type is in flight, else after its ACK:
    /// a slow client costs one response per type, and always gets the newest.
    pub fn on_snapshot(&mut self, snapshot: &Arc<Snapshot>) -> Vec<Action> {
        let last = self.snapshot.replace(Arc::clone(snapshot));
        for kind in ResourceType::ALL {
            let changes = last.as_ref().and_then(|last| snapshot.changes_since(last, kind));
            if changes.as_ref().is_none_or(|changes| !changes.is_empty()) {
                self.subscription(kind).snapshot_changed(changes.as_deref());
            }
        }
        self.flush()
    }

    /// # Errors
    /// [`Refused`] when the client asks for more than it may; the stream is to be closed.
    pub fn on_delta_request(&mut self, request: DeltaRequest) -> Result<Vec<Action>, Refused> {
        let DeltaRequest { type_url, subscribe, unsubscribe, initial_versions, nonce, error } = request;
        // An unknown type is answered by nothing: it must not cost the client its other types.
        let Some(kind) = ResourceType::from_type_url(&type_url) else { return Ok(Vec::new()) };
        self.limits.check(subscribe.iter().chain(&unsubscribe).chain(initial_versions.iter().map(|(name, _)| name)))?;
        let limit = self.limits.names;
        let snapshot = self.snapshot.clone();
        let subscription = self.subscription(kind);
        // A stale or unknown nonce makes only the ACK void, never the (un)subscriptions beside it.
        let mut actions: Vec<Action> = subscription.resolve(&nonce, error).into_iter().collect();
        actions.extend(subscription.subscribe_delta(&subscribe, initial_versions, snapshot.as_deref()));
        subscription.unsubscribe_delta(&unsubscribe);
        if subscription.len() > limit {
            return Err(Refused::TooManyNames { kind, limit });
        }
        actions.extend(self.flush());
        Ok(actions)
    }

    /// # Errors
    /// As [`Session::on_delta_request`].
    pub fn on_sotw_request(&mut self, request: SotwRequest) -> Result<Vec<Action>, Refused> {
        let SotwRequest { type_url, names, nonce, error } = request;
        let Some(kind) = ResourceType::from_type_url(&type_url) else { return Ok(Vec::new()) };
        self.limits.check(names.iter())?;
        let limit = self.limits.names;
        let subscription = self.subscription(kind);
        if subscription.is_stale(&nonce) {
            subscription.forget_unnamed(&names);
            return Ok(Vec::new());
        }
        let mut actions: Vec<Action> = subscription.resolve(&nonce, error).into_iter().collect();
        subscription.replace_names(names);
        if subscription.len() > limit {
            return Err(Refused::TooManyNames { kind, limit });
        }
        actions.extend(self.flush());
        Ok(actions)
    }

    /// Sends what can be sent now, in order; removals once nothing refers to the removed any more.
    fn flush(&mut self) -> Vec<Action> {
        let Some(snapshot) = self.snapshot.clone() else { return Vec::new() };
        let mut actions = Vec::new();
        for kind in PUSH_ORDER {
            // Nearly always there is something of one type alone.
            if !self.of(kind).has_work() || !self.may_send(kind, &snapshot) {
                continue;
            }
            let may_remove = self.may_remove(kind, &snapshot);
            // Never empty: a request without a nonce is a request that acknowledges nothing.
            let nonce = self.nonces.saturating_add(1);
            let Some(Taken { response, changed }) = self.subscription(kind).take(&snapshot, may_remove, nonce) else { continue };
            self.nonces = nonce;
            let changed = changed.as_deref().unwrap_or_else(|| response.resources());
            let mut again = ByType::<Vec<Arc<str>>>::default();
            for (dependent, name) in changed.iter().flat_map(|resource| resource.dependencies()) {
                if let (true, Some(awaited)) = (dependent.is_awaited_by_dependents(), snapshot.get(*dependent, name)) {
                    again.get_mut(*dependent).push(Arc::clone(awaited.shared_name()));
                }
            }
            for dependent in ResourceType::ALL {
                self.subscription(dependent).send_again(std::mem::take(again.get_mut(dependent)));
            }
            actions.push(Action::Send(response));
        }
        actions
    }

    /// Listeners and routes may refer to clusters that are on their way: until those are acknowledged Envoy would answer 503. A cluster that
    /// only changes is there meanwhile, and one that the client refused must not hold up the rest.
    fn may_send(&self, kind: ResourceType, snapshot: &Snapshot) -> bool {
        match kind {
            ResourceType::Listener | ResourceType::Route => !self.of(ResourceType::Cluster).brings_new(snapshot),
            ResourceType::Cluster | ResourceType::Endpoint | ResourceType::Secret | ResourceType::ExtensionConfig => true,
        }
    }

    /// Whether the client is done with all that could refer to this type.
    fn may_remove(&self, kind: ResourceType, snapshot: &Snapshot) -> bool {
        let settled = |kinds: &[ResourceType]| kinds.iter().all(|kind| self.of(*kind).is_settled(snapshot));
        match kind {
            ResourceType::Listener => true,
            ResourceType::Route => settled(&[ResourceType::Listener]),
            // A client that comes back asks for clusters first: what it holds of the others is not known until its first ACK.
            ResourceType::Cluster => self.of(kind).has_conversed() && settled(&[ResourceType::Listener, ResourceType::Route]),
            ResourceType::Endpoint | ResourceType::Secret | ResourceType::ExtensionConfig => {
                settled(&[ResourceType::Listener, ResourceType::Route, ResourceType::Cluster])
            }
        }
    }

    fn of(&self, kind: ResourceType) -> &Subscription {
        self.subscriptions.get(kind)
    }

    fn subscription(&mut self, kind: ResourceType) -> &mut Subscription {
        self.subscriptions.get_mut(kind)
    }
}
