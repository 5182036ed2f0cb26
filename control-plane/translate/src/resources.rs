//! Messages become resources, each with what it depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use meshwright_envoy_config::pb::envoy::config::cluster::v3::Cluster;
use meshwright_envoy_config::pb::envoy::config::core::v3::TypedExtensionConfig;
use meshwright_envoy_config::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meshwright_envoy_config::pb::envoy::config::listener::v3::Listener;
use meshwright_envoy_config::pb::envoy::config::route::v3::RouteConfiguration;
use meshwright_envoy_config::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use meshwright_envoy_config::{names, secret};
use meshwright_identity::TrustDomain;
use meshwright_xds::{Base, Resource, ResourceType};
use prost::Message;

/// What a resource refers to by name and must be sent with it.
pub(crate) type Dependencies = BTreeSet<(ResourceType, String)>;

/// The resources of one proxy, by type and name.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    by_name: BTreeMap<(ResourceType, String), Arc<Resource>>,
    /// What the proxy holds beside these.
    base: Arc<Base>,
}

impl Resources {
    /// For what a proxy has beside `base`, some of which is made already.
    pub(crate) fn beside(base: Arc<Base>, made: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let by_name = made.into_iter().map(|resource| ((resource.kind(), resource.name().to_owned()), resource)).collect();
        Self { by_name, base }
    }

    pub(crate) fn trust_bundles(&mut self, bundles: &BTreeMap<TrustDomain, String>) {
        let bundles = bundles.iter().map(|(domain, roots)| (domain, roots.as_str()));
        self.secret(&secret::trust_bundles(names::TRUST_BUNDLE_SECRET, bundles));
    }

    pub(crate) fn secret(&mut self, secret: &Secret) {
        self.insert(ResourceType::Secret, &secret.name, secret, Dependencies::new());
    }

    pub(crate) fn cluster(&mut self, cluster: &Cluster, dependencies: Dependencies) {
        self.insert(ResourceType::Cluster, &cluster.name, cluster, dependencies);
    }

    pub(crate) fn endpoints(&mut self, assignment: &ClusterLoadAssignment) {
        self.insert(ResourceType::Endpoint, &assignment.cluster_name, assignment, Dependencies::new());
    }

    pub(crate) fn listener(&mut self, listener: &Listener, dependencies: Dependencies) {
        self.insert(ResourceType::Listener, &listener.name, listener, dependencies);
    }

    pub(crate) fn routes(&mut self, routes: &RouteConfiguration) {
        self.insert(ResourceType::Route, &routes.name, routes, Dependencies::new());
    }

    pub(crate) fn extension(&mut self, extension: &TypedExtensionConfig) {
        self.insert(ResourceType::ExtensionConfig, &extension.name, extension, Dependencies::new());
    }

    pub(crate) fn contains(&self, kind: ResourceType, name: &str) -> bool {
        self.base.get(kind, name).is_some() || self.by_name.contains_key(&(kind, name.to_owned()))
    }

    /// Whether a listener waits for this policy.
    pub(crate) fn is_needed(&self, kind: ResourceType, name: &str) -> bool {
        self.by_name.values().any(|resource| resource.dependencies().iter().any(|(other, wanted)| *other == kind && wanted == name))
    }

    pub(crate) fn finish(self) -> Vec<Resource> {
        self.by_name.into_values().map(Arc::unwrap_or_clone).collect()
    }

    /// Without `base`.
    pub(crate) fn finish_shared(self) -> Vec<Arc<Resource>> {
        self.by_name.into_values().collect()
    }

    fn insert<M: Message>(&mut self, kind: ResourceType, name: &str, message: &M, dependencies: Dependencies) {
        let body = Bytes::from(message.encode_to_vec());
        let resource = Resource::new(kind, name, body, dependencies.into_iter().collect());
        self.by_name.insert((kind, name.to_owned()), Arc::new(resource));
    }
}

pub(crate) fn needs_trust_bundle() -> (ResourceType, String) {
    (ResourceType::Secret, names::TRUST_BUNDLE_SECRET.to_owned())
}
