//! Who may do what, by certificate; and what a configuration or a request cannot break.

use meshwright_wasm_host::{Ended, Fault, Request};
use serde_json::json;

use crate::support::*;

fn cart_may_get_orders() -> serde_json::Value {
    policy(
        "ALLOW",
        json!([{
            "from": [{"source": {"principals": ["mesh.test/ns/shop/sa/cart"]}}],
            "to": [{"operation": {"methods": ["GET"], "paths": ["/orders/*"]}}],
        }]),
    )
}

#[test]
fn what_a_rule_allows_reaches_the_app() {
    let outcome = authz(cart_may_get_orders()).request(from_cart("/orders/1")).run().unwrap();
    assert_eq!((outcome.ended, outcome.status()), (Ended::Completed, Some(200)));
    assert_eq!(app_got(&outcome, ":path"), Some("/orders/1"));
    assert_eq!(
        decision(&outcome.report),
        json!({"verdict": "ALLOW", "policy": "shop/policy", "rule": 0, "reason": "allow_rule_matched", "principal": CART})
    );
    assert_eq!(outcome.report.misuse, []);
}

#[test]
fn what_no_rule_allows_is_denied_with_envoys_words() {
    let authz = authz(cart_may_get_orders());
    let stranger = || from_cart("/orders/1").filter_state("meshwright.peer", "10.0.0.1:1|spiffe://mesh.test/ns/shop/sa/other");
    let plaintext = from_cart("/orders/1").property("connection.mtls", false).filter_state("meshwright.peer", "10.0.0.1:1|");
    for (what, request) in [
        ("another path", from_cart("/admin")),
        ("another method", from_cart("/orders/1").header(":method", "POST")),
        ("another peer", stranger()),
        ("no certificate", plaintext),
    ] {
        let outcome = authz.request(request).run().unwrap();
        assert_eq!(denied(&outcome), (403, "RBAC: access denied"), "{what}");
        let record = decision(&outcome.report);
        assert_eq!((&record["verdict"], &record["reason"]), (&json!("DENY"), &json!("no_allow_rule_matched")), "{what}");
        assert_eq!(outcome.report.misuse, [], "{what}");
    }
}

#[test]
fn a_deny_rule_names_itself() {
    let rules = json!([{"to": [{"operation": {"paths": ["/a"]}}]}, {"to": [{"operation": {"paths": ["/admin*"]}}]}]);
    let outcome = authz(policy("DENY", rules)).request(from_cart("/admin/x")).run().unwrap();
    assert_eq!(denied(&outcome), (403, "RBAC: access denied"));
    assert_eq!(
        decision(&outcome.report),
        json!({"verdict": "DENY", "policy": "shop/policy", "rule": 1, "reason": "deny_rule_matched"}),
        "of a peer that no rule looks at nothing is read"
    );
}

/// Allows everybody but one, so that it has to be known who asks.
fn not_mars() -> serde_json::Value {
    policy("ALLOW", json!([{"from": [{"source": {"notPrincipals": ["mars.test/ns/a/sa/b"]}}]}]))
}

#[test]
fn a_peer_that_the_policy_asks_for_and_the_listener_did_not_tell_is_denied() {
    let authz = authz(not_mars());
    for (state, reason) in [(None, "peer_state_missing"), (Some("nonsense"), "peer_state_invalid")] {
        let request = Request::get("/").property("connection.mtls", true).property("source.address", "10.0.0.1:4242");
        let request = match state {
            Some(state) => request.filter_state("meshwright.peer", state),
            None => request,
        };
        let outcome = authz.request(request).run().unwrap();
        assert_eq!(denied(&outcome), (403, "RBAC: access denied"));
        assert_eq!(decision(&outcome.report)["reason"], reason);
    }
}

#[test]
fn a_configuration_that_is_not_understood_is_refused_with_the_reason() {
    let unknown_field = json!({"version": 1, "protocol": "http", "trust_domain": "mesh.test", "shadow": true}).to_string();
    let version = json!({"version": 2, "protocol": "http", "trust_domain": "mesh.test"}).to_string();
    let rule = json!({"version": 1, "protocol": "http", "trust_domain": "mesh.test",
        "authorization": policy("ALLOW", json!([{"from": [{"source": {"ipBlocks": ["10.0.0.0/33"]}}]}]))});
    for (root_id, config, why) in [
        ("authz", "", "authz: the configuration is refused: "),
        ("authz", "{", "authz: the configuration is refused: "),
        ("authz", &unknown_field, "unknown field `shadow`"),
        ("authz", &version, "version"),
        ("authz", &rule.to_string(), "10.0.0.0/33"),
        ("access-log", "[]", "access-log: the configuration is refused: "),
        ("authz2", "{}", "root id `authz2` is unknown; it is `authz` or `access-log`"),
    ] {
        let error = plugin(root_id, config.as_bytes()).start().unwrap_err().to_string();
        assert!(error.contains(why), "{root_id} {config}: {error}");
    }
}

#[test]
fn a_thousand_headers_and_bytes_that_are_no_text_are_only_data() {
    let allow = policy("ALLOW", json!([{"when": [{"key": "request.headers[x-last]", "values": ["yes"]}]}]));
    let mut request = from_cart("/\u{fffd}").header("x-bytes", b"\xff\xfe\x80".to_vec()).header(":path", b"/\xff\xfe".to_vec());
    for index in 0..1000 {
        request = request.header(format!("x-{index}"), "value");
    }
    let authz = authz(allow);
    let outcome = authz.request(request.clone()).run().unwrap();
    assert_eq!(denied(&outcome), (403, "RBAC: access denied"));
    let outcome = authz.request(request.header("x-last", "yes")).run().unwrap();
    let got = outcome.upstream_request.unwrap().headers;
    assert_eq!(got.get("x-bytes"), Some(&b"\xff\xfe\x80"[..]));
    assert_eq!(got.get("x-999"), Some(&b"value"[..]));
    assert_eq!(outcome.report.traps, []);
}

#[test]
fn a_tcp_connection_is_decided_before_a_byte_passes() {
    let allow = |principal: &str| policy("ALLOW", json!([{"from": [{"source": {"principals": [principal]}}]}]));
    let connection = || connection_from_cart().downstream("ping").upstream("pong").downstream_close();
    let tcp = |authorization| authz_of("tcp", jwt_rule(), authorization);
    let outcome = tcp(allow("mesh.test/ns/shop/sa/cart")).tcp(connection()).run().unwrap();
    assert_eq!((outcome.to_upstream.as_slice(), outcome.to_downstream.as_slice()), (&b"ping"[..], &b"pong"[..]));
    assert_eq!(decision(&outcome.report)["verdict"], "ALLOW");

    let outcome = tcp(allow("mesh.test/ns/shop/sa/other")).tcp(connection()).run().unwrap();
    assert_eq!((outcome.ended, outcome.upstream_connected, outcome.to_upstream.as_slice()), (Ended::Closed, false, &b""[..]));
    assert_eq!(decision(&outcome.report)["reason"], "no_allow_rule_matched");
}

#[test]
fn a_request_costs_few_host_calls() {
    let outcome = authz(cart_may_get_orders()).request(from_cart("/orders/1")).run().unwrap();
    let of_stream = ["proxy_get_header_map_pairs", "proxy_get_header_map_value", "proxy_replace_header_map_value", "proxy_set_property"];
    let calls = of_stream.map(|name| outcome.report.hostcalls.get(name).copied().unwrap_or(0));
    assert_eq!(calls, [1, 0, 0, 1], "one read of the headers, one record");
}

/// Whatever the host answers instead of what it should: a stranger never comes through, and a friend at most is kept out.
#[test]
fn no_failing_host_function_lets_a_stranger_through() {
    let authz = authz(cart_may_get_orders());
    let stranger = from_cart("/orders/1").filter_state("meshwright.peer", "10.0.0.1:1|spiffe://mesh.test/ns/shop/sa/other");
    for fault in Fault::all() {
        // One that keeps the plugin from starting is refused by Envoy before any request.
        let Ok(outcome) = authz.clone().fault(fault.clone()).request(stranger.clone()).run() else { continue };
        assert_eq!(outcome.upstream_request, None, "{fault:?}");
    }
}

#[test]
fn any_exchange_without_a_known_peer_is_denied_and_traps_nothing() {
    let authz = authz(not_mars());
    let mut state = 0x9e37_79b9_u32;
    for _ in 0..300 {
        let bytes: Vec<u8> = (0..200)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            })
            .collect();
        let outcome = authz.request(Request::arbitrary(&bytes)).run().unwrap();
        assert_eq!((outcome.upstream_request, outcome.report.traps.as_slice()), (None, &[][..]), "{bytes:?}");
        assert_eq!(outcome.report.misuse, [], "{bytes:?}");
    }
}
