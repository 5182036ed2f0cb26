use std::collections::BTreeSet;

use super::*;
use crate::key_set::tests::set;
use crate::wanted::Want;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);

fn uri(name: &str) -> KeySource {
    KeySource::Uri(format!("https://{name}.example/keys"))
}

fn wanted(names: &[&str]) -> Wanted {
    let want = |name: &&str| (uri(name), Want { timeout: TIMEOUT, issuers: BTreeSet::from([(*name).to_owned()]) });
    names.iter().map(want).collect()
}

/// A plan that wants `a`, and the time at which it began.
fn plan() -> (Plan, Instant) {
    let (mut plan, now) = (Plan::default(), Instant::now());
    plan.want(wanted(&["a"]), |_| None, now);
    (plan, now)
}

fn fetched(plan: &mut Plan, kid: &str, now: Instant) {
    assert_eq!(plan.due(now), [(uri("a"), TIMEOUT)], "it is due");
    plan.succeeded(&uri("a"), set(kid), now);
}

#[test]
fn a_source_is_fetched_at_once_then_every_twenty_minutes() {
    let (mut plan, now) = plan();
    assert_eq!(plan.due(now), [(uri("a"), TIMEOUT)]);
    assert_eq!(plan.due(now + MINUTE), [], "not twice at the same time");
    assert_eq!(plan.next(), None);
    plan.succeeded(&uri("a"), set("k"), now + SECOND);
    assert_eq!(plan.key_sets(), [(uri("a"), set("k").jwks().to_owned())].into());
    assert_eq!(plan.next(), Some(now + SECOND + 20 * MINUTE));
    assert_eq!(plan.due(now + 20 * MINUTE), []);
    assert_eq!(plan.due(now + SECOND + 20 * MINUTE).len(), 1);
}

#[test]
fn keys_in_hand_stay_however_long_fetching_fails() {
    let (mut plan, mut now) = plan();
    fetched(&mut plan, "k", now);
    let held = plan.key_sets();
    let mut waits = Vec::new();
    for _ in 0..8 {
        let next = plan.next().unwrap();
        waits.push(next.duration_since(now).as_secs() / 60);
        now = next;
        assert_eq!(plan.due(now).len(), 1);
        plan.failed(&uri("a"), "gone".into(), now);
        assert_eq!(plan.key_sets(), held);
    }
    assert_eq!(waits, [20, 1, 2, 4, 8, 16, 20, 20]);
    let report = plan.report().remove(0);
    assert_eq!((report.keys, report.failures, report.last_error.as_deref()), (1, 8, Some("gone")));
    now += 20 * MINUTE;
    fetched(&mut plan, "k2", now);
    assert_eq!(plan.next(), Some(now + 20 * MINUTE), "one success ends the counting");
    assert_eq!(plan.report()[0].last_error, None);
}

#[test]
fn without_keys_there_is_no_set_and_less_waiting() {
    let (mut plan, mut now) = plan();
    let mut waits = Vec::new();
    for _ in 0..7 {
        assert_eq!(plan.due(now).len(), 1);
        plan.failed(&uri("a"), "gone".into(), now);
        let next = plan.next().unwrap();
        waits.push(next.duration_since(now).as_secs());
        now = next;
    }
    assert_eq!(waits, [5, 10, 20, 40, 60, 60, 60]);
    assert_eq!(plan.key_sets(), KeySets::new());
    assert_eq!(plan.report()[0].keys, 0);
}

#[test]
fn an_unknown_key_is_fetched_for_once_and_not_more_often_than_every_thirty_seconds() {
    let (mut plan, start) = plan();
    fetched(&mut plan, "old", start);
    let now = start + SECOND;
    plan.unknown_key("b", "new", now);
    assert_eq!(plan.due(now), [], "another issuer's");
    plan.unknown_key("a", "old", now);
    assert_eq!(plan.due(now), [], "the proxy is behind");
    plan.unknown_key("a", "new", now);
    fetched(&mut plan, "new", now);
    // From here on a caller makes up names.
    plan.unknown_key("a", "x", now + SECOND);
    plan.unknown_key("a", "y", now + 2 * SECOND);
    assert_eq!(plan.next(), Some(now + 30 * SECOND));
    assert_eq!(plan.due(now + 29 * SECOND), []);
    fetched(&mut plan, "new", now + 30 * SECOND);
    for kid in ["x", "y"] {
        plan.unknown_key("a", kid, now + 31 * SECOND);
    }
    assert_eq!(plan.next(), Some(now + 30 * SECOND + 20 * MINUTE), "what was not found is not looked for again");
    plan.unknown_key("a", "x", now + 6 * MINUTE);
    assert_eq!(plan.next(), Some(now + 6 * MINUTE), "until some time has passed");
}

#[test]
fn an_unknown_key_seen_during_a_fetch_has_one_of_its_own() {
    let (mut plan, now) = plan();
    assert_eq!(plan.due(now).len(), 1);
    plan.unknown_key("a", "new", now);
    assert_eq!(plan.due(now), []);
    plan.succeeded(&uri("a"), set("old"), now + SECOND);
    fetched(&mut plan, "new", now + SECOND);
    assert_eq!(plan.next(), Some(now + SECOND + 20 * MINUTE));
}

#[test]
fn after_a_failure_a_token_may_ask_again() {
    let (mut plan, now) = plan();
    fetched(&mut plan, "old", now);
    plan.unknown_key("a", "new", now);
    assert_eq!(plan.due(now).len(), 1);
    plan.failed(&uri("a"), "gone".into(), now);
    plan.unknown_key("a", "new", now + SECOND);
    assert_eq!(plan.next(), Some(now + 30 * SECOND), "before the minute is over");
}

#[test]
fn sources_come_with_what_was_kept_and_go_with_their_documents() {
    let (mut plan, now) = (Plan::default(), Instant::now());
    plan.want(wanted(&["a", "b"]), |source| (*source == uri("a")).then(|| set("kept")), now);
    assert_eq!(plan.key_sets().keys().collect::<Vec<_>>(), [&uri("a")]);
    assert_eq!(plan.due(now).len(), 2, "what was kept is fetched anew all the same");
    let mut longer = wanted(&["a"]);
    longer.get_mut(&uri("a")).unwrap().timeout = MINUTE;
    plan.want(longer, |_| panic!("`a` is held"), now);
    assert_eq!(plan.key_sets().len(), 1);
    plan.succeeded(&uri("b"), set("late"), now);
    assert_eq!(plan.key_sets().keys().collect::<Vec<_>>(), [&uri("a")], "nobody wants it any more");
    plan.failed(&uri("a"), "gone".into(), now);
    assert_eq!(plan.due(now + MINUTE), [(uri("a"), MINUTE)]);
}
