use crate::ResourceType;

/// One of `T` for each resource type, in the order of [`ResourceType::ALL`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ByType<T>([T; ResourceType::ALL.len()]);

impl<T> ByType<T> {
    pub(crate) fn make(of: impl FnMut(ResourceType) -> T) -> Self {
        Self(ResourceType::ALL.map(of))
    }

    pub(crate) fn get(&self, kind: ResourceType) -> &T {
        let [clusters, endpoints, secrets, extensions, listeners, routes] = &self.0;
        match kind {
            ResourceType::Cluster => clusters,
            ResourceType::Endpoint => endpoints,
            ResourceType::Secret => secrets,
            ResourceType::ExtensionConfig => extensions,
            ResourceType::Listener => listeners,
            ResourceType::Route => routes,
        }
    }

    pub(crate) fn get_mut(&mut self, kind: ResourceType) -> &mut T {
        let [clusters, endpoints, secrets, extensions, listeners, routes] = &mut self.0;
        match kind {
            ResourceType::Cluster => clusters,
            ResourceType::Endpoint => endpoints,
            ResourceType::Secret => secrets,
            ResourceType::ExtensionConfig => extensions,
            ResourceType::Listener => listeners,
            ResourceType::Route => routes,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}
