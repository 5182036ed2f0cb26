use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::{Base, ByName, OfKind};
use crate::{Resource, ResourceType};

/// Everything that one proxy should hold. Immutable; consistent by construction: no name twice, nothing refers to what is not there.
///
/// What many proxies hold alike is in a [`Base`] that they share; the rest is the proxy's own.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    base: Arc<Base>,
    own: Arc<OfKind>,
}

/// Why resources do not make a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    #[error("{} resource `{name}` is there twice", kind.short_name())]
    Duplicate { kind: ResourceType, name: String },
    #[error("{} resource `{name}` refers to {} resource `{missing}`, which is not there", kind.short_name(), missing_kind.short_name())]
    Dangling { kind: ResourceType, name: String, missing_kind: ResourceType, missing: String },
    #[error("a {} resource has no name", .0.short_name())]
    Nameless(ResourceType),
}

impl Snapshot {
    /// # Errors
    /// [`Inconsistent`], naming the first resource that is wrong.
    pub fn build(resources: impl IntoIterator<Item = Resource>) -> Result<Self, Inconsistent> {
        Self::with_base(Arc::default(), resources.into_iter().map(Arc::new))
    }

    /// The resources of `base` and these.
    ///
    /// # Errors
    /// As [`Snapshot::build`].
    pub fn with_base(base: Arc<Base>, resources: impl IntoIterator<Item = Arc<Resource>>) -> Result<Self, Inconsistent> {
        let mut own = OfKind::default();
        for resource in resources {
            let (kind, name) = (resource.kind(), resource.name());
            if name.is_empty() {
                return Err(Inconsistent::Nameless(kind));
            }
            if base.get(kind, name).is_some() || own.get(kind).contains(name) {
                return Err(Inconsistent::Duplicate { kind, name: name.to_owned() });
            }
            Arc::make_mut(own.get_mut(kind)).insert(ByName(resource));
        }
        let snapshot = Self { base, own: Arc::new(own) };
        for resource in ResourceType::ALL.into_iter().flat_map(|kind| snapshot.own.get(kind).iter()) {
            snapshot.check(&resource.0)?;
        }
        Ok(snapshot)
    }

    /// The same with another base.
    ///
    /// # Errors
    /// As [`Snapshot::build`].
    pub fn rebased(self: &Arc<Self>, base: &Arc<Base>) -> Result<Arc<Self>, Inconsistent> {
        if Arc::ptr_eq(&self.base, base) {
            return Ok(Arc::clone(self));
        }
        let same_names = |kind: ResourceType| {
            let changes = base.changes_since(&self.base, kind)?;
            changes.iter().all(|name| base.get(kind, name).is_some() == self.base.get(kind, name).is_some()).then_some(())
        };
        // Where no name came or went, what fitted together still does.
        if ResourceType::ALL.into_iter().all(|kind| same_names(kind).is_some()) {
            return Ok(Arc::new(Self { base: Arc::clone(base), own: Arc::clone(&self.own) }));
        }
        let own = ResourceType::ALL.into_iter().flat_map(|kind| self.own.get(kind).iter()).map(|found| Arc::clone(&found.0));
        Self::with_base(Arc::clone(base), own).map(Arc::new)
    }

    fn check(&self, resource: &Resource) -> Result<(), Inconsistent> {
        for (kind, name) in resource.dependencies() {
            if self.get(*kind, name).is_none() {
                let (missing_kind, missing) = (*kind, name.clone());
                return Err(Inconsistent::Dangling { kind: resource.kind(), name: resource.name().to_owned(), missing_kind, missing });
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn get(&self, kind: ResourceType, name: &str) -> Option<&Arc<Resource>> {
        self.own.get(kind).get(name).map(|found| &found.0).or_else(|| self.base.get(kind, name))
    }

    /// All of one type, by name.
    pub fn resources(&self, kind: ResourceType) -> impl Iterator<Item = &Arc<Resource>> {
        let mut own = self.own.get(kind).iter().peekable();
        let mut shared = self.base.resources(kind).iter().peekable();
        std::iter::from_fn(move || {
            let first = match (own.peek(), shared.peek()) {
                (Some(own), Some(shared)) => own < shared,
                (own, _) => own.is_some(),
            };
            if first { own.next() } else { shared.next() }.map(|found| &found.0)
        })
    }

    /// How many there are of one type.
    #[must_use]
    pub fn count(&self, kind: ResourceType) -> usize {
        self.own.get(kind).len().saturating_add(self.base.resources(kind).len())
    }

    /// Which base came after which, where nothing else differs from an earlier snapshot: all that take the same step differ alike.
    #[must_use]
    pub fn step_from(&self, earlier: &Self) -> Option<(u64, u64)> {
        Arc::ptr_eq(&self.own, &earlier.own).then(|| (earlier.base.id(), self.base.id()))
    }

    /// Names that may differ from an earlier snapshot: all that do, and perhaps some that do not. None when that is not known, and all may.
    #[must_use]
    pub fn changes_since(&self, earlier: &Self, kind: ResourceType) -> Option<Cow<'_, [Arc<str>]>> {
        let names = self.base.changes_since(&earlier.base, kind)?;
        if Arc::ptr_eq(&self.own, &earlier.own) {
            return Some(names);
        }
        let mut names: BTreeSet<Arc<str>> = names.iter().cloned().collect();
        let (now, then) = (self.own.get(kind), earlier.own.get(kind));
        let differing = |found: &&ByName, other: &BTreeSet<ByName>| other.get(found.0.name()).is_none_or(|other| *other.0 != *found.0);
        names.extend(now.iter().filter(|found| differing(found, then)).map(|found| Arc::clone(found.0.shared_name())));
        names.extend(then.iter().filter(|found| differing(found, now)).map(|found| Arc::clone(found.0.shared_name())));
        Some(names.into_iter().collect())
    }
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.base, &other.base) && Arc::ptr_eq(&self.own, &other.own) {
            return true;
        }
        ResourceType::ALL.into_iter().all(|kind| match self.changes_since(other, kind).or_else(|| other.changes_since(self, kind)) {
            Some(names) => names.iter().all(|name| self.get(kind, name) == other.get(kind, name)),
            None => self.resources(kind).eq(other.resources(kind)),
        })
    }
}

impl Eq for Snapshot {}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(kind: ResourceType, name: &str, dependencies: &[(ResourceType, &str)]) -> Resource {
        let dependencies = dependencies.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect();
        Resource::new(kind, name, bytes::Bytes::from_static(b"x"), dependencies)
    }

    #[test]
    fn refuses_duplicates_dangling_references_and_empty_names() {
        use ResourceType::{Cluster, Endpoint};
        let twice = Snapshot::build([resource(Cluster, "a", &[]), resource(Cluster, "a", &[])]).unwrap_err();
        assert_eq!(twice.to_string(), "CDS resource `a` is there twice");
        let dangling = Snapshot::build([resource(Cluster, "a", &[(Endpoint, "e")])]).unwrap_err();
        assert_eq!(dangling.to_string(), "CDS resource `a` refers to EDS resource `e`, which is not there");
        assert_eq!(Snapshot::build([resource(Cluster, "", &[])]).unwrap_err(), Inconsistent::Nameless(Cluster));
        let good = Snapshot::build([resource(Cluster, "a", &[(Endpoint, "e")]), resource(Endpoint, "e", &[])]).unwrap();
        assert!(good.get(Endpoint, "e").is_some());
    }

    #[test]
    fn a_base_counts_as_the_snapshots_own() {
        use ResourceType::{Cluster, Endpoint};
        let shared = |names: &[&str]| Arc::new(Base::build(names.iter().map(|name| Arc::new(resource(Cluster, name, &[])))).unwrap());
        let own = |names: &[&str]| names.iter().map(|name| Arc::new(resource(Cluster, name, &[]))).collect::<Vec<_>>();
        let mixed = Snapshot::with_base(shared(&["b", "d"]), own(&["a", "c", "e"])).unwrap();
        assert_eq!(mixed.resources(Cluster).map(|found| found.name()).collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
        assert_eq!(mixed, Snapshot::build(["e", "d", "c", "b", "a"].map(|name| resource(Cluster, name, &[]))).unwrap());
        assert_ne!(mixed, Snapshot::build(["d", "c", "b", "a"].map(|name| resource(Cluster, name, &[]))).unwrap());
        assert_eq!((mixed.count(Cluster), mixed.count(Endpoint)), (5, 0));
        let twice = Snapshot::with_base(shared(&["a"]), own(&["a"])).unwrap_err();
        assert_eq!(twice.to_string(), "CDS resource `a` is there twice");
    }

    #[test]
    fn what_is_replaced_is_what_would_be_built_anew() {
        use ResourceType::{Cluster, Endpoint};
        let of = |kind, name: &str, body: &'static [u8]| Arc::new(Resource::new(kind, name, bytes::Bytes::from_static(body), Vec::new()));
        let all = || [of(Cluster, "a", b"1"), of(Endpoint, "a", b"1"), of(Endpoint, "b", b"1"), of(Endpoint, "c", b"1")];
        let base = Arc::new(Base::build(all()).unwrap());
        let next = Base::replaced(&base, [of(Endpoint, "c", b"2"), of(Endpoint, "a", b"2"), of(Endpoint, "b", b"1")]).unwrap().unwrap();
        let anew = Base::after(&base, [of(Cluster, "a", b"1"), of(Endpoint, "a", b"2"), of(Endpoint, "b", b"1"), of(Endpoint, "c", b"2")])
            .unwrap();
        for kind in ResourceType::ALL {
            assert!(next.resources(kind).iter().eq(anew.resources(kind)));
            assert_eq!(next.changes_since(&base, kind), anew.changes_since(&base, kind));
        }
        assert_eq!(next.changes_since(&base, Endpoint).unwrap().iter().map(|name| &**name).collect::<Vec<_>>(), ["a", "c"]);
        assert!(Arc::ptr_eq(&Base::replaced(&base, all()).unwrap().unwrap(), &base), "nothing differs");
        assert!(Base::replaced(&base, [of(Endpoint, "d", b"1")]).unwrap().is_none(), "a new name");
        let dangling = Arc::new(resource(Cluster, "a", &[(Endpoint, "e")]));
        assert_eq!(
            Base::replaced(&base, [dangling]).unwrap_err().to_string(),
            "CDS resource `a` refers to EDS resource `e`, which is not there"
        );
    }

    #[test]
    fn versions_are_of_the_content_alone() {
        use ResourceType::Cluster;
        assert_eq!(resource(Cluster, "a", &[]).version(), resource(Cluster, "b", &[]).version());
        assert_ne!(resource(Cluster, "a", &[]).version(), Resource::new(Cluster, "a", bytes::Bytes::from_static(b"y"), vec![]).version());
    }
}
