//! All documents together, after what contradicts has been refused, and the questions that are asked of them.

use std::borrow::Borrow;

use crate::authorization_policy::AuthorizationPolicy;
use crate::credential::Credential;
use crate::deny_list::IdentityDenyList;
use crate::destination_rule::DestinationRule;
use crate::document::{Content, Document};
use crate::error::DocumentError;
use crate::gateway::Gateway;
use crate::mesh::Mesh;
use crate::peer_authentication::PeerAuthentication;
use crate::request_authentication::RequestAuthentication;
use crate::service::ServiceEntry;
use crate::sidecar::Sidecar;
use crate::virtual_service::VirtualService;
use crate::workload::Workload;
use list::List;

mod checks;
mod denied;
mod enforcement;
mod index;
mod instances;
mod list;
mod policies;
mod replace;
mod report;
mod routing;
mod scoping;
mod topology;
mod warnings;

pub use denied::Denial;
pub use enforcement::{Enforcements, RuleOnPort};
pub use report::RuleStatus;
pub use routing::{GatewayRoute, PassthroughRoute};
pub use topology::{Endpoint, InboundPort};

/// What holds for the mesh. Each list is in the order of the documents' keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    mesh: Option<Mesh>,
    deny_lists: List<IdentityDenyList>,
    services: List<ServiceEntry>,
    workloads: List<Workload>,
    authorization_policies: List<AuthorizationPolicy>,
    request_authentications: List<RequestAuthentication>,
    peer_authentications: List<PeerAuthentication>,
    destination_rules: List<DestinationRule>,
    virtual_services: List<VirtualService>,
    gateways: List<Gateway>,
    sidecars: List<Sidecar>,
    credentials: List<Credential>,
    index: index::Lazy,
}

impl State {
    /// Puts documents together. What contradicts another document is left out, with an error; of two with the same name the one that is
    /// given first stays.
    #[must_use]
    pub fn assemble<D: Borrow<Document>>(documents: Vec<D>) -> (Self, Vec<DocumentError>) {
        checks::consistent(documents)
    }

    fn insert(&mut self, content: Content) {
        match content {
            Content::Mesh(mesh) => self.mesh = Some(mesh),
            Content::IdentityDenyList(list) => self.deny_lists.push(list),
            Content::AuthorizationPolicy(policy) => self.authorization_policies.push(policy),
            Content::RequestAuthentication(authentication) => self.request_authentications.push(authentication),
            Content::PeerAuthentication(authentication) => self.peer_authentications.push(authentication),
            Content::ServiceEntry(service) => self.services.push(service),
            Content::WorkloadEntry(workload) => self.workloads.push(workload),
            Content::DestinationRule(rule) => self.destination_rules.push(rule),
            Content::VirtualService(service) => self.virtual_services.push(service),
            Content::Gateway(gateway) => self.gateways.push(gateway),
            Content::Sidecar(sidecar) => self.sidecars.push(sidecar),
            Content::Secret(credential) => self.credentials.push(credential),
        }
    }

    /// The `Mesh` document. Without one nothing sensible can be assumed: neither whose identities count nor which policies hold everywhere.
    #[must_use]
    pub fn mesh(&self) -> Option<&Mesh> {
        self.mesh.as_ref()
    }

    #[must_use]
    pub fn services(&self) -> &[ServiceEntry] {
        &self.services
    }

    #[must_use]
    pub fn workloads(&self) -> &[Workload] {
        &self.workloads
    }

    #[must_use]
    pub fn authorization_policies(&self) -> &[AuthorizationPolicy] {
        &self.authorization_policies
    }

    #[must_use]
    pub fn request_authentications(&self) -> &[RequestAuthentication] {
        &self.request_authentications
    }

    #[must_use]
    pub fn peer_authentications(&self) -> &[PeerAuthentication] {
        &self.peer_authentications
    }

    #[must_use]
    pub fn destination_rules(&self) -> &[DestinationRule] {
        &self.destination_rules
    }

    #[must_use]
    pub fn virtual_services(&self) -> &[VirtualService] {
        &self.virtual_services
    }

    #[must_use]
    pub fn gateways(&self) -> &[Gateway] {
        &self.gateways
    }

    #[must_use]
    pub fn sidecars(&self) -> &[Sidecar] {
        &self.sidecars
    }

    #[must_use]
    pub fn credentials(&self) -> &[Credential] {
        &self.credentials
    }

    /// The Secret of this name.
    #[must_use]
    pub fn credential(&self, namespace: &str, name: &str) -> Option<&Credential> {
        index::named(&self.credentials, Credential::key, namespace, name)
    }
}
