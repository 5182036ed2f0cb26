use std::sync::Arc;

use super::open::uncertain;
use super::sorted::{SharedLists, Sorted};
use crate::ResourceType;
use crate::resource::Identity;

const WILDCARD: &str = "*";

/// What a client asked for of one type ("How the client specifies what resources to return"): names, `*`, or, for the types that allow it,
/// nothing at all, which means everything for as long as it has never named anything.
#[derive(Debug)]
pub(super) struct Interest {
    allows_legacy_wildcard: bool,
    requested: bool,
    /// It has named something on this stream: naming nothing is no wildcard any more.
    named: bool,
    explicit_wildcard: bool,
    /// As the resources have them that were there then: a pointer each.
    names: Sorted,
}

impl Interest {
    pub(super) fn new(kind: ResourceType, shared: &SharedLists) -> Self {
        let allows_legacy_wildcard = kind.has_legacy_wildcard();
        Self { allows_legacy_wildcard, requested: false, named: false, explicit_wildcard: false, names: Sorted::new(shared) }
    }

    /// A request of this type has come.
    pub(super) fn is_requested(&self) -> bool {
        self.requested
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.explicit_wildcard || (self.requested && !self.named && self.allows_legacy_wildcard)
    }

    /// State of the world: whether a client that asked for everything does so still when it says `names`.
    pub(super) fn is_wildcard_also_with(&self, names: &[String]) -> bool {
        let says_so = if names.is_empty() { !self.named } else { names.iter().any(|name| name == WILDCARD) };
        self.is_wildcard() && says_so
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.is_wildcard() || self.names.contains(name)
    }

    /// As [`Interest::contains`], for many names, each of which comes after the one before.
    pub(super) fn ascending(&self) -> impl FnMut(&Arc<str>) -> bool {
        let (wildcard, mut names) = (self.is_wildcard(), self.names.ascending());
        move |name| wildcard || names.get(name).is_some()
    }

    /// How many names it holds.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Counts as a request, even of nothing.
    pub(super) fn request(&mut self) {
        self.requested = true;
    }

    /// Returns the names among them: the wildcard is none.
    pub(super) fn subscribe(&mut self, mut names: Vec<Arc<Identity>>) -> Vec<Arc<Identity>> {
        self.named |= !names.is_empty();
        self.explicit_wildcard |= names.iter().any(|named| &*named.name == WILDCARD);
        names.retain(|named| &*named.name != WILDCARD);
        if !names.is_empty() {
            self.names.extend(names.iter().map(Arc::clone));
        }
        names
    }

    /// False for the wildcard. Names stay when it goes.
    pub(super) fn unsubscribe(&mut self, name: &str) -> bool {
        if name == WILDCARD {
            self.explicit_wildcard = false;
            self.named = true;
            return false;
        }
        self.names.remove(name);
        true
    }

    /// State of the world: the names of a request replace those before. True when one is new.
    pub(super) fn replace(&mut self, names: Vec<String>) -> bool {
        self.requested = true;
        self.named |= !names.is_empty();
        let mut replaced = self.names.emptied();
        replaced.extend(names.into_iter().map(|name| uncertain(&Arc::from(name))));
        self.explicit_wildcard = replaced.contains(WILDCARD);
        replaced.remove(WILDCARD);
        let widened = replaced.keys().any(|name| !self.names.contains(name));
        self.names = replaced;
        widened
    }
}
