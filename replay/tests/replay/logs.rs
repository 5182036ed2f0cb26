//! A candidate against what the log says.

use serde_json::{Value, json};

use crate::support::*;

#[test]
fn flips_are_told_by_rule_with_their_first_record() {
    let candidate = mesh(&(policy("new", "ALLOW", &json!([paths(&["/a"])])) + &policy("no", "DENY", &json!([paths(&["/b"])]))));
    let of = |path: &str| record(&json!({"path": path}));
    let log = log(&[of("/a"), of("/b?x"), of("/c"), of("/b"), denied(&json!({"path": "/a"})), denied(&json!({"path": "/c"}))]);
    let tally = run(&log, options(&candidate));
    assert_eq!((counts(&tally), tally.records), ([4, 2, 0], 6));
    assert_eq!(
        flips(&tally),
        [
            "2 allow by shop/now rule 0 (allow_rule_matched) -> deny by shop/no rule 0 (deny_rule_matched)",
            "1 allow by shop/now rule 0 (allow_rule_matched) -> deny (no_allow_rule_matched)",
            "1 deny (no_allow_rule_matched) -> allow by shop/new rule 0 (allow_rule_matched)",
        ]
    );
    let first = &tally.flips()[0];
    assert_eq!((first.line, first.example.as_str()), (2, "GET /b?x from spiffe://mesh.test/ns/shop/sa/web to shop/cart-1:8080"));
}

#[test]
fn what_the_log_does_not_hold_is_undecided_and_named() {
    let request = record(&json!({}));
    for (key, value) in
        [("source.ip", "10.0.0.1"), ("connection.sni", "a"), ("request.headers[x-a]", "1"), ("request.headers[:path]", "/a")]
    {
        let candidate = mesh(&policy("new", "ALLOW", &json!([when(key, value)])));
        let tally = run(&log(std::slice::from_ref(&request)), options(&candidate));
        assert_eq!((counts(&tally), gaps(&tally)), ([0, 0, 1], vec![format!("1 {key} shop/new 0")]), "{key}");
    }
    for (key, value) in [
        ("remote.ip", "10.0.0.0/8"),
        ("destination.ip", "10.0.0.9"),
        ("destination.port", "8080"),
        ("source.principal", "mesh.test/ns/shop/sa/web"),
        ("source.namespace", "shop"),
        ("request.headers[:method]", "GET"),
        ("request.headers[:authority]", "cart.*"),
    ] {
        let candidate = mesh(&policy("new", "ALLOW", &json!([when(key, value)])));
        assert_eq!(counts(&run(&log(std::slice::from_ref(&request)), options(&candidate))), [0, 1, 0], "{key} is there");
    }
}

#[test]
fn what_is_in_the_log_in_part_or_not_at_all_is_missing() {
    let rules = json!([{"from": [{"source": {"principals": ["mesh.test/ns/shop/sa/web"], "remoteIpBlocks": ["10.0.0.1"]}}],
        "to": [{"operation": {"methods": ["GET"], "paths": ["/a"], "hosts": ["cart.shop"], "ports": ["8080"]}}]}]);
    let candidate = mesh(&policy("new", "ALLOW", &rules));
    let missing = |field: &str, value: Value| gaps(&run(&log(&[record(&json!({field: value}))]), options(&candidate)));
    for (field, value, attribute) in [
        ("source_principal", json!("spiffe://mesh.test/ns/shop/sa/we…"), "source.principal"),
        ("source_address", json!(null), "remote.ip"),
        ("method", json!(null), "request.method"),
        ("path", json!("/a…"), "request.path"),
        ("path", json!("/\u{fffd}"), "request.path"),
        ("host", json!(null), "request.host"),
    ] {
        assert_eq!(missing(field, value), [format!("1 {attribute} shop/new 0")], "{field}");
    }
    assert_eq!(missing("destination_address", json!(null)), ["1 destination.port"], "the listener's mode depends on it");
    assert_eq!(missing("workload", json!("cart-2")), ["1 WorkloadEntry shop/cart-2 in the candidate"]);
    assert_eq!(counts(&run(&log(&[record(&json!({}))]), options(&candidate))), [0, 1, 0]);
}

#[test]
fn what_becomes_of_tokens_is_not_guessed() {
    let rules = json!([when("request.auth.principal", "https://issuer.test/me"), paths(&["/b"])]);
    let candidate = mesh(&(TOKENS.to_owned() + &policy("new", "ALLOW", &rules)));
    let token = json!({"jwt_issuer": "https://issuer.test", "jwt_subject": "me"});
    let expired = json!({"verdict": "DENY", "policy": null, "rule": null, "reason": "jwt_expired", "path": "/b"});
    let records = log(&[record(&token), record(&json!({"path": "/b"})), record(&expired), denied(&json!({}))]);
    let strict = run(&records, options(&candidate));
    assert_eq!(counts(&strict), [0, 0, 4], "the token's fate is not in the log");
    assert!(gaps(&strict).contains(&"4 token".to_owned()), "{:?}", gaps(&strict));
    let same = run(&records, meshwright_replay::Options { same_tokens: true, ..options(&candidate) });
    assert_eq!(counts(&same), [0, 4, 0], "{:?}", gaps(&same));
    // Claims other than issuer and subject are not in the log, and there are none without a token.
    let claims = mesh(&(TOKENS.to_owned() + &policy("new", "ALLOW", &json!([when("request.auth.claims[groups]", "g")]))));
    let tally = run(&records, meshwright_replay::Options { same_tokens: true, ..options(&claims) });
    assert_eq!((counts(&tally), gaps(&tally)), ([1, 2, 1], vec!["1 request.auth.claims[groups] shop/new 0".to_owned()]));
}

#[test]
fn a_header_that_only_tokens_set_is_not_there_without_one() {
    let candidate = mesh(&(TOKENS.to_owned() + &policy("new", "ALLOW", &json!([when("request.headers[X-User]", "me")]))));
    let options = meshwright_replay::Options { same_tokens: true, ..options(&candidate) };
    assert_eq!(counts(&run(&log(&[denied(&json!({}))]), options)), [0, 1, 0]);
    let with_token = denied(&json!({"jwt_issuer": "https://issuer.test"}));
    assert_eq!(gaps(&run(&log(&[with_token]), options)), ["1 request.headers[X-User] shop/new 0"]);
}

#[test]
fn the_listener_denies_before_any_policy() {
    let candidate = mesh(STRICT);
    let tally = run(&log(&[record(&json!({"source_principal": null})), record(&json!({}))]), options(&candidate));
    assert_eq!(counts(&tally), [1, 1, 0]);
    assert_eq!(flips(&tally), ["1 allow by shop/now rule 0 (allow_rule_matched) -> deny (mtls_required)"]);
}

#[test]
fn connections_are_decided_too() {
    let rules = json!([{"from": [{"source": {"ipBlocks": ["10.0.0.1"]}}], "to": [{"operation": {"ports": ["9000"]}}]}]);
    let candidate = mesh(&policy("new", "ALLOW", &rules));
    let tcp = |more: Value| {
        let mut all = json!({"protocol": "tcp", "method": null, "host": null, "path": null, "destination_address": "10.0.0.9:9000"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record(&all)
    };
    let tally = run(&log(&[tcp(json!({})), tcp(json!({"source_address": "10.0.0.2:1"}))]), options(&candidate));
    assert_eq!(
        (counts(&tally), flips(&tally)[0].as_str()),
        ([1, 1, 0], "1 allow by shop/now rule 0 (allow_rule_matched) -> deny (no_allow_rule_matched)")
    );
}

#[test]
fn authorizers_outside_are_compared_by_name() {
    let asks = |name: &str| json!([{"provider": name, "policy": "shop/c", "rule": 0}]);
    let agreed = record(&json!({"policy": null, "rule": null, "reason": "no_allow_policy", "custom": asks("p")}));
    let refused = json!({"verdict": "DENY", "policy": "shop/c", "reason": "custom_provider_denied", "custom": asks("p")});
    let records = log(&[agreed, record(&refused)]);
    let tally = run(&records, options(&mesh(&policy("new", "ALLOW", &json!([paths(&["/a"])])))));
    assert_eq!(counts(&tally), [2, 0, 0]);
    assert!(
        flips(&tally).iter().all(|flip| flip.starts_with("1 ask p") && flip.ends_with("-> allow by shop/new rule 0 (allow_rule_matched)"))
    );
    let asking = |provider: &str| custom(provider, &json!([paths(&["/a"])]));
    assert_eq!(counts(&run(&records, options(&asking("p")))), [0, 2, 0]);
    assert_eq!(counts(&run(&records, options(&asking("q")))), [2, 0, 0]);
    let by_header = custom("p", &json!([when("request.headers[x-a]", "1")]));
    assert_eq!(gaps(&run(&records, options(&by_header))), ["2 request.headers[x-a] shop/asks 0"]);
}

#[test]
fn what_no_policy_decided_is_left_out() {
    let candidate = mesh("");
    let tally = run(
        &log(&[
            record(&json!({"direction": "outbound"})),
            record(&json!({"verdict": null, "reason": null, "policy": null, "rule": null})),
            record(&json!({"verdict": "DENY", "reason": "provider_missing"})),
        ]),
        options(&candidate),
    );
    assert_eq!((counts(&tally), tally.skipped.values().copied().collect::<Vec<_>>()), ([0, 0, 0], vec![1, 1, 1]));
}

#[test]
fn lines_that_are_no_records_are_counted_with_their_numbers() {
    let candidate = mesh("");
    let good = record(&json!({})).to_string();
    let torn = &good[..good.len() / 2];
    let text = format!("{good}\n\nnonsense\n{good}\n{{\"surplus\":1}}\n{torn}");
    let tally = run(&text, options(&candidate));
    assert_eq!((tally.records, tally.bad), (2, 3));
    let lines: Vec<_> = tally.bad_lines.iter().map(|bad| bad.line).collect();
    assert_eq!(lines, [3, 5, 6]);
    assert!(
        tally.bad_lines[1].error.contains("unknown field `surplus`") && tally.bad_lines[2].error.starts_with("the last line breaks off: ")
    );
    // A last line without its end is one if it is whole.
    assert_eq!((run(&good, options(&candidate)).records, run(&good, options(&candidate)).bad), (1, 0));
    let bad = "x\n".repeat(1000);
    let tally = run(&bad, options(&candidate));
    assert_eq!((tally.bad, tally.bad_lines.iter().map(|bad| bad.line).collect::<Vec<_>>()), (1000, (1..=20).collect()));
}

#[test]
fn it_makes_no_difference_how_many_read() {
    let candidate = mesh(&policy("new", "ALLOW", &json!([paths(&["/a"]), when("request.headers[x]", "1")])));
    let record = |number: u32| match number % 7 {
        0 => "broken\n".to_owned(),
        1 => format!("{}\n", denied(&json!({"path": "/a"}))),
        2 => format!("{}\n", record(&json!({"path": "/b", "source_principal": format!("spiffe://mesh.test/ns/shop/sa/{number}")}))),
        _ => format!("{}\n", record(&json!({}))),
    };
    let text: String = (0..10_000).map(record).collect();
    let of = |threads: usize| {
        let tally = run(&text, meshwright_replay::Options { threads: threads.try_into().unwrap(), ..options(&candidate) });
        (meshwright_replay::json(&tally), meshwright_replay::human(&tally))
    };
    assert_eq!(of(1), of(4));
}

#[test]
fn a_deny_list_decides_by_what_the_log_has_of_the_peer() {
    let list = |entry: &str| {
        format!("apiVersion: meshwright.dev/v1alpha1\nkind: IdentityDenyList\nmetadata: {{name: l}}\nspec: {{entries: [{entry}]}}\n---\n")
    };
    let all = policy("now", "ALLOW", &json!([{}]));
    let candidate = |entry: &str| mesh(&(all.clone() + &list(entry)));
    let ask = |entry: &str, more: Value| {
        let candidate = candidate(entry);
        let tally = run(&log(&[record(&more)]), options(&candidate));
        (flips(&tally), gaps(&tally))
    };
    let to = |reason: &str| (vec![format!("1 allow by shop/now rule 0 (allow_rule_matched) -> deny ({reason})")], vec![]);
    assert_eq!(ask(&format!("{{spiffeId: {WEB}}}"), json!({})), to("peer_identity_denied"));
    assert_eq!(ask(&format!("{{spiffeId: {WEB}, until: 2001-01-01T00:00:00Z}}"), json!({})), (vec![], vec![]), "it is over");
    assert_eq!(ask("{serial: '0a'}", json!({"source_serial": "0a"})), to("peer_serial_denied"));
    assert_eq!(ask("{serial: '0a'}", json!({"source_serial": "0b"})), (vec![], vec![]));
    assert_eq!(ask("{serial: '0a'}", json!({})), (vec![], vec!["1 source.serial".to_owned()]), "the log does not say");
    assert_eq!(ask("{serial: '0a'}", json!({"source_principal": null})), (vec![], vec![]), "plaintext has no certificate");
}
