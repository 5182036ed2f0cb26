use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Extensions, Status};

use crate::body::{Answer, Pending};
use crate::codec::Outgoing;
use crate::quota::Quotas;
use crate::rate::Rate;
use crate::requests::Requests;
use crate::service::SnapshotSource;
use crate::session::{Action, DeltaRequest, Limits, Protocol, Refused, Session, SharedLists, SotwRequest};
use crate::{Node, ResourceType, Snapshot, StreamEvent, StreamId, lineage};

/// Bytes that are kept of a client's words. Envoy's are a line for each resource; no client decides how much is remembered of it.
const LONGEST_MESSAGE: usize = 4 * 1024;

fn shortened(mut message: String) -> String {
    if message.len() > LONGEST_MESSAGE {
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        message.push_str(" [cut off]");
    }
    message
}

/// A request of either variant.
pub(crate) trait Incoming: prost::Message + Default + 'static {
    const PROTOCOL: Protocol;

    fn node(&mut self) -> Option<core::Node>;

    fn type_url(&self) -> &str;

    /// Of a stream with one type a client need not say which ("it is implicit in requests made via singleton xDS APIs").
    fn imply_type(&mut self, kind: ResourceType);

    /// Whether it says what the client holds from before.
    fn tells_versions(&self) -> bool;

    /// A state that the client has been in and the source has not, see [`lineage`].
    fn ahead<S: SnapshotSource>(&self, snapshot: &Snapshot, source: &S) -> Option<String>;

    fn hand_to(self, session: &mut Session) -> Result<Vec<Action>, Refused>;
}

impl Incoming for DeltaDiscoveryRequest {
    const PROTOCOL: Protocol = Protocol::Delta;

    fn node(&mut self) -> Option<core::Node> {
        self.node.take()
    }

    fn type_url(&self) -> &str {
        &self.type_url
    }

    fn imply_type(&mut self, kind: ResourceType) {
        kind.type_url().clone_into(&mut self.type_url);
    }

    fn tells_versions(&self) -> bool {
        !self.initial_resource_versions.is_empty()
    }

    fn ahead<S: SnapshotSource>(&self, snapshot: &Snapshot, source: &S) -> Option<String> {
        lineage::ahead(self, snapshot, source)
    }

    fn hand_to(self, session: &mut Session) -> Result<Vec<Action>, Refused> {
        let content = |(name, version): (String, String)| (name, lineage::content(&version).to_owned());
        session.on_delta_request(DeltaRequest {
            type_url: self.type_url,
            subscribe: self.resource_names_subscribe,
            unsubscribe: self.resource_names_unsubscribe,
            initial_versions: self.initial_resource_versions.into_iter().map(content).collect(),
            nonce: self.response_nonce,
            error: self.error_detail.map(|status| shortened(status.message)),
        })
    }
}

impl Incoming for DiscoveryRequest {
    const PROTOCOL: Protocol = Protocol::StateOfTheWorld;

    fn node(&mut self) -> Option<core::Node> {
        self.node.take()
    }

    fn type_url(&self) -> &str {
        &self.type_url
    }

    fn imply_type(&mut self, kind: ResourceType) {
        kind.type_url().clone_into(&mut self.type_url);
    }

    /// In this variant a client says nothing of what it has.
    fn tells_versions(&self) -> bool {
        false
    }

    fn ahead<S: SnapshotSource>(&self, _snapshot: &Snapshot, _source: &S) -> Option<String> {
        None
    }

    fn hand_to(self, session: &mut Session) -> Result<Vec<Action>, Refused> {
        session.on_sotw_request(SotwRequest {
            type_url: self.type_url,
            names: self.resource_names,
            nonce: self.response_nonce,
            error: self.error_detail.map(|status| shortened(status.message)),
        })
    }
}

/// What a stream is served from, and how.
pub(crate) struct Serving<S> {
    pub(crate) source: Arc<S>,
    /// The only type that is answered, if there is but one.
    pub(crate) only: Option<ResourceType>,
    pub(crate) limits: Limits,
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) lists: SharedLists,
}

/// A stream, which runs until either side ends it.
pub(crate) fn start<S: SnapshotSource, M: Incoming>(serving: Serving<S>, peer: Extensions, requests: Requests<M>) -> Answer {
    let responses = Pending::default();
    Answer::new(run(serving, peer, requests, responses.clone()), responses)
}

async fn run<S: SnapshotSource, M: Incoming>(
    serving: Serving<S>,
    peer: Extensions,
    mut requests: Requests<M>,
    responses: Pending,
) -> Result<(), Status> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let Serving { source, only, limits, quotas, lists } = serving;
    let Some(mut first) = requests.message().await? else { return Ok(()) };
    // Only the first message of a stream is sure to have it; later ones are ignored.
    let node: Node = first.node().ok_or_else(|| Status::invalid_argument("the first request of a stream names its node"))?.into();
    let mut snapshots = source.subscribe(node.clone(), peer.clone()).await?;
    // Only now is it known that the client is who it says.
    let mut share = quotas.open(node.id()).map_err(|exceeded| Status::resource_exhausted(exceeded.to_string()))?;
    let stream = StreamId(NEXT.fetch_add(1, Ordering::Relaxed));
    let brief = node.brief();
    source.observe(StreamEvent::Connected { stream, node, only });
    let node = brief;
    // These are looked at when they have something to say, and not whenever the stream is woken for another reason.
    let mut revoked: FuturesUnordered<_> = std::iter::once(source.revoked(&node, &peer)).collect();
    let connected = Connected { source: source.as_ref(), stream, node_id: node.id().to_owned(), protocol: M::PROTOCOL, responses };

    let (began, mut rate) = (Instant::now(), Rate::new(limits.request_burst, limits.request_interval));
    let mut session = Session::sharing(M::PROTOCOL, limits, &lists);
    let snapshot = Arc::clone(&snapshots.borrow_and_update());
    connected.act(session.on_snapshot(&snapshot));
    let mut changes: FuturesUnordered<_> = std::iter::once(next_change(snapshots.clone())).collect();
    let mut next = Some(first);
    let mut half_closed = false;
    loop {
        if let Some(request) = next.take().and_then(|request| of_type(request, only)) {
            let wait = rate.wait(began.elapsed()).max(share.wait());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            if let Some(snapshot) = caught_up(&request, source.as_ref(), &node, &mut snapshots).await? {
                connected.act(session.on_snapshot(&snapshot));
            }
            let actions = request.hand_to(&mut session).map_err(|refused| Status::resource_exhausted(refused.to_string()))?;
            share.hold(session.names()).map_err(|exceeded| Status::resource_exhausted(exceeded.to_string()))?;
            connected.act(actions);
        }
        tokio::select! {
            biased;
            Some(status) = revoked.next() => return Err(status),
            Some(changed) = changes.next() => {
                let mut newest = changed?;
                let snapshot = Arc::clone(&newest.borrow_and_update());
                changes.push(next_change(newest));
                connected.act(session.on_snapshot(&snapshot));
            }
            request = requests.message(), if !half_closed => {
                next = request?;
                // A client that will not speak again may still listen.
                half_closed = next.is_none();
            },
        }
    }
}

/// Waits for another snapshot than the one that was seen last.
async fn next_change(mut snapshots: watch::Receiver<Arc<Snapshot>>) -> Result<watch::Receiver<Arc<Snapshot>>, Status> {
    snapshots.changed().await.map_err(|_| shutting_down())?;
    Ok(snapshots)
}

fn shutting_down() -> Status {
    Status::unavailable("the server is shutting down")
}

/// Waits until the client would not be led back. The newest snapshot, if it has become another since this was asked last.
async fn caught_up<S: SnapshotSource, M: Incoming>(
    request: &M,
    source: &S,
    node: &Node,
    snapshots: &mut watch::Receiver<Arc<Snapshot>>,
) -> Result<Option<Arc<Snapshot>>, Status> {
    if !request.tells_versions() {
        return Ok(None);
    }
    let until = Instant::now() + lineage::HOLD;
    let mut is_held = false;
    loop {
        let Some(state) = request.ahead(&snapshots.borrow(), source) else { break };
        if !std::mem::replace(&mut is_held, true) {
            tracing::info!(node = node.id(), state, "a client has been further than this replica: it waits");
        }
        if Instant::now() >= until {
            source.overtaken(node, &state)?;
            break;
        }
        // What the source knows may change without the snapshot of this client changing.
        let _either = tokio::time::timeout(lineage::LOOK, snapshots.changed()).await;
        snapshots.mark_changed();
    }
    let changed = snapshots.has_changed().map_err(|_| shutting_down())?;
    Ok(changed.then(|| Arc::clone(&snapshots.borrow_and_update())))
}

/// Nothing of another type than the only one of the stream, if there is one.
fn of_type<M: Incoming>(mut request: M, only: Option<ResourceType>) -> Option<M> {
    let Some(only) = only else { return Some(request) };
    if request.type_url().is_empty() {
        request.imply_type(only);
    }
    (request.type_url() == only.type_url()).then_some(request)
}

/// A stream that has been announced; dropping it announces its end.
struct Connected<'a, S: SnapshotSource> {
    source: &'a S,
    stream: StreamId,
    node_id: String,
    protocol: Protocol,
    responses: Pending,
}

impl<S: SnapshotSource> Connected<'_, S> {
    fn act(&self, actions: Vec<Action>) {
        let stream = self.stream;
        for action in actions {
            match action {
                Action::Send(response) => {
                    let (resource_type, resources) = (response.kind(), response.resources().len());
                    let state = self.source.state().filter(|_| lineage::is_marked(resource_type));
                    self.source.observe(StreamEvent::Sent { stream, resource_type, resources });
                    self.responses.push(Outgoing { protocol: self.protocol, state, response });
                }
                Action::Acked { kind, versions, removed } => {
                    self.source.observe(StreamEvent::Acked { stream, resource_type: kind, versions, removed });
                }
                Action::Nacked { kind, names, message } => {
                    let node_id = self.node_id.clone();
                    self.source.observe(StreamEvent::Nacked { stream, node_id, resource_type: kind, names, message });
                }
            }
        }
    }
}

impl<S: SnapshotSource> Drop for Connected<'_, S> {
    fn drop(&mut self) {
        self.source.observe(StreamEvent::Disconnected { stream: self.stream });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_clients_words_no_more_is_kept_than_an_operator_reads() {
        assert_eq!(shortened("no such port".to_owned()), "no such port");
        assert_eq!(shortened("x".repeat(LONGEST_MESSAGE)), "x".repeat(LONGEST_MESSAGE));
        let cut = shortened("ü".repeat(LONGEST_MESSAGE));
        assert_eq!(cut, "ü".repeat(LONGEST_MESSAGE / 2) + " [cut off]");
        assert_eq!(shortened("x".to_owned() + &"ü".repeat(LONGEST_MESSAGE)).len(), LONGEST_MESSAGE - 1 + " [cut off]".len());
    }
}
