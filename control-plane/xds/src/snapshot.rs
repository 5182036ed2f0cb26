use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Resource, ResourceType};

/// Everything that one proxy should hold. Immutable; consistent by construction: no name twice, nothing refers to what is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    resources: BTreeMap<ResourceType, BTreeMap<String, Arc<Resource>>>,
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
        let mut snapshot = Self::default();
        for resource in resources {
            let (kind, name) = (resource.kind(), resource.name().to_owned());
            if name.is_empty() {
                return Err(Inconsistent::Nameless(kind));
            }
            if snapshot.resources.entry(kind).or_default().insert(name.clone(), Arc::new(resource)).is_some() {
                return Err(Inconsistent::Duplicate { kind, name });
            }
        }
        for resource in snapshot.resources.values().flat_map(BTreeMap::values) {
            for (kind, name) in resource.dependencies() {
                if snapshot.get(*kind, name).is_none() {
                    let (missing_kind, missing) = (*kind, name.clone());
                    return Err(Inconsistent::Dangling { kind: resource.kind(), name: resource.name().to_owned(), missing_kind, missing });
                }
            }
        }
        Ok(snapshot)
    }

    #[must_use]
    pub fn get(&self, kind: ResourceType, name: &str) -> Option<&Arc<Resource>> {
        self.resources.get(&kind)?.get(name)
    }

    /// All of one type, by name.
    pub fn resources(&self, kind: ResourceType) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.get(&kind).into_iter().flat_map(BTreeMap::values)
    }
}

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
    fn versions_are_of_the_content_alone() {
        use ResourceType::Cluster;
        assert_eq!(resource(Cluster, "a", &[]).version(), resource(Cluster, "b", &[]).version());
        assert_ne!(resource(Cluster, "a", &[]).version(), Resource::new(Cluster, "a", bytes::Bytes::from_static(b"y"), vec![]).version());
    }
}
