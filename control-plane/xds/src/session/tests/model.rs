//! Random snapshots, slow and refusing clients, lost resources and lost connections: the client always ends with the snapshot, nothing
//! unchanged is resent, nothing arrives before what it refers to or outlives it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use ResourceType::{Cluster, Endpoint, ExtensionConfig, Listener, Route, Secret};

use super::super::Response;
use super::model_client::{Client, Request};
use super::*;

/// Content, and what is referred to: of clusters `[content, endpoints, secret]`, of routes `[content, cluster, cluster]`, of listeners
/// `[content, route, secret]`. No content, no resource.
type Part = [u8; 3];

#[derive(Clone)]
struct World {
    clusters: [Part; 3],
    routes: [Part; 2],
    listeners: [Part; 2],
    endpoints: [u8; 2],
    secret: u8,
    extension: u8,
}

/// On one line, also where a failure is printed at length.
impl std::fmt::Debug for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { clusters, routes, listeners, endpoints, secret, extension } = self;
        let line = format!("clusters {clusters:?} routes {routes:?} listeners {listeners:?} leaves {endpoints:?} {secret} {extension}");
        formatter.write_str(&line)
    }
}

fn worlds() -> impl Strategy<Value = World> {
    let content = || prop_oneof![1 => Just(0_u8), 5 => 1..4_u8, 1 => Just(9_u8)];
    let part = move || (content(), 0..4_u8, 0..4_u8).prop_map(|(content, one, other)| [content, one, other]);
    let fields = ([part(), part(), part()], [part(), part()], [part(), part()], [1..3_u8, 1..3_u8], 1..3_u8, content());
    fields.prop_map(|(clusters, routes, listeners, endpoints, secret, extension)| World {
        clusters,
        routes,
        listeners,
        endpoints,
        secret,
        extension: extension.max(1),
    })
}

fn text(content: u8) -> String {
    if content == 9 { "bad".to_owned() } else { format!("good {content}") }
}

fn made(kind: ResourceType, name: String, content: u8, references: Vec<(ResourceType, String)>) -> Resource {
    Resource::new(kind, name, format!("{} {references:?}", text(content)).into(), references)
}

impl World {
    /// The same with nothing bad.
    fn healed(&self) -> Self {
        let heal = |part: Part| if part[0] == 9 { [1, part[1], part[2]] } else { part };
        let (clusters, routes, listeners) = (self.clusters.map(heal), self.routes.map(heal), self.listeners.map(heal));
        Self { clusters, routes, listeners, extension: self.extension % 9, ..self.clone() }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        let mut resources = Vec::new();
        let mut referred = BTreeSet::new();
        for (index, [content, endpoints, secret]) in self.clusters.into_iter().enumerate().filter(|(_, part)| part[0] != 0) {
            let mut references = Vec::new();
            references.extend((endpoints < 2).then(|| (Endpoint, format!("e{endpoints}"))));
            references.extend((secret == 0).then(|| (Secret, "s".to_owned())));
            referred.extend(references.clone());
            resources.push(made(Cluster, format!("c{index}"), content, references));
        }
        let clusters: BTreeSet<String> = resources.iter().map(|resource| resource.name().to_owned()).collect();
        for (index, [content, route, secret]) in self.listeners.into_iter().enumerate().filter(|(_, part)| part[0] != 0) {
            let mut references = vec![(ExtensionConfig, "x".to_owned())];
            references.extend((route < 2).then(|| (Route, format!("r{route}"))));
            references.extend((secret == 0).then(|| (Secret, "s".to_owned())));
            referred.extend(references.clone());
            resources.push(made(Listener, format!("l{index}"), content, references));
        }
        for (index, [content, one, other]) in self.routes.into_iter().enumerate() {
            let name = format!("r{index}");
            if referred.contains(&(Route, name.clone())) {
                let targets: BTreeSet<String> =
                    [one, other].map(|cluster| format!("c{cluster}")).into_iter().filter(|name| clusters.contains(name)).collect();
                resources.push(made(Route, name, content.max(1), targets.into_iter().map(|target| (Cluster, target)).collect()));
            }
        }
        let leaves = [
            (Endpoint, "e0", self.endpoints[0]),
            (Endpoint, "e1", self.endpoints[1]),
            (Secret, "s", self.secret),
            (ExtensionConfig, "x", self.extension),
        ];
        for (kind, name, content) in leaves {
            if referred.contains(&(kind, name.to_owned())) {
                resources.push(made(kind, name.to_owned(), content, Vec::new()));
            }
        }
        snapshot(resources)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Publish(World),
    /// The client reads a response; if it is bad, it may take none of it.
    Receive {
        whole: bool,
    },
    /// The server reads a request.
    Read,
    Forget {
        kind: usize,
        index: usize,
    },
    Reconnect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => worlds().prop_map(Step::Publish),
        8 => any::<bool>().prop_map(|whole| Step::Receive { whole }),
        8 => Just(Step::Read),
        1 => (0..6_usize, 0..2_usize).prop_map(|(kind, index)| Step::Forget { kind, index }),
        1 => Just(Step::Reconnect),
    ];
    prop::collection::vec(step, 1..120)
}

/// Both ends of a stream and what is on its way between them.
struct Stream {
    protocol: Protocol,
    session: Session,
    client: Client,
    snapshot: Arc<Snapshot>,
    requests: VecDeque<Request>,
    responses: VecDeque<Response>,
}

impl Stream {
    fn new(protocol: Protocol, world: &World) -> Self {
        let (session, client) = (Session::new(protocol, Limits::default()), Client::new(protocol));
        let mut stream =
            Self { protocol, session, client, snapshot: world.snapshot(), requests: VecDeque::new(), responses: VecDeque::new() };
        stream.reconnect();
        stream
    }

    fn reconnect(&mut self) {
        self.requests.clear();
        self.responses.clear();
        self.session = Session::new(self.protocol, Limits::default());
        let actions = self.session.on_snapshot(&self.snapshot);
        self.send(actions);
        self.client.connect();
        self.requests.extend(self.client.take_requests());
    }

    fn send(&mut self, actions: Vec<Action>) {
        for action in actions {
            let Action::Send(response) = action else { continue };
            assert!(!response.nonce().is_empty());
            assert!(self.responses.iter().all(|other| other.kind() != response.kind()), "two responses of a type are on their way");
            let mut names: Vec<&str> = response.resources().iter().map(|resource| resource.name()).collect();
            names.extend(response.removed().iter().map(String::as_str));
            let distinct: BTreeSet<&str> = names.iter().copied().collect();
            assert_eq!(names.len(), distinct.len(), "a name is there twice");
            self.responses.push_back(response);
        }
    }

    fn publish(&mut self, world: &World) {
        self.snapshot = world.snapshot();
        let actions = self.session.on_snapshot(&self.snapshot);
        self.send(actions);
    }

    fn read(&mut self) -> bool {
        let Some(request) = self.requests.pop_front() else { return false };
        let actions = match request {
            Request::Delta(request) => self.session.on_delta_request(request),
            Request::Sotw(request) => self.session.on_sotw_request(request),
        };
        self.send(actions.unwrap());
        true
    }

    fn receive(&mut self, whole: bool) -> bool {
        let Some(response) = self.responses.pop_front() else { return false };
        self.client.receive(&response, whole);
        self.requests.extend(self.client.take_requests());
        true
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Publish(world) => self.publish(world),
            Step::Receive { whole } => drop(self.receive(*whole)),
            Step::Read => drop(self.read()),
            Step::Forget { kind, index } => {
                self.client.forget(ResourceType::ALL[*kind], *index);
                self.requests.extend(self.client.take_requests());
            }
            Step::Reconnect => self.reconnect(),
        }
    }

    /// Until both have nothing more to say, which must come.
    fn settle(&mut self, whole: bool) {
        for _ in 0..1_000 {
            if !self.read() && !self.receive(whole) {
                return;
            }
        }
        panic!("client and server never agree");
    }
}

fn check(protocol: Protocol, first: &World, steps: &[Step], last: &World, whole: bool) {
    let mut stream = Stream::new(protocol, first);
    for step in steps {
        stream.step(step);
    }
    stream.settle(whole);
    stream.client.check_holds_the_good(&stream.snapshot);
    stream.publish(last);
    stream.settle(whole);
    stream.client.check_holds_the_good(&stream.snapshot);
    stream.publish(&last.healed());
    stream.settle(whole);
    stream.client.check_equals(&stream.snapshot);
    if protocol == Protocol::Delta {
        stream.reconnect();
        while stream.read() {}
        let content: BTreeMap<ResourceType, usize> =
            stream.responses.iter().map(|response| (response.kind(), response.resources().len())).collect();
        assert!(content.values().all(|count| *count == 0), "the same content is sent after a reconnect: {content:?}");
    }
}

/// Few for each run; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { 300 };
    ProptestConfig { cases, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_delta_client_ends_with_the_snapshot(first in worlds(), steps in steps(), last in worlds(), whole: bool) {
        check(Protocol::Delta, &first, &steps, &last, whole);
    }

    #[test]
    fn a_state_of_the_world_client_ends_with_the_snapshot(first in worlds(), steps in steps(), last in worlds(), whole: bool) {
        check(Protocol::StateOfTheWorld, &first, &steps, &last, whole);
    }
}
