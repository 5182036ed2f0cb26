//! A mesh of three proxies, a control plane that restarts, and everything that can happen to them in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;

const TTL: u64 = 100;

fn root(n: u8) -> Fingerprint {
    Fingerprint::from_bytes([n; 32])
}

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(second)
}

#[derive(Debug, Clone)]
enum Event {
    Time(u64),
    Rotate,
    Abort,
    Tick,
    Restart,
    Connect(usize),
    Disconnect(usize),
    Deliver(usize),
    Renew(usize),
    /// The agent reaches the identity service although its Envoy has no stream.
    RenewAlone(usize),
    Join(usize),
}

#[derive(Debug, Clone, Default)]
struct Proxy {
    connected: bool,
    leaf: Option<(Fingerprint, u64)>,
    /// What its Envoy verifies peers against.
    bundle: BTreeSet<Fingerprint>,
    /// What the running control plane knows of it: whether it acknowledged the bundle of now, since when it is away.
    seen: Option<(bool, Option<u64>)>,
}

struct World {
    now: u64,
    phase: Phase,
    roots: u8,
    leaves_until: u64,
    unknown_until: u64,
    issued: BTreeMap<String, SystemTime>,
    proxies: Vec<Proxy>,
}

impl World {
    fn new() -> Self {
        let proxies = vec![Proxy::default(); 3];
        Self {
            now: 1000,
            phase: Phase::Stable { root: root(0) },
            roots: 0,
            leaves_until: 0,
            unknown_until: 0,
            issued: BTreeMap::new(),
            proxies,
        }
    }

    fn facts(&self) -> Facts {
        let proxy = |(name, proxy): (usize, &Proxy)| {
            let (holds, away) = proxy.seen?;
            Some(ObservedProxy { name: name.to_string(), identity: name.to_string(), holds, away_since: away.map(at) })
        };
        let proxies = self.proxies.iter().enumerate().filter_map(proxy).collect();
        let observed = Observed { proxies, issued: self.issued.clone(), leaf_ttl: Duration::from_secs(TTL), fetched_by: None };
        let unacknowledged = observed.unacknowledged(at(self.now));
        Facts { unacknowledged, leaves_until: self.leaves_until, unknown_until: self.unknown_until, ..Facts::default() }
    }

    fn enter(&mut self, phase: Phase) {
        if phase.bundle() != self.phase.bundle() {
            let same: BTreeSet<_> = phase.bundle().into_iter().collect();
            for proxy in &mut self.proxies {
                proxy.seen = proxy.seen.map(|(_, away)| (proxy.bundle == same, away));
            }
        }
        self.phase = phase;
    }

    fn issue(&mut self, n: usize) {
        let until = self.now + TTL;
        self.proxies[n].leaf = Some((self.phase.signer(), until));
        self.leaves_until = self.leaves_until.max(until);
        self.issued.insert(n.to_string(), at(until));
    }

    fn alive(&self, n: usize) -> bool {
        self.proxies[n].leaf.is_some_and(|(_, until)| self.now <= until)
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Time(seconds) => self.now += seconds,
            Event::Rotate => {
                self.roots = self.roots.wrapping_add(1);
                if let Ok(phase) = self.phase.start(root(self.roots), self.leaves_until, at(self.now)) {
                    self.enter(phase);
                }
            }
            Event::Abort => {
                if let Ok(phase) = self.phase.abort(self.leaves_until, at(self.now)) {
                    self.enter(phase);
                }
            }
            Event::Tick => {
                if let Some(phase) = self.phase.next(&self.facts(), at(self.now)) {
                    self.enter(phase);
                }
            }
            Event::Restart => {
                self.phase = serde_json::from_str(&serde_json::to_string(&self.phase).unwrap()).unwrap();
                self.leaves_until = self.leaves_until.max(self.now + TTL);
                self.unknown_until = self.now + TTL;
                self.issued.clear();
                for proxy in &mut self.proxies {
                    (proxy.connected, proxy.seen) = (false, None);
                }
            }
            Event::Connect(n) => (self.proxies[n].connected, self.proxies[n].seen) = (true, Some((false, None))),
            Event::Disconnect(n) => {
                let now = self.now;
                let proxy = &mut self.proxies[n];
                if proxy.connected {
                    (proxy.connected, proxy.seen) = (false, proxy.seen.map(|(holds, _)| (holds, Some(now))));
                }
            }
            Event::Deliver(n) if self.proxies[n].connected => {
                self.proxies[n].bundle = self.phase.bundle().into_iter().collect();
                self.proxies[n].seen = Some((true, None));
            }
            Event::Renew(n) if self.proxies[n].connected && self.alive(n) => self.issue(n),
            Event::RenewAlone(n) if self.alive(n) => self.issue(n),
            Event::Join(n) if !self.alive(n) => {
                self.proxies[n] = Proxy::default();
                self.happen(&Event::Connect(n));
                self.happen(&Event::Deliver(n));
                self.issue(n);
            }
            Event::Deliver(_) | Event::Renew(_) | Event::RenewAlone(_) | Event::Join(_) => {}
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let living = || self.proxies.iter().filter(|proxy| proxy.leaf.is_some_and(|(_, until)| self.now <= until));
        for peer in living() {
            for verifier in living() {
                let signed_by = peer.leaf.unwrap().0;
                prop_assert!(verifier.bundle.contains(&signed_by), "{:?}: {verifier:?} refuses {peer:?}", self.phase);
            }
        }
        Ok(())
    }
}

fn event() -> impl Strategy<Value = Event> {
    let n = || 0..3_usize;
    prop_oneof![
        4 => (0..TTL * 3 / 2).prop_map(Event::Time),
        2 => Just(Event::Rotate),
        1 => Just(Event::Abort),
        8 => Just(Event::Tick),
        1 => Just(Event::Restart),
        4 => n().prop_map(Event::Connect),
        1 => n().prop_map(Event::Disconnect),
        6 => n().prop_map(Event::Deliver),
        4 => n().prop_map(Event::Renew),
        1 => n().prop_map(Event::RenewAlone),
        4 => n().prop_map(Event::Join),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]
    #[test]
    fn a_living_leaf_is_accepted_by_every_living_proxy(events in proptest::collection::vec(event(), 1..80)) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
            world.check()?;
        }
    }
}

/// The property above is worth something only when rollovers come to their end in it.
#[test]
fn a_mesh_that_behaves_gets_through() {
    let mut world = World::new();
    (0..3).for_each(|n| world.happen(&Event::Join(n)));
    world.happen(&Event::Rotate);
    let mut phases = vec![world.phase.name()];
    for _ in 0..40 {
        for n in 0..3 {
            world.happen(&Event::Deliver(n));
            world.happen(&Event::Renew(n));
        }
        world.happen(&Event::Time(10));
        world.happen(&Event::Tick);
        world.check().unwrap();
        phases.push(world.phase.name());
    }
    phases.dedup();
    assert_eq!(phases, ["publish", "sign", "retire", "stable"]);
    assert_eq!(world.phase, Phase::Stable { root: root(1) });
}

#[test]
fn each_blocker_is_said_and_a_root_in_use_is_not_retired() {
    let stable = Phase::Stable { root: root(1) };
    let publish = stable.start(root(2), 500, at(400)).unwrap();
    let facts =
        Facts { unacknowledged: vec!["`cart`".to_owned()], leaves_until: 600, unknown_until: 450, old_tokens_until: 700, fetched_by: 0 };
    assert_eq!(publish.blockers(&facts, at(400)), [Blocker::Unacknowledged("`cart`".to_owned()), Blocker::Untold(500)]);
    assert_eq!((publish.next(&facts, at(400)), publish.safe_at(&facts, at(400))), (None, None));
    let acknowledged = Facts { unacknowledged: Vec::new(), ..facts };
    assert_eq!(publish.safe_at(&acknowledged, at(400)), Some(501));
    let confirmed = publish.confirm().unwrap();
    assert!(confirmed.next(&acknowledged, at(400)).is_some());
    let fetched = Facts { fetched_by: 450, ..acknowledged.clone() };
    assert_eq!((confirmed.blockers(&fetched, at(450)), confirmed.safe_at(&fetched, at(400))), (vec![Blocker::Unfetched(450)], Some(451)));
    assert!(confirmed.next(&fetched, at(451)).is_some());
    let sign = publish.next(&acknowledged, at(501)).unwrap();
    assert_eq!((sign.signer(), sign.bundle()), (root(2), vec![root(2), root(1)]));
    assert_eq!(sign.blockers(&acknowledged, at(501)), [Blocker::Leaves(600), Blocker::Tokens(700)]);
    assert_eq!(sign.safe_at(&acknowledged, at(501)), Some(701));
    let refused = sign.retire(root(1), &acknowledged, at(501)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("the root {} is in use: certificates of the old root live until 1970-01-01T00:10:00Z", root(1))
    );
    assert!(matches!(sign.retire(root(2), &acknowledged, at(9999)), Err(RolloverError::InUse { .. })));
    assert!(matches!(stable.retire(root(1), &acknowledged, at(9999)), Err(RolloverError::InUse { .. })));
    let retire = sign.retire(root(1), &acknowledged, at(701)).unwrap();
    assert_eq!((retire.bundle(), retire.kept()), (vec![root(2)], vec![root(2), root(1)]));
    assert_eq!(retire.abort(0, at(702)), Err(RolloverError::TooLate));
    assert_eq!(retire.next(&acknowledged, at(702)), Some(Phase::Stable { root: root(2) }));
}

#[test]
fn an_abort_drops_what_never_signed_and_turns_round_what_did() {
    let stable = Phase::Stable { root: root(1) };
    assert_eq!(stable.abort(0, at(1)), Err(RolloverError::None));
    let publish = stable.start(root(2), 500, at(400)).unwrap();
    assert_eq!(publish.start(root(3), 500, at(400)), Err(RolloverError::UnderWay("publish")));
    assert_eq!(publish.abort(500, at(400)), Ok(stable.clone()));
    assert_eq!(stable.start(root(1), 0, at(1)), Err(RolloverError::SameRoot(root(1))));
    let sign = publish.next(&Facts { leaves_until: 600, ..Facts::default() }, at(501)).unwrap();
    let back = sign.abort(900, at(550)).unwrap();
    assert_eq!((back.signer(), back.bundle()), (root(1), vec![root(1), root(2)]));
    assert_eq!(back.blockers(&Facts::default(), at(900)), [Blocker::Leaves(900)]);
    assert_eq!(back.next(&Facts::default(), at(901)), Some(Phase::Retire { old: root(2), new: root(1), since: 901 }));
}
