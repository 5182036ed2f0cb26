//! Who may have which configuration: a stream's node must be a workload of the mesh, and its certificate must be that workload's.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use meshwright_ca::PeerCertificates;
use meshwright_identity::{SpiffeId, TrustDomain};
use meshwright_translate::{NodeMetadata, Proxy};
use meshwright_xds::{Node, Snapshot, SnapshotSource, StreamEvent};
use tokio::sync::watch;
use tonic::{Extensions, Status};

use crate::board::Board;
use crate::connections::Unauthenticated;
use crate::denials::{DISCOVERY, Denials, Peer};
use crate::lineage::Lineage;
use crate::publisher::Publisher;

/// The first part of every sidecar's node id.
pub(crate) const NODE_PREFIX: &str = "sidecar~";

/// Gives each stream the snapshots of its proxy.
#[derive(Clone)]
pub(crate) struct Snapshots {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) board: Arc<Board>,
    pub(crate) trust_domain: TrustDomain,
    pub(crate) lineage: Arc<Lineage>,
    pub(crate) denials: Arc<Denials>,
}

impl SnapshotSource for Snapshots {
    async fn subscribe(&self, node: Node, peer: Extensions) -> Result<watch::Receiver<Arc<Snapshot>>, Status> {
        let admitted = self.admit(&node, &peer);
        if let Err(status) = &admitted {
            tracing::warn!(node = node.id(), reason = status.message(), "a proxy is refused");
        }
        let (proxy, identity) = admitted?;
        let expires = peer.get::<PeerCertificates>().and_then(PeerCertificates::expires);
        self.board.set_peer(node.id(), identity.to_string(), expires);
        self.publisher.subscribe(proxy).map_err(|error| {
            tracing::error!(node = node.id(), error, "a proxy cannot be served");
            Status::failed_precondition(error)
        })
    }

    async fn revoked(&self, node: &Node, peer: &Extensions) -> Status {
        let identity = match self.identify(node, peer) {
            Ok(identity) => identity,
            // It was admitted a moment ago.
            Err(status) => return status,
        };
        let message = self.denials.denied(&Peer::new(identity, peer.get())).await;
        tracing::warn!(node = node.id(), reason = message, "the stream of a proxy is closed");
        Status::permission_denied(message)
    }

    fn observe(&self, event: StreamEvent) {
        match &event {
            StreamEvent::Nacked { node_id, resource_type, names, message, .. } => {
                tracing::error!(node = node_id, r#type = resource_type.short_name(), ?names, message, "a proxy refuses its configuration");
                let (node, kind, names, message) = (node_id.clone(), *resource_type, names.clone(), message.clone());
                self.board.observe(event);
                // Several that were refused together are tried in parts.
                if let [name] = names.as_slice() {
                    self.publisher.refused(&node, &(kind, name.clone()), &message);
                }
            }
            StreamEvent::Acked { stream, resource_type, versions, .. } => {
                let refusing = self.board.refusing(*stream);
                let (kind, versions) = (*resource_type, refusing.as_ref().map(|_| versions.clone()));
                self.board.observe(event);
                if let (Some(node), Some(versions)) = (refusing, versions) {
                    self.publisher.taken(&node, kind, versions.iter().map(|(name, _)| &**name));
                }
            }
            // Nobody asks what was sent, but what was taken.
            StreamEvent::Sent { .. } => {}
            StreamEvent::Connected { .. } | StreamEvent::Disconnected { .. } => self.board.observe(event),
        }
    }

    fn state(&self) -> Option<Arc<str>> {
        self.lineage.now()
    }

    fn knows(&self, state: &str) -> bool {
        self.lineage.knows(state)
    }

    fn overtaken(&self, node: &Node, state: &str) -> Result<(), Status> {
        if self.lineage.is_out_of_patience(node.id(), Instant::now()) {
            tracing::error!(
                node = node.id(),
                state,
                "a proxy has been served a state that was never in force here; nobody else serves it, so it is served what is in force here"
            );
            return Ok(());
        }
        tracing::warn!(node = node.id(), state, "a proxy has been served a state that is not in force here yet; it is sent elsewhere");
        Err(Status::unavailable("this replica lags behind what you have"))
    }
}

impl Snapshots {
    /// Whose stream it is: the node's workload, as the certificate shows.
    fn identify(&self, node: &Node, peer: &Extensions) -> Result<SpiffeId, Status> {
        let (namespace, name) = node
            .id()
            .strip_prefix(NODE_PREFIX)
            .and_then(|rest| rest.split_once('/'))
            .ok_or_else(|| Status::invalid_argument(format!("node id `{}` is not `{NODE_PREFIX}NAMESPACE/WORKLOAD`", node.id())))?;
        let loaded = self.publisher.loaded();
        let workload = loaded.state().workload(namespace, name).ok_or_else(|| {
            Status::not_found(format!("no WorkloadEntry `{namespace}/{name}` in the configuration: add one, or correct --workload"))
        })?;
        let account = workload.service_account();
        let expected = SpiffeId::for_service_account(&self.trust_domain, namespace, account)
            .map_err(|error| Status::failed_precondition(format!("WorkloadEntry `{namespace}/{name}`: {error}")))?;
        // Only the port that the operator opened as insecure lets a peer in without a certificate.
        if peer.get::<Unauthenticated>().is_none() {
            let certificates = peer.get::<PeerCertificates>().cloned().unwrap_or_default();
            let shown =
                certificates.identity(&self.trust_domain, SystemTime::now()).map_err(|error| Status::unauthenticated(error.to_string()))?;
            if shown != expected {
                return Err(Status::permission_denied(format!("`{namespace}/{name}` is `{expected}`, the certificate is `{shown}`'s")));
            }
        }
        Ok(expected)
    }

    fn admit(&self, node: &Node, peer: &Extensions) -> Result<(Proxy, SpiffeId), Status> {
        let expected = self.identify(node, peer)?;
        if let Some(message) = self.denials.refuse(DISCOVERY, &Peer::new(expected.clone(), peer.get())) {
            return Err(Status::permission_denied(message));
        }
        let metadata =
            NodeMetadata::try_from(node.metadata()).map_err(|error| Status::invalid_argument(format!("node metadata: {error}")))?;
        Ok((Proxy::new(node.id().to_owned(), metadata), expected))
    }
}
