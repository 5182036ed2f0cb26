//! A server on loopback whose snapshots a test sets and whose events it reads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use meshwright_xds::{Limits, Node, Resource, Snapshot, SnapshotSource, StreamEvent, discovery_routes};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Extensions, Status};

/// The longest that anything here may take; nothing waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Any port of this machine.
pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// The node that is served nothing.
pub(crate) const BANNED: &str = "banned";

struct Source {
    snapshots: watch::Sender<Arc<Snapshot>>,
    events: mpsc::UnboundedSender<StreamEvent>,
}

impl SnapshotSource for Source {
    async fn subscribe(&self, node: Node, _: Extensions) -> Result<watch::Receiver<Arc<Snapshot>>, Status> {
        if node.id() == BANNED { Err(Status::permission_denied("not of this mesh")) } else { Ok(self.snapshots.subscribe()) }
    }

    fn observe(&self, event: StreamEvent) {
        // Nobody may listen any more.
        let _unheard = self.events.send(event);
    }
}

/// Stops with all its connections when dropped.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    source: Arc<Source>,
    events: mpsc::UnboundedReceiver<StreamEvent>,
    runtime: Option<Runtime>,
}

impl Serving {
    pub(crate) async fn start(resources: Vec<Resource>) -> Self {
        Self::at(ANY, resources).await
    }

    /// At an address, which the one before may have left a moment ago.
    pub(crate) async fn at(address: SocketAddr, resources: Vec<Resource>) -> Self {
        Self::limited(address, Limits::default(), resources).await
    }

    pub(crate) async fn limited(address: SocketAddr, limits: Limits, resources: Vec<Resource>) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let snapshots = watch::Sender::new(Arc::new(Snapshot::build(resources).unwrap()));
        let source = Arc::new(Source { snapshots, events: sender });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let bound = runtime.spawn(TcpListener::bind(address)).await.unwrap().unwrap();
        let address = bound.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_routes(discovery_routes(&source, limits));
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(bound)));
        Self { address, source, events, runtime: Some(runtime) }
    }

    pub(crate) fn publish(&self, resources: Vec<Resource>) {
        self.source.snapshots.send_replace(Arc::new(Snapshot::build(resources).unwrap()));
    }

    pub(crate) async fn event(&mut self) -> StreamEvent {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("an event in time").unwrap()
    }

    /// The next event, as text.
    pub(crate) async fn told(&mut self) -> String {
        told(&self.event().await)
    }

    /// All events until one begins with this, as text.
    pub(crate) async fn told_until(&mut self, start: &str) -> Vec<String> {
        let mut events = vec![self.told().await];
        while !events.last().unwrap().starts_with(start) {
            events.push(tokio::time::timeout(PATIENCE, self.told()).await.unwrap_or_else(|_| panic!("no `{start}` after {events:?}")));
        }
        events
    }

    /// What has happened that nobody has read.
    pub(crate) fn unread(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.events.try_recv().ok()).map(|event| told(&event)).collect()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // On a thread of its own, as a task may not wait for a runtime to end; it must, or the address is still in use.
            std::thread::spawn(move || runtime.shutdown_timeout(PATIENCE)).join().unwrap();
        }
    }
}

fn told(event: &StreamEvent) -> String {
    match event {
        StreamEvent::Connected { node, .. } => format!("connected {}", node.id()),
        StreamEvent::Sent { resource_type, resources, .. } => format!("sent {} {resources}", resource_type.short_name()),
        StreamEvent::Acked { resource_type, versions, removed, .. } => {
            let held = versions.iter().map(|(name, _)| format!(" +{name}"));
            let names: String = held.chain(removed.iter().map(|name| format!(" -{name}"))).collect();
            format!("acked {}{names}", resource_type.short_name())
        }
        StreamEvent::Nacked { resource_type, names, message, node_id, .. } => {
            format!("nacked {} by {node_id}: {}: {message}", resource_type.short_name(), names.join(" "))
        }
        StreamEvent::Disconnected { .. } => "disconnected".to_owned(),
    }
}
