//! Holds back what looks like an accident: a change that would take away much of what the mesh has, such as a folder that was not copied.
//! Edits and additions beside it take effect; the removals wait until the documents come back or somebody releases them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use meshwright_config::{Content, DocumentKey};
use sha2::{Digest as _, Sha256};

/// Bytes of the hash that make a name.
const NAME_BYTES: usize = 4;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// WorkloadEntries, and endpoints that ServiceEntries list.
    Endpoints,
    /// Hosts of ServiceEntries.
    Services,
    /// AuthorizationPolicies, RequestAuthentications and PeerAuthentications.
    Policies,
}

impl Class {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints",
            Self::Services => "services",
            Self::Policies => "policies",
        }
    }
}

/// How much one change may remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    percent: u8,
    at_least: usize,
}

impl Default for Guard {
    /// More than half, and ten at least: a handful is removed by hand.
    fn default() -> Self {
        Self { percent: 50, at_least: 10 }
    }
}

impl Guard {
    /// Holds a change that removes more than `percent` of a class, if that is at least `at_least` of it. 100 percent holds nothing.
    #[must_use]
    pub fn new(percent: u8, at_least: usize) -> Self {
        Self { percent, at_least }
    }

    fn forbids(self, lost: usize, of: usize) -> bool {
        lost >= self.at_least.max(1) && lost.saturating_mul(100) > of.saturating_mul(usize::from(self.percent))
    }

    /// What of `lost` is too much, if anything is.
    pub(crate) fn judge(self, before: &Things, after: &Things) -> Option<Lost> {
        let lost: BTreeMap<Class, BTreeSet<String>> = before
            .0
            .iter()
            .map(|(class, names)| (*class, names.iter().filter(|name| !after.has(*class, name)).cloned().collect::<BTreeSet<_>>()))
            .filter(|(class, lost)| self.forbids(lost.len(), before.count(*class)))
            .collect();
        (!lost.is_empty()).then(|| Lost { of: lost.keys().map(|class| (*class, before.count(*class))).collect(), lost: Things(lost) })
    }
}

/// Names of what documents make, by class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Things(BTreeMap<Class, BTreeSet<String>>);

impl Things {
    pub(crate) fn of<'a>(documents: impl Iterator<Item = (&'a DocumentKey, &'a Content)>) -> Self {
        let mut things = Self::default();
        for (key, content) in documents {
            things.add(key, content);
        }
        things
    }

    fn add(&mut self, key: &DocumentKey, content: &Content) {
        match content {
            Content::WorkloadEntry(_) => self.insert(Class::Endpoints, key.to_string()),
            Content::ServiceEntry(service) => {
                // By host: a service that moves to another document is not lost.
                for host in service.hosts() {
                    self.insert(Class::Services, host.to_string());
                    for endpoint in service.endpoints() {
                        self.insert(Class::Endpoints, format!("{host} {}", endpoint.address()));
                    }
                }
            }
            Content::AuthorizationPolicy(_) | Content::RequestAuthentication(_) | Content::PeerAuthentication(_) => {
                self.insert(Class::Policies, key.to_string());
            }
            Content::Mesh(_)
            | Content::DestinationRule(_)
            | Content::VirtualService(_)
            | Content::Gateway(_)
            | Content::Sidecar(_)
            | Content::IdentityDenyList(_)
            | Content::Secret(_) => {}
        }
    }

    fn insert(&mut self, class: Class, name: String) {
        self.0.entry(class).or_default().insert(name);
    }

    fn has(&self, class: Class, name: &str) -> bool {
        self.0.get(&class).is_some_and(|names| names.contains(name))
    }

    fn count(&self, class: Class) -> usize {
        self.0.get(&class).map_or(0, BTreeSet::len)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().any(|(class, names)| names.iter().any(|name| other.has(*class, name)))
    }
}

/// What a change would remove, too much of it.
#[derive(Debug)]
pub(crate) struct Lost {
    lost: Things,
    /// How many there were.
    of: BTreeMap<Class, usize>,
}

impl Lost {
    /// Whether a document makes some of it.
    pub(crate) fn is_made_by(&self, key: &DocumentKey, content: &Content) -> bool {
        Things::of(std::iter::once((key, content))).overlaps(&self.lost)
    }

    /// The same for the same loss.
    pub(crate) fn name(&self) -> String {
        let mut hash = Sha256::new();
        for (class, names) in &self.lost.0 {
            for name in names {
                hash.update(format!("{} {name}\n", class.as_str()));
            }
        }
        hash.finalize().iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn held(&self, documents: Vec<DocumentKey>) -> Held {
        let removed = self.of.iter().map(|(class, of)| (*class, (self.lost.count(*class), *of))).collect();
        Held { name: self.name(), removed, documents }
    }
}

/// A removal that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    name: String,
    removed: BTreeMap<Class, (usize, usize)>,
    documents: Vec<DocumentKey>,
}

impl Held {
    /// What to say to release it; the same for the same removal.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Class → how many would go, of how many.
    #[must_use]
    pub fn removed(&self) -> &BTreeMap<Class, (usize, usize)> {
        &self.removed
    }

    /// The documents whose last version stays in force.
    #[must_use]
    pub fn documents(&self) -> &[DocumentKey] {
        &self.documents
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.removed.iter().map(|(class, (lost, of))| format!("{lost} of {of} {}", class.as_str())).collect();
        write!(f, "{} would be removed at once", parts.join(", "))
    }
}
