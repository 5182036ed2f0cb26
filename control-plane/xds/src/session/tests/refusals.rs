//! NACKs: told, and not argued with.

use ResourceType::{Cluster, Endpoint, Listener, Route};

use super::*;

#[test]
fn refused_content_is_not_sent_again_until_it_changes() {
    let mut delta = Delta::holding(&of(Cluster, &["a"]));
    delta.subscribe(Cluster, &[]);
    assert_eq!(delta.nack(Cluster, "1"), ["nack CDS a: no"]);
    assert!(delta.snapshot(&of(Cluster, &["a"])).is_empty());
    assert_eq!(delta.snapshot(&of(Cluster, &["a", "b"])), ["CDS 2 +b"], "everything else moves on");
    delta.ack(Cluster, "2");
    assert_eq!(delta.snapshot(&of(Cluster, &["a=2", "b"])), ["CDS 3 +a"]);
    assert_eq!(delta.ack(Cluster, "3"), ["ack CDS +a"]);
}

#[test]
fn the_content_before_the_refused_can_come_back() {
    let mut delta = Delta::holding(&of(Cluster, &["a"]));
    delta.subscribe(Cluster, &[]);
    delta.ack(Cluster, "1");
    delta.snapshot(&of(Cluster, &["a=bad"]));
    delta.nack(Cluster, "2");
    assert_eq!(delta.snapshot(&of(Cluster, &["a"])), ["CDS 3 +a"]);
}

#[test]
fn a_nack_carries_subscriptions() {
    let mut delta = Delta::holding(&of(Endpoint, &["a", "b", "c"]));
    delta.subscribe(Endpoint, &["a"]);
    let (type_url, nonce, error) = (Endpoint.type_url().to_owned(), "1".to_owned(), Some("no".to_owned()));
    let (subscribe, unsubscribe) = (owned(&["b", "c"]), owned(&["a"]));
    let nack = DeltaRequest { type_url, nonce, error, subscribe, unsubscribe, ..DeltaRequest::default() };
    assert_eq!(delta.request(nack), ["nack EDS a: no", "EDS 2 +b +c"]);
    let mut sotw = Sotw::holding(&of(Endpoint, &["a", "b"]));
    sotw.request(Endpoint, "", &["a"]);
    assert_eq!(sotw.nack(Endpoint, "1", &["a", "b"]), ["nack EDS a: no", "EDS 2 +b"]);
}

#[test]
fn what_was_refused_together_is_tried_in_parts() {
    let mut delta = Delta::holding(&of(Route, &["a", "b", "c"]));
    delta.subscribe(Route, &["a", "b", "c"]);
    assert_eq!(delta.nack(Route, "1"), ["nack RDS a b c: no", "RDS 2 +a"]);
    assert_eq!(delta.ack(Route, "2"), ["ack RDS +a", "RDS 3 +b +c"]);
    assert_eq!(delta.nack(Route, "3"), ["nack RDS b c: no", "RDS 4 +b"]);
    assert_eq!(delta.nack(Route, "4"), ["nack RDS b: no", "RDS 5 +c"]);
    assert_eq!(delta.ack(Route, "5"), ["ack RDS +c"], "b stands alone, and is left alone");
    assert!(delta.snapshot(&of(Route, &["a", "b", "c"])).is_empty());
}

#[test]
fn a_change_comes_before_the_parts_that_are_tried() {
    let mut delta = Delta::holding(&of(Route, &["a", "b"]));
    delta.subscribe(Route, &["a", "b"]);
    delta.snapshot(&of(Route, &["a=2", "b"]));
    assert_eq!(delta.nack(Route, "1"), ["nack RDS a b: no", "RDS 2 +a"]);
    assert_eq!(delta.ack(Route, "2"), ["ack RDS +a", "RDS 3 +b"], "the refused `a` is no more");
    assert_eq!(delta.ack(Route, "3"), ["ack RDS +b"]);
}

#[test]
fn what_was_refused_with_others_and_went_meanwhile_may_come_back() {
    let mut delta = Delta::holding(&of(Route, &["a", "b"]));
    delta.subscribe(Route, &["a", "b"]);
    delta.snapshot(&snapshot([]));
    assert_eq!(delta.nack(Route, "1"), ["nack RDS a b: no", "RDS 2 -a -b"]);
    delta.ack(Route, "2");
    assert_eq!(delta.snapshot(&of(Route, &["a"])), ["RDS 3 +a"]);
}

#[test]
fn what_was_refused_is_removed_when_it_goes() {
    // The client goes on with the version before, and must not for ever.
    let mut delta = Delta::holding(&of(Listener, &["a"]));
    delta.subscribe(Listener, &[]);
    delta.ack(Listener, "1");
    delta.snapshot(&of(Listener, &["a=bad"]));
    delta.nack(Listener, "2");
    assert_eq!(delta.snapshot(&snapshot([])), ["LDS 3 -a"]);
}

#[test]
fn a_removal_beside_refused_content_is_tried_again_and_one_alone_is_not() {
    let mut delta = Delta::holding(&of(Listener, &["a", "b"]));
    delta.subscribe(Listener, &[]);
    delta.ack(Listener, "1");
    assert_eq!(delta.snapshot(&of(Listener, &["a=bad"])), ["LDS 2 +a -b"]);
    assert_eq!(delta.nack(Listener, "2"), ["nack LDS a: no", "LDS 3 -b"]);
    assert_eq!(delta.nack(Listener, "3"), ["nack LDS : no"]);
}

#[test]
fn what_a_refused_listener_replaced_keeps_what_it_refers_to() {
    let route = |content| resource(Route, "r", content);
    let old = snapshot([referring(Listener, "l", "1", &[(Route, "r"), (Cluster, "c")]), route("1"), resource(Cluster, "c", "1")]);
    let mut delta = Delta::holding(&old);
    delta.subscribe(Cluster, &[]);
    delta.ack(Cluster, "1");
    delta.subscribe(Listener, &[]);
    delta.ack(Listener, "2");
    assert_eq!(delta.snapshot(&snapshot([resource(Listener, "l", "bad")])), ["LDS 3 +l"]);
    assert_eq!(delta.nack(Listener, "3"), ["nack LDS l: no"], "the cluster stays");
    assert_eq!(delta.snapshot(&snapshot([resource(Listener, "l", "good")])), ["LDS 4 +l"]);
    assert_eq!(delta.ack(Listener, "4"), ["ack LDS +l", "CDS 5 -c"]);
}

#[test]
fn state_of_the_world_repeats_refused_clusters_only_beside_a_change() {
    // Left out of the full state, the last good version would be deleted.
    let mut sotw = Sotw::holding(&of(Cluster, &["a"]));
    sotw.request(Cluster, "", &[]);
    assert_eq!(sotw.nack(Cluster, "1", &[]), ["nack CDS a: no"]);
    assert!(sotw.snapshot(&of(Cluster, &["a"])).is_empty());
    assert_eq!(sotw.snapshot(&of(Cluster, &["a", "b"])), ["CDS 2 +a +b"]);
    assert_eq!(sotw.nack(Cluster, "2", &[]), ["nack CDS a b: no"]);
    assert!(sotw.snapshot(&of(Cluster, &["a", "b"])).is_empty());
}

#[test]
fn state_of_the_world_tells_what_is_gone_once_nothing_refused_is_left() {
    let mut sotw = Sotw::holding(&of(Listener, &["a"]));
    sotw.request(Listener, "", &["a", "b"]);
    sotw.request(Listener, "1", &["a", "b"]);
    assert_eq!(sotw.snapshot(&of(Listener, &["b=bad"])), ["LDS 2 +b -a"]);
    assert_eq!(sotw.nack(Listener, "2", &["a", "b"]), ["nack LDS b: no"], "it holds `a` still");
    assert!(sotw.snapshot(&of(Listener, &["b=bad"])).is_empty());
    assert_eq!(sotw.request(Listener, "2", &["a"]), ["LDS 3"], "without `b` it can take that `a` is gone");
    assert_eq!(sotw.request(Listener, "3", &["a"]), ["ack LDS"]);
}
