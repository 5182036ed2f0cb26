//! A client that comes back holds much already; what a change makes it wait for is sent all the same.

use ResourceType::{Cluster, Endpoint, ExtensionConfig, Listener, Route, Secret};

use super::*;

#[test]
fn dependents_that_are_subscribed_to_after_a_reconnect_follow_their_changed_cluster() {
    let changed =
        [referring(Cluster, "c", "2", &[(Endpoint, "e"), (Secret, "s")]), resource(Endpoint, "e", "1"), resource(Secret, "s", "1")];
    let mut delta = Delta::holding(&snapshot(changed));
    assert_eq!(delta.reconnect(Cluster, &[], &[("c", "1")]), ["ack CDS +c", "CDS 1 +c"]);
    // Unchanged, and still the cluster waits for both until they are sent after it.
    assert_eq!(delta.reconnect(Endpoint, &["e"], &[("e", "1")]), ["ack EDS +e", "EDS 2 +e"]);
    assert_eq!(delta.reconnect(Secret, &["s"], &[("s", "1")]), ["ack SDS +s", "SDS 3 +s"]);
    assert_eq!(delta.ack(Endpoint, "2"), ["ack EDS +e"], "once");
    assert_eq!(delta.ack(Secret, "3"), ["ack SDS +s"], "once");
}

#[test]
fn dependents_that_are_subscribed_to_after_a_reconnect_follow_their_changed_listener() {
    let listener = referring(Listener, "l", "2", &[(Secret, "s"), (ExtensionConfig, "x"), (Route, "r")]);
    let mut delta =
        Delta::holding(&snapshot([listener, resource(Secret, "s", "1"), resource(ExtensionConfig, "x", "1"), resource(Route, "r", "1")]));
    assert_eq!(delta.reconnect(Listener, &[], &[("l", "1")]), ["ack LDS +l", "LDS 1 +l"]);
    assert_eq!(delta.reconnect(Secret, &["s"], &[("s", "1")]), ["ack SDS +s", "SDS 2 +s"]);
    assert_eq!(delta.reconnect(ExtensionConfig, &["x"], &[("x", "1")]), ["ack ECDS +x", "ECDS 3 +x"]);
    assert_eq!(delta.reconnect(Route, &["r"], &[("r", "1")]), ["ack RDS +r"], "routes are reused");
}

#[test]
fn dependents_of_what_did_not_change_are_not_repeated_after_a_reconnect() {
    let cluster = |name, content, endpoints| referring(Cluster, name, content, &[(Endpoint, endpoints)]);
    let state = [cluster("a", "1", "ea"), cluster("b", "2", "eb"), resource(Endpoint, "ea", "1"), resource(Endpoint, "eb", "1")];
    let mut delta = Delta::holding(&snapshot(state));
    assert_eq!(delta.reconnect(Cluster, &[], &[("a", "1"), ("b", "1")]), ["ack CDS +a +b", "CDS 1 +b"]);
    assert_eq!(delta.reconnect(Endpoint, &["ea", "eb"], &[("ea", "1"), ("eb", "1")]), ["ack EDS +ea +eb", "EDS 2 +eb"]);
}

#[test]
fn what_a_changed_cluster_waits_for_is_not_sent_to_who_did_not_ask() {
    let mut delta = Delta::holding(&snapshot([
        referring(Cluster, "c", "2", &[(Endpoint, "e")]),
        resource(Endpoint, "e", "1"),
        resource(Endpoint, "f", "1"),
    ]));
    delta.reconnect(Cluster, &[], &[("c", "1")]);
    assert_eq!(delta.reconnect(Endpoint, &["f"], &[("f", "1")]), ["ack EDS +f"]);
}
