//! Make before break: what is referred to before what refers to it, and removals last.

use ResourceType::{Cluster, Endpoint, ExtensionConfig, Listener, Route, Secret};

use super::*;

/// One of each, all of which refer to each other as Envoy's do.
fn mesh(content: [&str; 6]) -> Arc<Snapshot> {
    let [cluster, endpoints, listener, secret, extension, route] = content;
    snapshot([
        referring(Cluster, "c", cluster, &[(Endpoint, "e"), (Secret, "s")]),
        resource(Endpoint, "e", endpoints),
        referring(Listener, "l", listener, &[(Route, "r"), (Secret, "s"), (ExtensionConfig, "x")]),
        resource(Secret, "s", secret),
        resource(ExtensionConfig, "x", extension),
        referring(Route, "r", route, &[(Cluster, "c")]),
    ])
}

/// A client that holds all of it.
fn in_sync() -> Delta {
    let mut delta = Delta::holding(&mesh(["1"; 6]));
    assert_eq!(delta.subscribe(Cluster, &[]), ["CDS 1 +c"]);
    delta.ack(Cluster, "1");
    assert_eq!(delta.subscribe(Endpoint, &["e"]), ["EDS 2 +e"]);
    delta.ack(Endpoint, "2");
    assert_eq!(delta.subscribe(Listener, &[]), ["LDS 3 +l"]);
    delta.ack(Listener, "3");
    for (kind, name, nonce) in [(Secret, "s", "4"), (ExtensionConfig, "x", "5"), (Route, "r", "6")] {
        assert_eq!(delta.subscribe(kind, &[name]), [format!("{} {nonce} +{name}", kind.short_name())]);
        delta.ack(kind, nonce);
    }
    assert!(delta.snapshot(&mesh(["1"; 6])).is_empty(), "in sync");
    delta
}

#[test]
fn everything_at_once_goes_in_order() {
    let mut delta = in_sync();
    assert_eq!(delta.snapshot(&mesh(["2"; 6])), ["CDS 7 +c", "EDS 8 +e", "ECDS 9 +x", "LDS 10 +l", "SDS 11 +s", "RDS 12 +r"]);
    assert_eq!(delta.ack(ExtensionConfig, "9"), ["ack ECDS +x", "ECDS 13 +x"], "the listener waits for what comes after it");
    assert_eq!(delta.ack(ExtensionConfig, "13"), ["ack ECDS +x"], "once");
}

#[test]
fn endpoints_and_secrets_follow_a_changed_cluster_unasked() {
    assert_eq!(in_sync().snapshot(&mesh(["2", "1", "1", "1", "1", "1"])), ["CDS 7 +c", "EDS 8 +e", "SDS 9 +s"]);
}

#[test]
fn endpoints_that_went_just_before_the_cluster_go_again() {
    let mut delta = in_sync();
    assert_eq!(delta.snapshot(&mesh(["1", "2", "1", "1", "1", "1"])), ["EDS 7 +e"]);
    assert_eq!(delta.snapshot(&mesh(["2", "2", "1", "1", "1", "1"])), ["CDS 8 +c", "SDS 9 +s"]);
    assert_eq!(delta.ack(Endpoint, "7"), ["ack EDS +e", "EDS 10 +e"]);
    assert_eq!(delta.ack(Endpoint, "10"), ["ack EDS +e"], "once");
}

#[test]
fn secrets_and_extensions_follow_a_changed_listener_and_routes_need_not() {
    assert_eq!(in_sync().snapshot(&mesh(["1", "1", "2", "1", "1", "1"])), ["LDS 7 +l", "SDS 8 +s", "ECDS 9 +x"]);
}

#[test]
fn state_of_the_world_repeats_only_what_changed_resources_wait_for() {
    let state = |a: &str| {
        let cluster = |name, content, endpoints| referring(Cluster, name, content, &[(Endpoint, endpoints)]);
        snapshot([cluster("a", a, "ea"), cluster("b", "1", "eb"), resource(Endpoint, "ea", "1"), resource(Endpoint, "eb", "1")])
    };
    let mut sotw = Sotw::holding(&state("1"));
    sotw.request(Cluster, "", &[]);
    sotw.request(Cluster, "1", &[]);
    sotw.request(Endpoint, "", &["ea", "eb"]);
    sotw.request(Endpoint, "2", &["ea", "eb"]);
    assert_eq!(sotw.snapshot(&state("2")), ["CDS 3 +a +b", "EDS 4 +ea"]);
}

/// As [`mesh`], with a second cluster that the route uses.
fn with_new_cluster() -> Arc<Snapshot> {
    snapshot([
        referring(Cluster, "c", "1", &[(Endpoint, "e"), (Secret, "s")]),
        referring(Cluster, "new", "1", &[(Endpoint, "f")]),
        resource(Endpoint, "e", "1"),
        resource(Endpoint, "f", "1"),
        referring(Listener, "l", "2", &[(Route, "r"), (Secret, "s"), (ExtensionConfig, "x")]),
        resource(Secret, "s", "1"),
        resource(ExtensionConfig, "x", "1"),
        referring(Route, "r", "2", &[(Cluster, "c"), (Cluster, "new")]),
    ])
}

#[test]
fn listeners_and_routes_wait_until_new_clusters_are_acknowledged() {
    let mut delta = in_sync();
    assert_eq!(delta.snapshot(&with_new_cluster()), ["CDS 7 +new"]);
    assert_eq!(delta.subscribe(Endpoint, &["f"]), ["EDS 8 +f"]);
    assert_eq!(delta.ack(Endpoint, "8"), ["ack EDS +f"]);
    assert_eq!(delta.ack(Cluster, "7"), ["ack CDS +new", "LDS 9 +l", "SDS 10 +s", "ECDS 11 +x", "RDS 12 +r"]);
}

#[test]
fn a_refused_new_cluster_does_not_hold_up_the_rest() {
    let mut delta = in_sync();
    delta.snapshot(&with_new_cluster());
    assert_eq!(delta.nack(Cluster, "7"), ["nack CDS new: no", "LDS 8 +l", "SDS 9 +s", "ECDS 10 +x", "RDS 11 +r"]);
}

#[test]
fn a_changed_cluster_does_not_delay_a_listener() {
    let mut delta = in_sync();
    assert_eq!(delta.snapshot(&mesh(["2", "1", "1", "1", "1", "1"])).len(), 3);
    assert_eq!(delta.snapshot(&mesh(["2", "1", "2", "1", "1", "1"]))[0], "LDS 10 +l", "though the cluster is still warming");
}

#[test]
fn removals_are_last_and_follow_the_references() {
    let mut delta = in_sync();
    let next = snapshot([resource(Cluster, "new", "1"), referring(Listener, "l", "2", &[])]);
    assert_eq!(delta.snapshot(&next), ["CDS 7 +new"]);
    assert_eq!(delta.ack(Cluster, "7"), ["ack CDS +new", "LDS 8 +l"]);
    assert_eq!(delta.ack(Listener, "8"), ["ack LDS +l", "RDS 9 -r"]);
    assert_eq!(delta.ack(Route, "9"), ["ack RDS -r", "CDS 10 -c"]);
    assert_eq!(delta.ack(Cluster, "10"), ["ack CDS -c", "EDS 11 -e", "ECDS 12 -x"]);
}

#[test]
fn removals_alone_go_from_the_listeners_down() {
    let mut delta = in_sync();
    assert_eq!(delta.snapshot(&snapshot([])), ["LDS 7 -l"]);
    assert_eq!(delta.ack(Listener, "7"), ["ack LDS -l", "RDS 8 -r"]);
    assert_eq!(delta.ack(Route, "8"), ["ack RDS -r", "CDS 9 -c"]);
    assert_eq!(delta.ack(Cluster, "9"), ["ack CDS -c", "EDS 10 -e", "ECDS 11 -x"]);
}

#[test]
fn state_of_the_world_keeps_what_goes_until_nothing_refers_to_it() {
    let state = |cluster: &str| snapshot([resource(Cluster, cluster, "1"), referring(Listener, "l", cluster, &[(Cluster, cluster)])]);
    let mut sotw = Sotw::holding(&state("old"));
    sotw.request(Cluster, "", &[]);
    sotw.request(Cluster, "1", &[]);
    sotw.request(Listener, "", &[]);
    sotw.request(Listener, "2", &[]);
    assert_eq!(sotw.snapshot(&state("new")), ["CDS 3 +new +old"]);
    assert_eq!(sotw.request(Cluster, "3", &[]), ["ack CDS +new +old", "LDS 4 +l"]);
    assert_eq!(sotw.request(Listener, "4", &[]), ["ack LDS +l", "CDS 5 +new -old"]);
}

#[test]
fn a_client_that_comes_back_with_everything_is_sent_nothing() {
    let mut delta = Delta::holding(&mesh(["1"; 6]));
    assert_eq!(delta.reconnect(Cluster, &[], &[("c", "1")]), ["ack CDS +c", "CDS 1"], "an answer without content");
    assert_eq!(delta.reconnect(Endpoint, &["e"], &[("e", "1")]), ["ack EDS +e"]);
    assert_eq!(delta.reconnect(Listener, &[], &[("l", "1")]), ["ack LDS +l", "LDS 2"]);
    for (kind, name) in [(Secret, "s"), (ExtensionConfig, "x"), (Route, "r")] {
        assert_eq!(delta.reconnect(kind, &[name], &[(name, "1")]), [format!("ack {} +{name}", kind.short_name())]);
    }
    assert_eq!(delta.ack(Cluster, "1"), ["ack CDS"]);
    assert_eq!(delta.ack(Listener, "2"), ["ack LDS"]);
}

#[test]
fn a_client_that_comes_back_keeps_clusters_until_its_listeners_are_known() {
    let mut delta = Delta::holding(&snapshot([resource(Listener, "l", "2")]));
    assert_eq!(delta.reconnect(Cluster, &[], &[("c", "1")]), ["ack CDS +c", "CDS 1"]);
    assert_eq!(delta.reconnect(Listener, &[], &[("l", "1")]), ["ack LDS +l", "LDS 2 +l"]);
    assert_eq!(delta.ack(Cluster, "1"), ["ack CDS"], "the listener that refers to it may be there still");
    assert_eq!(delta.ack(Listener, "2"), ["ack LDS +l", "CDS 3 -c"]);
}

#[test]
fn state_of_the_world_waits_for_no_answer_to_a_removal_that_it_cannot_tell() {
    let state =
        [resource(Cluster, "c", "1"), referring(Listener, "l", "1", &[(Route, "r")]), referring(Route, "r", "1", &[(Cluster, "c")])];
    let mut sotw = Sotw::holding(&snapshot(state));
    for (kind, nonce, names) in [(Cluster, "1", [].as_slice()), (Listener, "2", &[]), (Route, "3", &["r"])] {
        sotw.request(kind, "", names);
        sotw.request(kind, nonce, names);
    }
    assert_eq!(sotw.snapshot(&snapshot([])), ["LDS 4 -l"]);
    assert_eq!(sotw.request(Listener, "4", &[]), ["ack LDS -l", "CDS 5 -c"]);
}
