//! Where to look in a state's lists. An entry is a candidate, never an answer: whoever asks checks it by the rule itself. Built when somebody
//! first asks, and never part of what a state says.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, OnceLock};

use rustc_hash::{FxHashMap, FxHasher};

use super::State;
use super::denied::key_of;
use crate::key::DocumentKey;
use crate::scope::Scope;
use crate::workload::Labels;

/// The index of a state, or none yet. A copy begins without: it may be about to be changed.
#[derive(Default)]
pub(super) struct Lazy {
    workloads: OnceLock<Places>,
    others: OnceLock<Arc<Index>>,
}

impl Lazy {
    /// For a copy in which nothing but workloads is going to be changed.
    pub(super) fn without_workloads(&self) -> Self {
        Self { workloads: OnceLock::new(), others: self.others.clone() }
    }
}

impl Clone for Lazy {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Lazy {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lazy")
    }
}

/// Places in the state's lists, in ascending order.
type Places = FxHashMap<u64, Vec<usize>>;

/// Of everything but workloads.
#[derive(Default)]
struct Index {
    /// Services by namespace and the first label that they ask for.
    selecting: Places,
    /// Services, and VirtualServices of sidecars, by each of their hosts; those with a wildcard among them.
    served: Places,
    served_wildcards: Vec<usize>,
    routed: Places,
    routed_wildcards: Vec<usize>,
    /// Entries of deny lists: list, and place in it.
    denied: HashMap<String, (usize, usize)>,
    /// Policies and token rules for gateways, which may be of any namespace.
    targeted_policies: Vec<usize>,
    targeted_tokens: Vec<usize>,
}

impl State {
    fn index(&self) -> &Index {
        self.index.others.get_or_init(|| Arc::new(Index::new(self)))
    }

    /// Workloads by namespace and each of their labels.
    fn labelled(&self) -> &Places {
        self.index.workloads.get_or_init(|| {
            let mut labelled = Places::default();
            for (place, workload) in self.workloads.iter().enumerate() {
                for (name, value) in workload.labels() {
                    add(&mut labelled, &[workload.namespace(), name, value], place);
                }
            }
            labelled
        })
    }

    /// Places of the workloads that may have all these labels.
    pub(super) fn places_labelled(&self, namespace: &str, wanted: &Labels) -> &[usize] {
        let of_label = |(name, value): (&String, &String)| places(self.labelled(), &[namespace, name, value]);
        wanted.iter().map(of_label).min_by_key(|places| places.len()).unwrap_or_default()
    }

    /// Places of the services whose selector may choose a workload with these labels.
    pub(super) fn places_selecting(&self, namespace: &str, labels: &Labels) -> Vec<usize> {
        let index = self.index();
        let of_label = |(name, value): (&String, &String)| places(&index.selecting, &[namespace, name, value]).iter().copied();
        labels.iter().flat_map(of_label).collect()
    }

    /// Places of the services that may have a host, the exact ones first.
    pub(super) fn places_serving(&self, host: &str) -> impl Iterator<Item = usize> {
        let index = self.index();
        places(&index.served, &[host]).iter().chain(&index.served_wildcards).copied()
    }

    pub(super) fn places_routing(&self, host: &str) -> impl Iterator<Item = usize> {
        let index = self.index();
        places(&index.routed, &[host]).iter().chain(&index.routed_wildcards).copied()
    }

    pub(super) fn place_of_denial(&self, key: &str) -> Option<(usize, usize)> {
        self.index().denied.get(key).copied()
    }

    pub(super) fn targeted_policies(&self) -> &[usize] {
        &self.index().targeted_policies
    }

    pub(super) fn targeted_tokens(&self) -> &[usize] {
        &self.index().targeted_tokens
    }
}

impl Index {
    fn new(state: &State) -> Self {
        let mut index = Self::default();
        for (place, service) in state.services.iter().enumerate() {
            if let Some((name, value)) = service.workload_selector().and_then(|selector| selector.iter().next()) {
                add(&mut index.selecting, &[service.key().namespace(), name, value], place);
            }
            for host in service.hosts() {
                add(&mut index.served, &[host.as_str()], place);
            }
            if service.hosts().iter().any(|host| host.is_wildcard()) {
                index.served_wildcards.push(place);
            }
        }
        for (place, rule) in state.virtual_services.iter().enumerate().filter(|(_, rule)| rule.applies_to_mesh()) {
            for host in rule.hosts() {
                add(&mut index.routed, &[host.as_str()], place);
            }
            if rule.hosts().iter().any(|host| host.is_wildcard()) {
                index.routed_wildcards.push(place);
            }
        }
        for (place, list) in state.deny_lists.iter().enumerate() {
            for (at, entry) in list.entries().iter().enumerate() {
                index.denied.entry(key_of(entry.denied())).or_insert((place, at));
            }
        }
        let targeted = |scope: &Scope| matches!(scope, Scope::Gateways(_));
        let policies = state.authorization_policies.iter().enumerate();
        index.targeted_policies = policies.filter(|(_, policy)| targeted(policy.scope())).map(|(place, _)| place).collect();
        let tokens = state.request_authentications.iter().enumerate();
        index.targeted_tokens = tokens.filter(|(_, rule)| targeted(rule.scope())).map(|(place, _)| place).collect();
        index
    }
}

fn places<'a>(places: &'a Places, key: &[&str]) -> &'a [usize] {
    places.get(&hash(key)).map_or(&[], Vec::as_slice)
}

fn add(places: &mut Places, key: &[&str], place: usize) {
    let of_key = places.entry(hash(key)).or_default();
    if of_key.last() != Some(&place) {
        of_key.push(place);
    }
}

/// Two that collide are candidates for each other's questions, which costs time and nothing else.
fn hash(key: &[&str]) -> u64 {
    let mut hasher = FxHasher::default();
    key.hash(&mut hasher);
    hasher.finish()
}

/// The part of a list, which is in the order of keys, that is of one namespace.
pub(super) fn range_of<T>(list: &[T], key: impl Fn(&T) -> &DocumentKey, namespace: &str) -> std::ops::Range<usize> {
    let start = list.partition_point(|item| key(item).namespace() < namespace);
    let end = list.partition_point(|item| key(item).namespace() <= namespace);
    start..end
}

/// The one of a name in such a list.
pub(super) fn named<'a, T>(list: &'a [T], key: impl Fn(&T) -> &DocumentKey, namespace: &str, name: &str) -> Option<&'a T> {
    let place = list.binary_search_by(|item| (key(item).namespace(), key(item).name()).cmp(&(namespace, name))).ok()?;
    list.get(place)
}
