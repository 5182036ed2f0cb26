//! Everything, by `*` or by naming nothing.

use ResourceType::{Cluster, Endpoint, Listener};

use super::*;

#[test]
fn naming_nothing_first_means_everything_for_clusters_and_listeners_only() {
    for kind in [Cluster, Listener] {
        assert_eq!(Delta::holding(&of(kind, &["a"])).subscribe(kind, &[]), [format!("{} 1 +a", kind.short_name())]);
        assert_eq!(Sotw::holding(&of(kind, &["a"])).request(kind, "", &[]), [format!("{} 1 +a", kind.short_name())]);
    }
    assert!(Delta::holding(&of(Endpoint, &["a"])).subscribe(Endpoint, &[]).is_empty());
    assert!(Sotw::holding(&of(Endpoint, &["a"])).request(Endpoint, "", &[]).is_empty());
}

#[test]
fn naming_something_ends_the_legacy_wildcard() {
    let mut delta = Delta::holding(&of(Cluster, &["a", "b"]));
    delta.subscribe(Cluster, &[]);
    delta.ack(Cluster, "1");
    assert_eq!(delta.subscribe(Cluster, &["a"]), ["CDS 2 +a"]);
    delta.ack(Cluster, "2");
    assert!(delta.snapshot(&of(Cluster, &["a", "b=2", "c"])).is_empty());
    let mut sotw = Sotw::holding(&of(Cluster, &["a", "b"]));
    sotw.request(Cluster, "", &[]);
    sotw.request(Cluster, "1", &["a"]);
    assert!(sotw.snapshot(&of(Cluster, &["a", "b=2", "c"])).is_empty());
}

#[test]
fn a_star_beside_a_name_keeps_the_wildcard() {
    // What Envoy does when it leaves its legacy wildcard for on-demand clusters.
    let mut delta = Delta::holding(&of(Cluster, &["a", "b"]));
    delta.subscribe(Cluster, &[]);
    delta.ack(Cluster, "1");
    assert_eq!(delta.subscribe(Cluster, &["*", "a"]), ["CDS 2 +a"]);
    delta.ack(Cluster, "2");
    assert_eq!(delta.snapshot(&of(Cluster, &["a", "b=2"])), ["CDS 3 +b"]);
}

#[test]
fn a_star_may_come_at_any_time() {
    let mut delta = Delta::holding(&of(Endpoint, &["a", "b"]));
    delta.subscribe(Endpoint, &["a"]);
    delta.ack(Endpoint, "1");
    assert_eq!(delta.subscribe(Endpoint, &["*"]), ["EDS 2 +b"]);
    let mut sotw = Sotw::holding(&of(Endpoint, &["a", "b"]));
    sotw.request(Endpoint, "", &["a"]);
    assert_eq!(sotw.request(Endpoint, "1", &["a", "*"]), ["ack EDS +a", "EDS 2 +b"]);
}

#[test]
fn without_the_star_the_names_remain() {
    let mut delta = Delta::holding(&of(Cluster, &["a", "b"]));
    delta.subscribe(Cluster, &["*", "a"]);
    delta.ack(Cluster, "1");
    assert!(delta.unsubscribe(Cluster, &["*"]).is_empty());
    assert_eq!(delta.snapshot(&of(Cluster, &["a=2", "b=2"])), ["CDS 2 +a"]);
}

#[test]
fn unsubscribing_a_name_that_the_wildcard_covers_is_answered() {
    let mut delta = Delta::holding(&of(Cluster, &["a"]));
    delta.subscribe(Cluster, &["*", "a", "gone"]);
    delta.ack(Cluster, "1");
    assert_eq!(delta.unsubscribe(Cluster, &["a", "gone"]), ["CDS 2 +a -gone"]);
    assert_eq!(delta.ack(Cluster, "2"), ["ack CDS +a -gone"]);
    assert_eq!(delta.snapshot(&of(Cluster, &["a=2"])), ["CDS 3 +a"], "covered still");
}

#[test]
fn state_of_the_world_with_no_names_after_names_unsubscribes_all() {
    let mut sotw = Sotw::holding(&of(Cluster, &["a"]));
    sotw.request(Cluster, "", &["a"]);
    assert_eq!(sotw.request(Cluster, "1", &[]), ["ack CDS +a"]);
    assert!(sotw.snapshot(&of(Cluster, &["a=2", "b"])).is_empty(), "no wildcard");
}

#[test]
fn state_of_the_world_resends_what_a_stale_request_without_the_star_had_dropped() {
    let mut sotw = Sotw::holding(&of(Endpoint, &["a", "b"]));
    sotw.request(Endpoint, "", &["*"]);
    sotw.request(Endpoint, "1", &["*"]);
    assert_eq!(sotw.snapshot(&of(Endpoint, &["a=2", "b"])), ["EDS 2 +a"]);
    assert!(sotw.request(Endpoint, "1", &["a"]).is_empty(), "it holds `b` no more");
    assert!(sotw.request(Endpoint, "1", &["*"]).is_empty());
    assert_eq!(sotw.request(Endpoint, "2", &["*"]), ["ack EDS +a", "EDS 3 +b"]);
    // Naming nothing at first, then something, then the star.
    let mut sotw = Sotw::holding(&of(Cluster, &["a", "b"]));
    sotw.request(Cluster, "", &[]);
    sotw.request(Cluster, "1", &[]);
    sotw.snapshot(&of(Cluster, &["a=2", "b"]));
    assert!(sotw.request(Cluster, "1", &["a"]).is_empty());
    assert_eq!(sotw.request(Cluster, "2", &["*"]), ["ack CDS +a +b", "CDS 3 +a +b"]);
}
