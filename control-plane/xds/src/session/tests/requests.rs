//! What a request means.

use ResourceType::{Cluster, Endpoint, ExtensionConfig, Listener, Route, Secret};

use super::*;

#[test]
fn the_first_request_is_answered_at_once() {
    let state = of(Endpoint, &["a", "b"]);
    assert_eq!(Delta::holding(&state).subscribe(Endpoint, &["a"]), ["EDS 1 +a"]);
    assert_eq!(Sotw::holding(&state).request(Endpoint, "", &["a"]), ["EDS 1 +a"]);
}

#[test]
fn a_wildcard_over_nothing_is_answered_too() {
    let nothing = snapshot([]);
    let mut delta = Delta::holding(&nothing);
    assert_eq!(delta.subscribe(Cluster, &[]), ["CDS 1"]);
    assert_eq!(delta.ack(Cluster, "1"), ["ack CDS"], "once");
    assert_eq!(delta.subscribe(Endpoint, &["*"]), ["EDS 2"]);
    let mut sotw = Sotw::holding(&nothing);
    assert_eq!(sotw.request(Listener, "", &[]), ["LDS 1"]);
    assert_eq!(sotw.request(Listener, "1", &[]), ["ack LDS"], "once");
}

#[test]
fn only_an_error_makes_a_nack() {
    let state = of(Route, &["a"]);
    let mut delta = Delta::holding(&state);
    delta.subscribe(Route, &["a"]);
    assert_eq!(delta.ack(Route, "1"), ["ack RDS +a"]);
    let mut delta = Delta::holding(&state);
    delta.subscribe(Route, &["a"]);
    assert_eq!(delta.nack(Route, "1"), ["nack RDS a: no"]);
    let mut sotw = Sotw::holding(&state);
    sotw.request(Route, "", &["a"]);
    assert_eq!(sotw.nack(Route, "1", &["a"]), ["nack RDS a: no"]);
}

#[test]
fn state_of_the_world_ignores_a_stale_request_whole() {
    let mut sotw = Sotw::holding(&of(Endpoint, &["a", "b"]));
    sotw.request(Endpoint, "", &["a"]);
    assert_eq!(sotw.request(Endpoint, "1", &["a"]), ["ack EDS +a"]);
    assert_eq!(sotw.snapshot(&of(Endpoint, &["a=2", "b"])), ["EDS 2 +a"]);
    assert!(sotw.request(Endpoint, "1", &["a", "b"]).is_empty(), "it answers the response before");
    assert_eq!(sotw.request(Endpoint, "2", &["a", "b"]), ["ack EDS +a", "EDS 3 +b"]);
}

#[test]
fn state_of_the_world_resends_what_a_stale_request_had_dropped() {
    let mut sotw = Sotw::holding(&of(Endpoint, &["a", "b"]));
    sotw.request(Endpoint, "", &["a", "b"]);
    sotw.request(Endpoint, "1", &["a", "b"]);
    assert_eq!(sotw.snapshot(&of(Endpoint, &["a=2", "b"])), ["EDS 2 +a"]);
    assert!(sotw.request(Endpoint, "1", &["a"]).is_empty(), "it holds `b` no more");
    assert_eq!(sotw.request(Endpoint, "2", &["a", "b"]), ["ack EDS +a", "EDS 3 +b"]);
}

#[test]
fn delta_obeys_the_subscriptions_of_a_stale_request() {
    let mut delta = Delta::holding(&of(Endpoint, &["a", "b", "c"]));
    delta.subscribe(Endpoint, &["a", "c"]);
    delta.ack(Endpoint, "1");
    assert_eq!(delta.snapshot(&of(Endpoint, &["a=2", "b", "c"])), ["EDS 2 +a"]);
    let (type_url, nonce) = (Endpoint.type_url().to_owned(), "1".to_owned());
    let stale = DeltaRequest { type_url, nonce, subscribe: owned(&["b"]), unsubscribe: owned(&["c"]), ..DeltaRequest::default() };
    assert!(delta.request(stale).is_empty(), "2 is still on its way");
    assert_eq!(delta.ack(Endpoint, "2"), ["ack EDS +a", "EDS 3 +b"]);
    delta.ack(Endpoint, "3");
    assert!(delta.snapshot(&of(Endpoint, &["a=2", "b", "c=2"])).is_empty());
}

#[test]
fn a_stale_nack_refuses_nothing() {
    let mut delta = Delta::holding(&of(Endpoint, &["a"]));
    delta.subscribe(Endpoint, &["a"]);
    delta.ack(Endpoint, "1");
    assert!(delta.nack(Endpoint, "1").is_empty());
    assert!(delta.nack(Endpoint, "77").is_empty());
}

#[test]
fn a_spontaneous_request_acknowledges_nothing_since_no_nonce_is_empty() {
    let mut delta = Delta::holding(&of(Endpoint, &["a", "b"]));
    let first = delta.subscribe(Endpoint, &["a"]);
    assert_eq!(first, ["EDS 1 +a"]);
    assert!(delta.subscribe(Endpoint, &["b"]).is_empty(), "1 is still on its way");
    assert_eq!(delta.ack(Endpoint, "1"), ["ack EDS +a", "EDS 2 +b"]);
}

#[test]
fn subscribing_again_resends_what_has_not_changed() {
    let mut delta = Delta::holding(&of(Endpoint, &["a", "b"]));
    delta.subscribe(Endpoint, &["a", "b"]);
    delta.ack(Endpoint, "1");
    assert_eq!(delta.subscribe(Endpoint, &["a"]), ["EDS 2 +a"]);
    assert_eq!(delta.ack(Endpoint, "2"), ["ack EDS +a"], "once");
}

#[test]
fn the_versions_of_the_first_request_spare_what_has_not_changed() {
    let state = of(Endpoint, &["a", "b=2"]);
    let mut delta = Delta::holding(&state);
    let actions = delta.reconnect(Endpoint, &["a", "b"], &[("a", "1"), ("b", "1"), ("other", "1")]);
    assert_eq!(actions, ["ack EDS +a +b", "EDS 1 +b"], "what is not subscribed to is not held");
    assert!(delta.reconnect(Endpoint, &[], &[("b", "x")]).is_empty(), "only the first request's count");
}

#[test]
fn the_versions_of_a_wildcard_are_what_the_client_holds() {
    let mut delta = Delta::holding(&of(Listener, &["a", "b=2"]));
    let actions = delta.reconnect(Listener, &[], &[("a", "1"), ("b", "1"), ("gone", "1")]);
    assert_eq!(actions, ["ack LDS +a +b +gone", "LDS 1 +b -gone"]);
}

#[test]
fn a_missing_name_is_told_at_once_where_envoy_goes_on_then() {
    for kind in [Endpoint, Cluster, Listener] {
        let mut delta = Delta::holding(&snapshot([]));
        assert_eq!(delta.subscribe(kind, &["a"]), [format!("{} 1 -a", kind.short_name())]);
        assert_eq!(delta.ack(kind, "1"), [format!("ack {} -a", kind.short_name())], "once");
        assert_eq!(delta.snapshot(&of(kind, &["a"])), [format!("{} 2 +a", kind.short_name())], "remembered");
    }
}

#[test]
fn a_missing_secret_route_or_extension_is_met_with_silence_and_remembered() {
    for kind in [Secret, Route, ExtensionConfig] {
        let mut delta = Delta::holding(&snapshot([]));
        assert!(delta.subscribe(kind, &["a"]).is_empty());
        assert_eq!(delta.snapshot(&of(kind, &["a"])), [format!("{} 1 +a", kind.short_name())], "remembered");
    }
}

#[test]
fn state_of_the_world_tells_missing_names_by_absence_where_absence_means_that() {
    let mut sotw = Sotw::holding(&of(Cluster, &["b"]));
    assert_eq!(sotw.request(Cluster, "", &["a"]), ["CDS 1"]);
    assert_eq!(sotw.request(Cluster, "1", &["a", "b"]), ["ack CDS", "CDS 2 +b"]);
    assert!(sotw.request(Endpoint, "", &["a"]).is_empty());
}

#[test]
fn an_ack_carries_subscriptions() {
    let mut delta = Delta::holding(&of(Endpoint, &["a", "b"]));
    delta.subscribe(Endpoint, &["a"]);
    let (type_url, nonce) = (Endpoint.type_url().to_owned(), "1".to_owned());
    let ack = DeltaRequest { type_url, nonce, subscribe: owned(&["b"]), unsubscribe: owned(&["a"]), ..DeltaRequest::default() };
    assert_eq!(delta.request(ack), ["ack EDS +a", "EDS 2 +b"]);
    delta.ack(Endpoint, "2");
    assert!(delta.snapshot(&of(Endpoint, &["a=2", "b"])).is_empty());
}

#[test]
fn no_name_is_twice_in_a_response() {
    let mut delta = Delta::holding(&of(Cluster, &["a"]));
    assert_eq!(delta.subscribe(Cluster, &["a", "*", "a", "gone", "gone"]), ["CDS 1 +a -gone"]);
    let mut sotw = Sotw::holding(&of(Cluster, &["a"]));
    assert_eq!(sotw.request(Cluster, "", &["a", "*", "a"]), ["CDS 1 +a"]);
}

#[test]
fn a_glob_collection_is_a_name_like_any_other() {
    let glob = "xdstp://shop/envoy.config.cluster.v3.Cluster/*";
    let mut delta = Delta::holding(&of(Cluster, &["a"]));
    assert_eq!(delta.subscribe(Cluster, &[glob]), [format!("CDS 1 -{glob}")], "and no wildcard");
}

#[test]
fn an_unknown_type_is_answered_by_nothing() {
    let unknown = DeltaRequest { type_url: "type.googleapis.com/unknown".to_owned(), ..DeltaRequest::default() };
    let mut delta = Delta::holding(&of(Cluster, &["a"]));
    assert!(delta.request(unknown).is_empty());
    assert_eq!(delta.subscribe(Cluster, &[]), ["CDS 1 +a"]);
}

#[test]
fn what_is_unsubscribed_while_in_flight_is_not_sent_again() {
    let mut delta = Delta::holding(&of(Endpoint, &["a", "b"]));
    delta.subscribe(Endpoint, &["a", "b"]);
    assert!(delta.unsubscribe(Endpoint, &["a"]).is_empty());
    assert!(delta.snapshot(&of(Endpoint, &["b=2"])).is_empty());
    assert_eq!(delta.ack(Endpoint, "1"), ["ack EDS +a +b", "EDS 2 +b"], "nor told as removed");
}

#[test]
fn more_than_a_client_may_ask_for_is_refused() {
    let limits = Limits { names: 2, name_bytes: 3, ..Limits::default() };
    let refusal = |subscribe: &[&str], unsubscribe: &[&str]| {
        let mut session = Session::new(Protocol::Delta, limits);
        let (type_url, subscribe, unsubscribe) = (Endpoint.type_url().to_owned(), owned(subscribe), owned(unsubscribe));
        session
            .on_delta_request(DeltaRequest { type_url, subscribe, unsubscribe, ..DeltaRequest::default() })
            .map_err(|error| error.to_string())
    };
    assert_eq!(refusal(&["a", "b"], &[]), Ok(vec![]));
    assert_eq!(refusal(&["a", "b", "c"], &[]), Err("at most 2 EDS resources may be subscribed to".to_owned()));
    assert_eq!(refusal(&["*"], &["a", "b", "c"]), Err("at most 2 EDS resources may be subscribed to".to_owned()), "kept to be answered");
    assert_eq!(refusal(&["abcd"], &[]), Err("a resource name has 4 bytes, at most 3 are allowed".to_owned()));
    assert_eq!(refusal(&["a"; 7], &[]), Err("at most 2 names may be in one request".to_owned()));
    let mut session = Session::new(Protocol::StateOfTheWorld, limits);
    let request = SotwRequest { type_url: Endpoint.type_url().to_owned(), names: owned(&["a", "b", "c"]), ..SotwRequest::default() };
    assert!(session.on_sotw_request(request).is_err());
}
