//! State of the world, for the types whose absence deletes: every response is all that there is.

use std::sync::Arc;

use super::Subscription;
use crate::{Resource, Snapshot};

impl Subscription {
    /// All of it as soon as one differs, since absence deletes; what is gone stays in it while removals have to wait. What the client refused
    /// is in it too, as nothing else keeps the last good version there.
    pub(super) fn state(&self, snapshot: &Snapshot, may_remove: bool) -> Vec<Arc<Resource>> {
        let interest = &self.interest;
        let current = snapshot.resources(self.kind).filter(|resource| interest.contains(resource.name())).cloned();
        let leaving = self.held.values().filter(|held| !may_remove && snapshot.get(self.kind, held.name()).is_none());
        current.chain(leaving.filter(|held| interest.contains(held.name())).cloned()).collect()
    }

    /// The client refused the last state, and now it is another. It may hold all that it had before: also when nothing of what it refused is
    /// left, it must hear of what is gone.
    pub(super) fn refused_another(&self, snapshot: &Snapshot, may_remove: bool) -> bool {
        if !self.refused_held {
            return false;
        }
        let state = self.state(snapshot, may_remove);
        let was_sent = |resource: &Arc<Resource>| {
            self.held.get(resource.name()).is_some_and(|held| held.shared_version() == resource.shared_version())
        };
        state.len() != self.held.len() || !state.iter().all(was_sent)
    }

    /// What is sent now.
    pub(super) fn hold(&mut self, resources: &[Arc<Resource>]) {
        self.held = resources.iter().map(|resource| (resource.name().to_owned(), Arc::clone(resource))).collect();
        self.refused_held = false;
    }
}
