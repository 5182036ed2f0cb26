//! A change of policy reaches a proxy in pieces: listeners, and the policies in them. Whatever order the pieces come in, whatever is refused,
//! lost or late, and whichever listener a connection began at: nothing passes that both the policy before and the policy after deny.
//!
//! Not in here: a port that becomes another protocol, the mesh's own names and its path normalization. Those are the listener's alone.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

#[path = "../../xds/tests/support/caller.rs"]
mod caller;
#[path = "mixes/documents.rs"]
mod documents;
#[path = "mixes/server.rs"]
mod server;
#[path = "support/state.rs"]
mod state;
#[path = "support/told.rs"]
mod told;

use std::collections::BTreeSet;
use std::sync::Arc;

use meshwright_translate::{MeshInputs, NodeMetadata};
use meshwright_xds::{Protocol, Resource, ResourceType, Snapshot};
use proptest::prelude::*;

use caller::Caller;
use documents::{Documents, documents};
use server::{Probe, Server, probes};
use told::{metadata, told};

#[derive(Debug, Clone)]
enum Step {
    Publish(Documents),
    Answer { kind: usize, refuse: bool, whole: bool },
    AnswerNothing { kind: usize },
    Reconnect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = || 0..ResourceType::ALL.len();
    let step = prop_oneof![
        2 => documents().prop_map(Step::Publish),
        12 => (kind(), prop::bool::weighted(0.2), any::<bool>()).prop_map(|(kind, refuse, whole)| Step::Answer { kind, refuse, whole }),
        1 => kind().prop_map(|kind| Step::AnswerNothing { kind }),
        1 => Just(Step::Reconnect),
    ];
    prop::collection::vec(step, 1..40)
}

/// What the proxy of the workload `a/a` is told.
fn resources(documents: &Documents) -> Vec<Resource> {
    let apps = server::PORTS.into_iter().map(|port| (port, "127.0.0.1:9000".parse().unwrap())).collect();
    told(&documents.state(), &NodeMetadata { apps, ..metadata("a", "a") }, &MeshInputs::default()).unwrap()
}

/// What was published, and what each of it permits on its own.
struct History {
    published: Vec<(Arc<Snapshot>, BTreeSet<Probe>)>,
    /// The first that the client may have something of.
    since: usize,
    /// Of every listener that the client ever held, the newest: connections that began there may go on.
    server: Server,
}

impl History {
    fn publish(&mut self, caller: &mut Caller, documents: &Documents) {
        let snapshot = Arc::new(Snapshot::build(resources(documents)).unwrap());
        let mut alone = Server::default();
        alone.hold(snapshot.resources(ResourceType::Listener).chain(snapshot.resources(ResourceType::ExtensionConfig)));
        let passes = probes().into_iter().filter(|probe| alone.permits(probe)).collect();
        self.published.push((Arc::clone(&snapshot), passes));
        caller.publish(&snapshot);
    }

    fn newest(&self) -> &Arc<Snapshot> {
        &self.published.last().unwrap().0
    }

    /// What the client holds now, of whichever snapshot it is.
    fn look(&mut self, caller: &Caller) {
        let mut held = Vec::new();
        let mut is_newest = caller.is_idle();
        for kind in [ResourceType::Listener, ResourceType::ExtensionConfig] {
            let holds = caller.held(kind);
            is_newest &= self.newest().resources(kind).map(|resource| (resource.name(), resource.version())).eq(holds);
            for (name, version) in caller.held(kind) {
                let of = |(snapshot, _): &(Arc<Snapshot>, _)| snapshot.get(kind, name).filter(|it| it.version() == version).cloned();
                held.push(self.published.iter().rev().find_map(of).unwrap());
            }
        }
        self.server.hold(held.iter());
        let window = &self.published[self.since..];
        for probe in probes() {
            let permitted = window.iter().any(|(_, passes)| passes.contains(&probe));
            assert!(permitted || !self.server.lets_through(&probe), "{probe:?} passes, and each of {} policies denies it", window.len());
        }
        if is_newest {
            self.since = self.published.len() - 1;
        }
    }
}

fn check(protocol: Protocol, first: &Documents, steps: &[Step]) {
    let mut caller = Caller::new(protocol);
    let mut history = History { published: Vec::new(), since: 0, server: Server::default() };
    history.publish(&mut caller, first);
    for kind in ResourceType::ALL {
        caller.ask(kind, vec!["*".to_owned()], Vec::new());
    }
    for step in steps {
        match step {
            Step::Publish(documents) => history.publish(&mut caller, documents),
            Step::Answer { kind, refuse, whole } => drop(caller.answer(ResourceType::ALL[*kind], *refuse, *whole)),
            Step::AnswerNothing { kind } => caller.answer_nothing(ResourceType::ALL[*kind]),
            Step::Reconnect => caller.reconnect(&Arc::clone(history.newest())),
        }
        history.look(&caller);
    }
    if steps.iter().all(|step| !matches!(step, Step::Answer { refuse: true, .. })) {
        while ResourceType::ALL.map(|kind| caller.answer(kind, false, false)).contains(&true) {
            history.look(&caller);
        }
        caller.check(&Arc::clone(history.newest()));
    }
}

/// Few for each run; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { 96 };
    ProptestConfig { cases, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_mix_allows_what_the_old_and_the_new_policy_deny(first in documents(), steps in steps()) {
        check(Protocol::Delta, &first, &steps);
    }

    #[test]
    fn nor_in_state_of_the_world(first in documents(), steps in steps()) {
        check(Protocol::StateOfTheWorld, &first, &steps);
    }
}

/// That the test can fail: were listeners alone to know where certificates are needed, each of these would open the port to everybody.
#[test]
fn a_listener_that_opens_meets_a_policy_that_does_not_and_the_other_way_round() {
    let closed = Documents::new(&["namespace: a}\nspec: {mtls: {mode: STRICT}}"], &[]);
    let named = "action: ALLOW, rules: [{from: [{source: {principals: [mesh.local/ns/b/sa/one]}}]}]";
    let open = Documents::new(&[], &[named]);
    let plaintext = |probe: &Probe| probe.principal.is_none();
    for (old, new) in [(&closed, &open), (&open, &closed)] {
        let (old, new) = (resources(old), resources(new));
        let (of_old, of_new) = (
            |kind: ResourceType| old.iter().filter(move |it| it.kind() == kind),
            |kind: ResourceType| new.iter().filter(move |it| it.kind() == kind),
        );
        let mut mix = Server::default();
        mix.hold(of_old(ResourceType::Listener).chain(of_new(ResourceType::Listener)).chain(of_old(ResourceType::ExtensionConfig)));
        assert!(!probes().iter().filter(|probe| plaintext(probe)).any(|probe| mix.lets_through(probe)), "new listeners, old policy");
        mix.hold(of_new(ResourceType::ExtensionConfig));
        assert!(!probes().iter().filter(|probe| plaintext(probe)).any(|probe| mix.lets_through(probe)), "old listeners, new policy");
        assert!(probes().iter().any(|probe| mix.lets_through(probe)), "something passes");
    }
}
