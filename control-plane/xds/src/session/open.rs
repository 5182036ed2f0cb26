//! Which names a subscription still has to look at.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::resource::Identity;
use crate::{ResourceType, Snapshot};

/// The version of what a client may or may not hold: it differs from every version there is.
pub(super) const UNCERTAIN: &str = "";

/// Of all names that are not here it is certain that the client has them as the snapshot does.
#[derive(Debug)]
pub(super) enum Open {
    All,
    Names(BTreeSet<Arc<str>>),
}

impl Open {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Names(names) if names.is_empty())
    }

    pub(super) fn add(&mut self, name: &Arc<str>) {
        if let Self::Names(names) = self
            && !names.contains(name)
        {
            names.insert(Arc::clone(name));
        }
    }
}

/// What a client says that it holds, without copies of what the snapshot has.
pub(super) fn shared(kind: ResourceType, (name, version): (String, String), snapshot: Option<&Snapshot>) -> Arc<Identity> {
    match snapshot.and_then(|snapshot| snapshot.get(kind, &name)) {
        Some(resource) if resource.version() == version => Arc::clone(resource.identity()),
        Some(resource) => Arc::new(Identity::new(Arc::clone(resource.shared_name()), version)),
        None => Arc::new(Identity::new(name, version)),
    }
}

/// What a client names, as the snapshot has it.
pub(super) fn shared_name(kind: ResourceType, name: &str, snapshot: Option<&Snapshot>) -> Arc<Identity> {
    let resource = snapshot.and_then(|snapshot| snapshot.get(kind, name));
    resource.map_or_else(|| uncertain(&name.into()), |resource| Arc::clone(resource.identity()))
}

/// What may or may not be held.
pub(super) fn uncertain(name: &Arc<str>) -> Arc<Identity> {
    Arc::new(Identity::new(Arc::clone(name), UNCERTAIN))
}

pub(super) fn pairs<'a>(identities: impl IntoIterator<Item = &'a Arc<Identity>>) -> Vec<(Arc<str>, Arc<str>)> {
    identities.into_iter().map(|it| (Arc::clone(&it.name), Arc::clone(&it.version))).collect()
}
