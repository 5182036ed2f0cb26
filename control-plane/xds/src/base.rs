//! What many snapshots have in common, and how it differs from what it was before.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as Memory};

use itertools::EitherOrBoth::{Both, Left, Right};
use itertools::Itertools as _;

use crate::by_type::ByType;
use crate::snapshot::Inconsistent;
use crate::{Resource, ResourceType};

/// Predecessors whose differences are known; a stream that is further behind looks at everything.
const REMEMBERED: usize = 32;

/// A resource, ordered by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ByName(pub(crate) Arc<Resource>);

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        self.0.name()
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name().cmp(other.0.name())
    }
}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Resources by type; within a type no name is there twice. A copy shares all that is not changed in it.
pub(crate) type OfKind = ByType<Arc<BTreeSet<ByName>>>;

/// Resources that many proxies hold alike. They may only refer to each other.
#[derive(Debug, Default)]
pub struct Base {
    /// 0 is that of the empty one.
    id: u64,
    resources: OfKind,
    /// Newest first: another base, and what came, went or changed since it and up to the next.
    before: VecDeque<(u64, Arc<Changes>)>,
}

/// Names by type; each in order.
type Changes = ByType<Vec<Arc<str>>>;

impl Base {
    /// # Errors
    /// [`Inconsistent`], naming the first resource that is wrong.
    pub fn build(resources: impl IntoIterator<Item = Arc<Resource>>) -> Result<Self, Inconsistent> {
        let mut all = OfKind::default();
        for resource in resources {
            let (kind, name) = (resource.kind(), resource.shared_name().to_string());
            if name.is_empty() {
                return Err(Inconsistent::Nameless(kind));
            }
            if !Arc::make_mut(all.get_mut(kind)).insert(ByName(resource)) {
                return Err(Inconsistent::Duplicate { kind, name });
            }
        }
        for ByName(resource) in ResourceType::ALL.into_iter().flat_map(|kind| all.get(kind).iter()) {
            refers_within(resource, &all)?;
        }
        Ok(Self { id: next_id(), resources: all, before: VecDeque::new() })
    }

    /// What takes the place of `last` when only these differ, each from the one of its type and name that is there. As [`Base::after`] without a
    /// look at all the others; none where a name is new.
    ///
    /// # Errors
    /// As [`Base::build`].
    pub fn replaced(last: &Arc<Self>, resources: impl IntoIterator<Item = Arc<Resource>>) -> Result<Option<Arc<Self>>, Inconsistent> {
        let mut all = last.resources.clone();
        let mut changes = Changes::default();
        for resource in resources {
            let kind = resource.kind();
            match last.get(kind, resource.name()) {
                None => return Ok(None),
                Some(known) if *known == resource => continue,
                Some(known) => changes.get_mut(kind).push(Arc::clone(known.shared_name())),
            }
            Arc::make_mut(all.get_mut(kind)).replace(ByName(resource));
        }
        if changes.iter().all(Vec::is_empty) {
            return Ok(Some(Arc::clone(last)));
        }
        for kind in ResourceType::ALL {
            let names = changes.get_mut(kind);
            names.sort();
            names.dedup();
            for resource in names.iter().filter_map(|name| all.get(kind).get(&**name)) {
                refers_within(&resource.0, &all)?;
            }
        }
        Ok(Some(Arc::new(Self { id: next_id(), resources: all, before: last.followed_by(changes) })))
    }

    /// As [`Base::build`], for what takes the place of `last`: streams that have `last` look at the differences alone. Where there are none
    /// it is `last` itself.
    ///
    /// # Errors
    /// As [`Base::build`].
    pub fn after(last: &Arc<Self>, resources: impl IntoIterator<Item = Arc<Resource>>) -> Result<Arc<Self>, Inconsistent> {
        let as_before = |made: Arc<Resource>| match last.get(made.kind(), made.name()) {
            Some(known) if *known == made => Arc::clone(known),
            Some(_) | None => made,
        };
        let mut next = Self::build(resources.into_iter().map(as_before))?;
        let changes = Changes::make(|kind| differences(last.resources.get(kind), next.resources.get(kind)));
        if changes.iter().all(Vec::is_empty) {
            return Ok(Arc::clone(last));
        }
        next.before = last.followed_by(changes);
        Ok(Arc::new(next))
    }

    /// What was before, for the base after this one.
    fn followed_by(&self, changes: Changes) -> VecDeque<(u64, Arc<Changes>)> {
        std::iter::once((self.id, Arc::new(changes))).chain(self.before.iter().take(REMEMBERED).cloned()).collect()
    }

    #[must_use]
    pub fn get(&self, kind: ResourceType, name: &str) -> Option<&Arc<Resource>> {
        self.resources.get(kind).get(name).map(|found| &found.0)
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn resources(&self, kind: ResourceType) -> &BTreeSet<ByName> {
        self.resources.get(kind)
    }

    /// None when it is not known what `earlier` was.
    pub(crate) fn changes_since(&self, earlier: &Self, kind: ResourceType) -> Option<Cow<'_, [Arc<str>]>> {
        if self.id == earlier.id {
            return Some(Cow::Borrowed(&[]));
        }
        let steps = self.before.iter().position(|(id, _)| *id == earlier.id)?;
        let mut since = self
            .before
            .iter()
            .take(steps.saturating_add(1))
            .map(|(_, changes)| changes.get(kind).as_slice())
            .filter(|names| !names.is_empty());
        let last = since.next().unwrap_or_default();
        let mut all: BTreeSet<&Arc<str>> = since.flatten().collect();
        if all.is_empty() {
            return Some(Cow::Borrowed(last));
        }
        all.extend(last);
        Some(all.into_iter().cloned().collect())
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Memory::Relaxed)
}

fn refers_within(resource: &Resource, all: &OfKind) -> Result<(), Inconsistent> {
    let missing = resource.dependencies().iter().find(|(kind, name)| !all.get(*kind).contains(name.as_str()));
    let Some((missing_kind, missing)) = missing else { return Ok(()) };
    let (kind, name) = (resource.kind(), resource.name().to_owned());
    Err(Inconsistent::Dangling { kind, name, missing_kind: *missing_kind, missing: missing.clone() })
}

/// Both are in the order of names.
fn differences(old: &BTreeSet<ByName>, new: &BTreeSet<ByName>) -> Vec<Arc<str>> {
    // Nearly all of them are the same object, and of those no text is compared.
    let order = |old: &&ByName, new: &&ByName| if Arc::ptr_eq(&old.0, &new.0) { Ordering::Equal } else { old.cmp(new) };
    let differing = old.iter().merge_join_by(new, order).filter_map(|pair| match pair {
        Both(old, new) => (!Arc::ptr_eq(&old.0, &new.0) && old != new).then_some(new),
        Left(one) | Right(one) => Some(one),
    });
    differing.map(|named| Arc::clone(named.0.shared_name())).collect()
}
