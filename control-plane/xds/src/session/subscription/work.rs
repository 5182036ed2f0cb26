//! What is left to be said.

use std::sync::Arc;

use super::{FEW, Subscription};
use crate::resource::Identity;
use crate::session::open::Open;
use crate::{Resource, Snapshot};

impl Subscription {
    /// What differs from what the client holds, or must be repeated; and is not what it refused.
    pub(super) fn due<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Arc<Resource>> {
        let (all, named) = match &self.open {
            _ if !self.interest.is_requested() => (None, None),
            Open::All => (Some(snapshot.resources(self.kind)), None),
            Open::Names(names) => (None, Some(names.iter().filter_map(|name| snapshot.get(self.kind, name)))),
        };
        // Either is in the order of names.
        let (mut wants, mut known) = (self.interest.ascending(), self.known.ascending());
        let is_few = matches!(&self.open, Open::Names(names) if names.len() < FEW);
        all.into_iter().flatten().chain(named.into_iter().flatten()).filter(move |resource| {
            let held = if is_few { self.held_near(resource) } else { known.get(resource.shared_name()) };
            let differs = held.is_none_or(|held| !Arc::ptr_eq(held, resource.identity()) && *held.version != *resource.version());
            // Of what is not wanted nothing is known.
            (held.is_some() || wants(resource.shared_name()))
                && !self.is_refused(resource)
                && (differs || self.again.contains(resource.name()))
        })
    }

    /// What is known of one resource, where it was found by the stream that looked last.
    fn held_near(&self, resource: &Resource) -> Option<&Arc<Identity>> {
        let (place, held) = self.known.get_near(resource.identity().place(), resource.name())?;
        resource.identity().found_at(place);
        Some(held)
    }

    pub(super) fn gone<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Arc<str>> {
        let (all, named) = match &self.open {
            Open::All => (Some(self.known.keys()), None),
            Open::Names(names) => (None, Some(names.iter())),
        };
        // The snapshot first: all streams look there, and so it is at hand.
        let is_gone = |name: &&Arc<str>| self.tells_removals() && snapshot.get(self.kind, name).is_none();
        let named = named.into_iter().flatten().filter(is_gone).filter(|name| self.known.contains(name));
        all.into_iter().flatten().filter(is_gone).chain(named)
    }

    /// Whether [`Subscription::take`] may do anything.
    pub(in crate::session) fn has_work(&self) -> bool {
        let may_send = self.interest.is_requested() && self.in_flight.is_none();
        !self.refused.is_empty()
            || (may_send && (!self.open.is_empty() || self.owes_answer || self.refused_held || !self.suspects.is_empty()))
    }

    /// Something that the client does not hold yet is on its way, or should be.
    pub(in crate::session) fn brings_new(&self, snapshot: &Snapshot) -> bool {
        let sent = self.in_flight.as_ref().is_some_and(|sent| sent.brings_new);
        sent || !self.suspects.is_empty() || (!self.open.is_empty() && self.due(snapshot).any(|resource| self.is_new(resource)))
    }

    /// The client holds what the snapshot has, and nothing else. Not so where it refused something: it goes on with an older version.
    pub(in crate::session) fn is_settled(&self, snapshot: &Snapshot) -> bool {
        if self.in_flight.is_some() {
            return false;
        }
        let refuses = |name: &Arc<str>| self.interest.contains(name) && snapshot.get(self.kind, name).is_some_and(|it| self.is_refused(it));
        (self.open.is_empty() || (self.due(snapshot).next().is_none() && self.gone(snapshot).next().is_none()))
            && !self.refused_another(snapshot, true)
            && !self.refused.keys().any(refuses)
    }
}
