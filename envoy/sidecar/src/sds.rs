//! The workload's certificate and the trust bundle, for the Envoy beside it alone: SDS on a Unix socket in the private state directory.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use meshwright_ca::client::Credentials;
use meshwright_envoy_config::{names, secret};
use meshwright_xds::{Node, Resource, ResourceType, SdsService, Snapshot, SnapshotSource, StreamEvent};
use prost::Message as _;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;

/// The secrets that Envoy is given, the newest version of each.
#[derive(Debug)]
pub(crate) struct Secrets {
    sender: watch::Sender<Arc<Snapshot>>,
}

impl Secrets {
    pub(crate) fn new(credentials: &Credentials) -> anyhow::Result<Self> {
        Ok(Self { sender: watch::Sender::new(snapshot(credentials)?) })
    }

    pub(crate) fn publish(&self, credentials: &Credentials) -> anyhow::Result<()> {
        self.sender.send_replace(snapshot(credentials)?);
        Ok(())
    }

    fn source(&self) -> Source {
        Source { snapshots: self.sender.subscribe() }
    }
}

fn snapshot(credentials: &Credentials) -> anyhow::Result<Arc<Snapshot>> {
    let workload = secret::certificate(names::WORKLOAD_SECRET, credentials.chain_pem(), credentials.key().pem());
    let bundle = secret::trust_bundle(names::TRUST_BUNDLE_SECRET, credentials.trust_bundle_pem());
    let resources = [workload, bundle].map(|secret| {
        let body = secret.encode_to_vec().into();
        Resource::new(ResourceType::Secret, secret.name, body, Vec::new())
    });
    Ok(Arc::new(Snapshot::build(resources)?))
}

/// Gives every stream the same secrets: who can open the socket is the workload.
#[derive(Debug)]
struct Source {
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

impl SnapshotSource for Source {
    async fn subscribe(&self, _node: Node, _peer: tonic::Extensions) -> Result<watch::Receiver<Arc<Snapshot>>, tonic::Status> {
        Ok(self.snapshots.clone())
    }

    fn observe(&self, event: StreamEvent) {
        if let StreamEvent::Nacked { message, .. } = event {
            tracing::error!("Envoy refuses its certificate or trust bundle: {message}");
        }
    }
}

/// Takes the socket now; what is returned serves it for ever.
pub(crate) fn serve(socket: &Path, secrets: &Secrets) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + 'static> {
    let listener = UnixListener::bind(socket).with_context(|| format!("the SDS socket `{}` cannot be made", socket.display()))?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    let service = SdsService::new(Arc::new(secrets.source()));
    let server = tonic::transport::Server::builder().add_service(service);
    Ok(async move { server.serve_with_incoming(UnixListenerStream::new(listener)).await.context("the SDS socket failed") })
}
