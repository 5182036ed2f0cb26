//! Which names a subscription still has to look at.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::{ResourceType, Snapshot};

/// Of all names that are not here it is certain that the client has them as the snapshot does.
#[derive(Debug)]
pub(super) enum Open {
    All,
    Names(BTreeSet<Arc<str>>),
}

impl Open {
    pub(super) fn add(&mut self, name: &Arc<str>) {
        if let Self::Names(names) = self
            && !names.contains(name)
        {
            names.insert(Arc::clone(name));
        }
    }
}

/// What a client says that it holds, without copies of what the snapshot has.
pub(super) fn shared(kind: ResourceType, (name, version): (String, String), snapshot: Option<&Snapshot>) -> (Arc<str>, Arc<str>) {
    match snapshot.and_then(|snapshot| snapshot.get(kind, &name)) {
        Some(resource) if resource.version() == version => (Arc::clone(resource.shared_name()), Arc::clone(resource.shared_version())),
        Some(resource) => (Arc::clone(resource.shared_name()), version.into()),
        None => (name.into(), version.into()),
    }
}

/// What a client names, as the snapshot has it.
pub(super) fn shared_name(kind: ResourceType, name: &str, snapshot: Option<&Snapshot>) -> Arc<str> {
    let resource = snapshot.and_then(|snapshot| snapshot.get(kind, name));
    resource.map_or_else(|| name.into(), |resource| Arc::clone(resource.shared_name()))
}
