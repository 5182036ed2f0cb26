//! Whatever a client asks for, in whatever order, and whatever it refuses: it ends with what it asked for, and hears nothing in vain.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod support {
    pub(crate) mod caller;
}

use std::sync::Arc;

use meshwright_xds::{Protocol, Resource, ResourceType, Snapshot};
use proptest::prelude::*;

use support::caller::Caller;

/// Names of each type that exist at some time.
const NAMES: usize = 3;

/// Of each type and name; 0 is absence.
type Contents = [[u8; NAMES]; ResourceType::ALL.len()];

#[derive(Debug, Clone)]
enum Step {
    Publish(Contents),
    Ask { kind: usize, subscribe: u8, unsubscribe: u8 },
    Answer { kind: usize, refuse: bool, whole: bool },
    AnswerNothing { kind: usize },
    Reconnect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = || 0..ResourceType::ALL.len();
    let step = prop_oneof![
        3 => contents().prop_map(Step::Publish),
        6 => (kind(), 0..16_u8, 0..16_u8).prop_map(|(kind, subscribe, unsubscribe)| Step::Ask { kind, subscribe, unsubscribe }),
        12 => (kind(), prop::bool::weighted(0.3), any::<bool>()).prop_map(|(kind, refuse, whole)| Step::Answer { kind, refuse, whole }),
        1 => kind().prop_map(|kind| Step::AnswerNothing { kind }),
        1 => Just(Step::Reconnect),
    ];
    prop::collection::vec(step, 1..100)
}

fn contents() -> impl Strategy<Value = Contents> {
    prop::array::uniform6(prop::array::uniform3(0..3_u8))
}

fn snapshot(contents: &Contents, suffix: &str) -> Arc<Snapshot> {
    let resources = ResourceType::ALL.into_iter().zip(contents).flat_map(|(kind, contents)| {
        let present = contents.iter().enumerate().filter(|(_, content)| **content != 0);
        present.map(move |(index, content)| Resource::new(kind, format!("n{index}"), format!("{content}{suffix}").into(), Vec::new()))
    });
    Arc::new(Snapshot::build(resources).unwrap())
}

/// A bit for each name, and one for `*`.
fn names(mask: u8) -> Vec<String> {
    ["n0", "n1", "n2", "*"].into_iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, name)| name.to_owned()).collect()
}

fn settle(caller: &mut Caller) {
    for _ in 0..200 {
        let answers = ResourceType::ALL.map(|kind| caller.answer(kind, false, false));
        if answers.iter().all(|answered| !answered) && caller.is_idle() {
            return;
        }
    }
    panic!("client and server never agree");
}

fn check(protocol: Protocol, polite: bool, steps: &[Step], last: &Contents) {
    let mut caller = Caller::new(protocol);
    let mut current = snapshot(&[[0; NAMES]; ResourceType::ALL.len()], "");
    caller.publish(&current);
    for step in steps {
        match step {
            Step::Publish(contents) => {
                current = snapshot(contents, "");
                caller.publish(&current);
            }
            // What is in both lists is meant by neither.
            Step::Ask { kind, subscribe, unsubscribe } => {
                caller.ask(ResourceType::ALL[*kind], names(subscribe & !unsubscribe), names(unsubscribe & !subscribe));
            }
            Step::Answer { kind, refuse, whole } => drop(caller.answer(ResourceType::ALL[*kind], *refuse && !polite, *whole)),
            Step::AnswerNothing { kind } => caller.answer_nothing(ResourceType::ALL[*kind]),
            Step::Reconnect => caller.reconnect(&current),
        }
    }
    settle(&mut caller);
    if polite {
        // Who refuses nothing need not wait for the next change.
        caller.check(&current);
    }
    // Nothing of it was ever refused.
    current = snapshot(last, " at last");
    caller.publish(&current);
    settle(&mut caller);
    caller.check(&current);
    caller.reconnect(&current);
    settle(&mut caller);
    caller.check(&current);
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
    fn a_delta_client_holds_what_it_asked_for(polite: bool, steps in steps(), last in contents()) {
        check(Protocol::Delta, polite, &steps, &last);
    }

    #[test]
    fn a_state_of_the_world_client_holds_what_it_asked_for(polite: bool, steps in steps(), last in contents()) {
        check(Protocol::StateOfTheWorld, polite, &steps, &last);
    }
}
