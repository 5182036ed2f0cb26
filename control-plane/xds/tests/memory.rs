//! What a stream costs: the names and versions that it must know, and no copy of anything that others have too.

#![expect(clippy::unwrap_used, reason = "a test that prints what it measured")]

use std::sync::Arc;

use meshwright_xds::{Action, Base, DeltaRequest, Limits, Protocol, Resource, ResourceType, Session, SharedLists, Snapshot};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SERVICES: usize = 1_000;
const STREAMS: usize = 20;
/// The most that a proxy may cost.
const MOST: usize = 8_000;
/// The most that may stay of many, when all are gone.
const LEFT: usize = 10_000;

fn service(index: usize) -> String {
    format!("outbound|8080||service-{index:05}.namespace-{:03}.mesh.example", index % 100)
}

fn resource(kind: ResourceType, name: String, bytes: usize, dependencies: Vec<(ResourceType, String)>) -> Arc<Resource> {
    Arc::new(Resource::new(kind, name.clone(), name.repeat(bytes / name.len() + 1).into_bytes().into(), dependencies))
}

fn snapshot() -> Arc<Snapshot> {
    let clusters =
        (0..SERVICES).map(|index| resource(ResourceType::Cluster, service(index), 800, vec![(ResourceType::Endpoint, service(index))]));
    let endpoints = (0..SERVICES).map(|index| resource(ResourceType::Endpoint, service(index), 600, Vec::new()));
    let base = Base::build(clusters.chain(endpoints)).unwrap();
    Arc::new(Snapshot::with_base(Arc::new(base), [resource(ResourceType::Listener, "inbound".to_owned(), 5_000, Vec::new())]).unwrap())
}

fn request(kind: ResourceType) -> DeltaRequest {
    DeltaRequest { type_url: kind.type_url().to_owned(), ..DeltaRequest::default() }
}

/// Asks, and acknowledges whatever comes.
fn ask(session: &mut Session, request: DeltaRequest) {
    let mut actions = session.on_delta_request(request).unwrap();
    while let Some(nonce) = actions.iter().find_map(|action| match action {
        Action::Send(response) => Some((response.kind(), response.nonce().to_owned())),
        Action::Acked { .. } | Action::Nacked { .. } => None,
    }) {
        let (kind, nonce) = nonce;
        actions = session.on_delta_request(DeltaRequest { nonce, ..self::request(kind) }).unwrap();
    }
}

/// As Envoy does; `held` is what it says it has from an earlier stream.
fn connect(snapshot: &Arc<Snapshot>, lists: &SharedLists, holds: bool) -> Session {
    let held = |kind| {
        let resources = snapshot.resources(kind).filter(|_| holds);
        resources.map(|resource| (resource.name().to_owned(), resource.version().to_owned())).collect()
    };
    let mut session = Session::sharing(Protocol::Delta, Limits::default(), lists);
    assert_eq!(session.on_snapshot(snapshot), []);
    ask(&mut session, DeltaRequest { initial_versions: held(ResourceType::Cluster), ..request(ResourceType::Cluster) });
    let subscribe = (0..SERVICES).map(service).collect();
    ask(&mut session, DeltaRequest { subscribe, initial_versions: held(ResourceType::Endpoint), ..request(ResourceType::Endpoint) });
    ask(&mut session, DeltaRequest { initial_versions: held(ResourceType::Listener), ..request(ResourceType::Listener) });
    session
}

#[test]
fn a_stream_costs_less_than_the_names_that_it_knows() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let snapshot = snapshot();
    for (what, holds) in [("cold", false), ("reconnected", true)] {
        let lists = SharedLists::default();
        let before = dhat::HeapStats::get().curr_bytes;
        let mut sessions: Vec<Session> = (0..STREAMS).map(|_| connect(&snapshot, &lists, holds)).collect();
        let each = (dhat::HeapStats::get().curr_bytes - before) / STREAMS;
        eprintln!("{what}: {each} bytes for each stream, {SERVICES} services");
        assert!(each < MOST, "{what}: {each} bytes");
        // The same snapshot once more, and nothing to do.
        assert!(sessions.iter_mut().all(|session| session.on_snapshot(&snapshot).is_empty()));
        drop(sessions);
        let left = dhat::HeapStats::get().curr_bytes.saturating_sub(before);
        assert!(left < LEFT, "{what}: {left} bytes stay when all are gone");
    }
}
