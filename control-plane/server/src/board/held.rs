//! What a proxy has acknowledged, kept as how it differs from what it should hold: a proxy that is in sync costs nothing, however much it
//! holds. Pure.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use itertools::EitherOrBoth::{Both, Left, Right};
use itertools::Itertools as _;
use meshwright_xds::{Resource, ResourceType, Snapshot};

use crate::board::Versions;
use crate::receipts::Change;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Absent for a type of which nothing has been acknowledged. Else the versions of names that are not at the target's, none for a name
    /// that is not held.
    differing: BTreeMap<ResourceType, BTreeMap<Arc<str>, Option<Arc<str>>>>,
}

impl Held {
    /// A new stream: nothing has been acknowledged on it.
    pub(crate) fn clear(&mut self) {
        self.differing.clear();
    }

    pub(crate) fn version<'a>(&'a self, target: Option<&'a Snapshot>, kind: ResourceType, name: &str) -> Option<&'a str> {
        match self.differing.get(&kind)?.get(name) {
            Some(differing) => differing.as_deref(),
            None => target?.get(kind, name).map(|resource| resource.version()),
        }
    }

    /// Every name that is held, with its version.
    pub(crate) fn versions(&self, target: Option<&Snapshot>) -> BTreeMap<ResourceType, Versions> {
        let of_kind = |(kind, differing): (&ResourceType, &BTreeMap<Arc<str>, Option<Arc<str>>>)| {
            let all = target.into_iter().flat_map(|target| target.resources(*kind));
            let mut versions: Versions =
                all.map(|resource| (Arc::clone(resource.shared_name()), Arc::clone(resource.shared_version()))).collect();
            for (name, version) in differing {
                match version {
                    Some(version) => _ = versions.insert(Arc::clone(name), Arc::clone(version)),
                    None => _ = versions.remove(name),
                }
            }
            (*kind, versions)
        };
        self.differing.iter().map(of_kind).collect()
    }

    /// Resources of the target that are not acknowledged at its version.
    pub(crate) fn lacking(&self, target: &Snapshot, kind: ResourceType) -> usize {
        match self.differing.get(&kind) {
            Some(differing) => differing.keys().filter(|name| target.get(kind, name).is_some()).count(),
            None => target.count(kind),
        }
    }

    /// Whether there are none such.
    pub(crate) fn is_complete(&self, target: &Snapshot) -> bool {
        ResourceType::ALL.into_iter().all(|kind| self.lacking(target, kind) == 0)
    }

    pub(crate) fn acknowledge(
        &mut self,
        target: Option<&Snapshot>,
        kind: ResourceType,
        versions: Vec<(Arc<str>, Arc<str>)>,
        removed: Vec<String>,
    ) {
        if let (None, Some(target)) = (self.differing.get(&kind), target)
            && removed.is_empty()
            && versions.is_sorted_by(|(one, _), (other, _)| one < other)
        {
            self.differing.insert(kind, differing(target, kind, versions));
            return;
        }
        let wanted = |name: &str| target.and_then(|target| target.get(kind, name));
        let differing = self.differing.entry(kind).or_insert_with(|| {
            let acknowledged: BTreeSet<&str> = versions.iter().map(|(name, _)| &**name).collect();
            let all = target.into_iter().flat_map(|target| target.resources(kind));
            let others = all.filter(|resource| !acknowledged.contains(resource.name()));
            others.map(|resource| (Arc::clone(resource.shared_name()), None)).collect()
        });
        for (name, version) in versions {
            if wanted(&name).is_some_and(|resource| *resource.version() == *version) {
                differing.remove(&name);
            } else {
                differing.insert(name, Some(version));
            }
        }
        for name in removed {
            if wanted(&name).is_some() {
                differing.insert(name.into(), None);
            } else {
                differing.remove(name.as_str());
            }
        }
    }

    /// The target becomes another; what is held stays.
    pub(crate) fn retarget(&mut self, changes: &[Change]) {
        for change in changes {
            let Some(differing) = self.differing.get_mut(&change.of.kind()) else { continue };
            let name = change.of.shared_name();
            let then = || change.before.as_ref().map(|resource| Arc::clone(resource.shared_version()));
            let held = differing.get(name).cloned().unwrap_or_else(then);
            if held.as_deref() == change.after.as_ref().map(|resource| resource.version()) {
                differing.remove(name);
            } else {
                differing.insert(Arc::clone(name), held);
            }
        }
    }
}

/// How `held`, in the order of names, differs from the target: by one walk through both, since what a proxy acknowledges first is nearly all.
fn differing(target: &Snapshot, kind: ResourceType, held: Vec<(Arc<str>, Arc<str>)>) -> BTreeMap<Arc<str>, Option<Arc<str>>> {
    let order = |resource: &&Arc<Resource>, (name, _): &(Arc<str>, Arc<str>)| {
        if Arc::ptr_eq(resource.shared_name(), name) { Ordering::Equal } else { resource.shared_name().cmp(name) }
    };
    let pairs = target.resources(kind).merge_join_by(held, order).filter_map(|pair| match pair {
        Left(resource) => Some((Arc::clone(resource.shared_name()), None)),
        Right((name, version)) => Some((name, Some(version))),
        Both(resource, (name, version)) => (*resource.shared_version() != version).then_some((name, Some(version))),
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::receipts::differences;

    const KIND: ResourceType = ResourceType::Cluster;

    fn snapshot(resources: &BTreeMap<&str, u8>) -> Snapshot {
        let resource = |(name, content): (&&str, &u8)| Resource::new(KIND, *name, bytes::Bytes::from(vec![*content]), Vec::new());
        Snapshot::build(resources.iter().map(resource)).unwrap()
    }

    fn version(snapshot: &Snapshot, name: &str) -> (Arc<str>, Arc<str>) {
        let resource = snapshot.get(KIND, name).unwrap();
        (Arc::clone(resource.shared_name()), Arc::clone(resource.shared_version()))
    }

    /// Beside a plain map from names to versions, through every order of a few changes of target and acknowledgements.
    #[test]
    fn is_what_a_map_of_all_versions_would_be() {
        let targets = [[("a", 1), ("b", 1)], [("a", 2), ("b", 1)], [("a", 1), ("c", 1)]].map(|of| snapshot(&of.into_iter().collect()));
        for script in 0..6_usize.pow(5) {
            let (mut held, mut map) = (Held::default(), BTreeMap::new());
            let mut target = 0;
            for step in 0..5 {
                match script / 6_usize.pow(step) % 6 {
                    next @ 0..=2 => {
                        held.retarget(&differences(&targets[target], &targets[next]));
                        target = next;
                    }
                    3 => {
                        let all = targets[target].resources(KIND).map(|it| version(&targets[target], it.name())).collect::<Vec<_>>();
                        map.extend(all.clone());
                        held.acknowledge(Some(&targets[target]), KIND, all, Vec::new());
                    }
                    4 => {
                        let old = version(&targets[1], "a");
                        map.insert(old.0.clone(), old.1.clone());
                        held.acknowledge(Some(&targets[target]), KIND, vec![old], vec!["b".to_owned()]);
                        map.remove("b");
                    }
                    _ => {
                        map.clear();
                        held.clear();
                    }
                }
                let wanted = &targets[target];
                assert_eq!(held.versions(Some(wanted)).remove(&KIND).unwrap_or_default(), map, "script {script}, step {step}");
                for name in ["a", "b", "c"] {
                    assert_eq!(
                        held.version(Some(wanted), KIND, name),
                        map.get(name).map(|it| &**it),
                        "script {script}, step {step}: {name}"
                    );
                }
                let lacking = wanted.resources(KIND).filter(|it| map.get(it.name()).is_none_or(|held| **held != *it.version())).count();
                assert_eq!(held.lacking(wanted, KIND), lacking, "script {script}, step {step}");
                assert_eq!(held.is_complete(wanted), lacking == 0);
            }
        }
    }
}
