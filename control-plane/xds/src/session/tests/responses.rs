//! What a response holds.

use ResourceType::{Cluster, Endpoint, ExtensionConfig, Listener, Route, Secret};

use super::*;

#[test]
fn state_of_the_world_sends_all_clusters_and_listeners_since_absence_deletes() {
    for kind in [Cluster, Listener] {
        let type_name = kind.short_name();
        let mut sotw = Sotw::holding(&of(kind, &["a", "b"]));
        sotw.request(kind, "", &[]);
        sotw.request(kind, "1", &[]);
        assert_eq!(sotw.snapshot(&of(kind, &["a=2", "b"])), [format!("{type_name} 2 +a +b")]);
        sotw.request(kind, "2", &[]);
        assert_eq!(sotw.snapshot(&of(kind, &["b"])), [format!("{type_name} 3 +b -a")]);
        sotw.request(kind, "3", &[]);
        assert_eq!(sotw.snapshot(&snapshot([])), [format!("{type_name} 4 -b")], "an empty state is one");
    }
}

#[test]
fn state_of_the_world_sends_only_what_changed_of_the_other_types() {
    for kind in [Endpoint, Route, Secret, ExtensionConfig] {
        let mut sotw = Sotw::holding(&of(kind, &["a", "b"]));
        sotw.request(kind, "", &["a", "b"]);
        sotw.request(kind, "1", &["a", "b"]);
        assert_eq!(sotw.snapshot(&of(kind, &["a=2", "b"])), [format!("{} 2 +a", kind.short_name())]);
        sotw.request(kind, "2", &["a", "b"]);
        assert!(sotw.snapshot(&of(kind, &["a=2"])).is_empty(), "absence says nothing");
        assert!(sotw.snapshot(&of(kind, &["a=2", "b"])).is_empty(), "the client has it still");
        assert_eq!(sotw.snapshot(&of(kind, &["a=2", "b=2"])), [format!("{} 3 +b", kind.short_name())]);
    }
}

#[test]
fn delta_sends_differences_and_never_the_unchanged() {
    let mut delta = Delta::holding(&of(Listener, &["a", "b", "c"]));
    assert_eq!(delta.subscribe(Listener, &[]), ["LDS 1 +a +b +c"]);
    delta.ack(Listener, "1");
    assert_eq!(delta.snapshot(&of(Listener, &["a", "b=2", "d"])), ["LDS 2 +b +d -c"]);
    delta.ack(Listener, "2");
    assert!(delta.snapshot(&of(Listener, &["a", "b=2", "d"])).is_empty());
}

#[test]
fn delta_tells_what_is_gone_but_for_secrets() {
    for kind in [Cluster, Endpoint, Listener, Route, ExtensionConfig] {
        let mut delta = Delta::holding(&of(kind, &["a"]));
        delta.subscribe(kind, &["a"]);
        delta.ack(kind, "1");
        assert_eq!(delta.snapshot(&snapshot([])), [format!("{} 2 -a", kind.short_name())]);
    }
    let mut delta = Delta::holding(&of(Secret, &["a"]));
    delta.subscribe(Secret, &["a"]);
    delta.ack(Secret, "1");
    assert!(delta.snapshot(&snapshot([])).is_empty());
    assert!(delta.snapshot(&of(Secret, &["a"])).is_empty(), "the client has it still");
    assert_eq!(delta.snapshot(&of(Secret, &["a=2"])), ["SDS 2 +a"]);
}

#[test]
fn one_response_per_type_is_on_its_way_and_the_next_has_the_newest() {
    let mut delta = Delta::holding(&of(Endpoint, &["a=1"]));
    delta.subscribe(Endpoint, &["a"]);
    for content in ["a=2", "a=3", "a=4"] {
        assert!(delta.snapshot(&of(Endpoint, &[content])).is_empty());
    }
    let actions = delta.0.on_delta_request(DeltaRequest { nonce: "1".to_owned(), ..request(Endpoint) }).unwrap();
    let [Action::Acked { .. }, Action::Send(response)] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(response.resources()[0].version(), version("4"));
    assert!(delta.ack(Endpoint, "2").len() == 1, "and nothing of those between");
}

fn request(kind: ResourceType) -> DeltaRequest {
    DeltaRequest { type_url: kind.type_url().to_owned(), ..DeltaRequest::default() }
}

#[test]
fn a_change_that_is_undone_before_it_is_sent_is_not_sent() {
    let mut delta = Delta::holding(&of(Endpoint, &["a=1"]));
    delta.subscribe(Endpoint, &["a"]);
    delta.snapshot(&of(Endpoint, &["a=2"]));
    delta.snapshot(&of(Endpoint, &["a=1"]));
    assert_eq!(delta.ack(Endpoint, "1"), ["ack EDS +a"]);
}

#[test]
fn the_order_in_which_resources_were_given_does_not_show() {
    let names = ["a", "b", "c", "d"];
    let responses = [[0, 1, 2, 3], [3, 1, 0, 2]].map(|order| {
        let state = snapshot(order.map(|index| resource(Cluster, names[index], "1")));
        let mut session = Session::new(Protocol::Delta, Limits::default());
        session.on_snapshot(&state);
        session.on_delta_request(request(Cluster)).unwrap()
    });
    assert_eq!(responses[0], responses[1]);
}

#[test]
fn no_nonce_is_used_twice_on_a_stream() {
    let mut delta = Delta::holding(&of(Endpoint, &["a"]));
    assert_eq!(delta.subscribe(Cluster, &[]), ["CDS 1"]);
    assert_eq!(delta.subscribe(Endpoint, &["a"]), ["EDS 2 +a"]);
    delta.nack(Endpoint, "2");
    assert_eq!(delta.snapshot(&of(Endpoint, &["a=2"])), ["EDS 3 +a"], "also after a refusal");
}
