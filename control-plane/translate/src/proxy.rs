//! Who is asking.

use std::sync::Arc;

use meshwright_config::{FetchedBundles, ForeignDomain, KeySets, Mesh, State, Workload};
use meshwright_envoy_config::NodeMetadata;
use meshwright_identity::{SpiffeId, TrustDomain};

use crate::TranslateError;

/// A proxy that has connected. A copy shares what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    node_id: Arc<str>,
    metadata: Arc<NodeMetadata>,
}

impl Proxy {
    #[must_use]
    pub fn new(node_id: String, metadata: NodeMetadata) -> Self {
        Self { node_id: node_id.into(), metadata: Arc::new(metadata) }
    }

    #[must_use]
    pub fn node_id(&self) -> &str {
        &self.node_id
    }

    pub(crate) fn shared_node_id(&self) -> &Arc<str> {
        &self.node_id
    }

    /// Whether it is a copy of the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.metadata, &other.metadata) && Arc::ptr_eq(&self.node_id, &other.node_id)
    }

    #[must_use]
    pub fn metadata(&self) -> &NodeMetadata {
        &self.metadata
    }
}

/// What the control plane adds to the documents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MeshInputs {
    /// The roots that certificates of this mesh's own workloads are verified against.
    pub trust_bundle_pem: String,
    /// Bundles of other trust domains that were fetched.
    pub foreign_bundles: Arc<FetchedBundles>,
    /// The keys that documents do not have in them. Of an issuer whose keys are not among them no token is taken.
    pub key_sets: Arc<KeySets>,
}

/// The state as callers of a namespace see it: what is made of this alone is the same for all of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Callers<'a> {
    pub(crate) state: &'a State,
    pub(crate) mesh: &'a Mesh,
    pub(crate) namespace: &'a str,
}

impl Callers<'_> {
    /// The identity of a workload in this mesh.
    pub(crate) fn identity(&self, namespace: &str, service_account: &str) -> Result<SpiffeId, TranslateError> {
        Ok(SpiffeId::for_service_account(self.mesh.trust_domain(), namespace, service_account)?)
    }
}

/// The state as one proxy's workload sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) state: &'a State,
    pub(crate) mesh: &'a Mesh,
    pub(crate) metadata: &'a NodeMetadata,
    pub(crate) workload: &'a Workload,
}

impl<'a> View<'a> {
    pub(crate) fn new(state: &'a State, proxy: &'a Proxy) -> Result<Self, TranslateError> {
        let metadata = &proxy.metadata;
        let workload = state
            .workload(&metadata.namespace, &metadata.workload)
            .ok_or_else(|| TranslateError::UnknownWorkload { namespace: metadata.namespace.clone(), name: metadata.workload.clone() })?;
        Ok(Self { state, mesh: state.mesh().ok_or(TranslateError::NoMesh)?, metadata, workload })
    }

    pub(crate) fn namespace(&self) -> &'a str {
        self.workload.namespace()
    }

    pub(crate) fn callers(&self) -> Callers<'a> {
        Callers { state: self.state, mesh: self.mesh, namespace: self.namespace() }
    }

    /// The trust domains whose workloads may connect, when they have a bundle that vouches for them.
    pub(crate) fn trust_domains(&self) -> Vec<TrustDomain> {
        let mesh = self.mesh;
        let own = std::iter::once(mesh.trust_domain()).chain(mesh.trust_domain_aliases());
        let mut domains: Vec<TrustDomain> = Vec::new();
        for domain in own.chain(mesh.foreign_domains().iter().map(ForeignDomain::name)) {
            if !domains.contains(domain) {
                domains.push(domain.clone());
            }
        }
        domains
    }
}
