//! The order of decisions, what each says of itself, and rules without HTTP.

use meshwright_policy::{AuditRecord, Authentication, Verdict};
use serde_json::{Value, json};

use crate::support::{Fixture, NOW, Trusting, allows, authenticate, compile, decide, evaluate, one, unsigned};

fn policies(list: &[(&str, &str, Value)]) -> Value {
    list.iter().map(|(name, action, rules)| json!({"namespace": "ns", "name": name, "action": action, "rules": rules})).collect()
}

fn method(method: &str) -> Value {
    json!({"to": [{"operation": {"methods": [method]}}]})
}

#[test]
fn deny_then_allow_then_the_rest() {
    let (all, none) = (json!([{}]), json!([]));
    let get = || json!([method("GET")]);
    for (what, list, verdict, policy, rule, reason) in [
        ("no policy", vec![], "ALLOW", None, None, "no_allow_policy"),
        ("ALLOW that matches", vec![("a", "ALLOW", get())], "ALLOW", Some("ns/a"), Some(0), "allow_rule_matched"),
        ("ALLOW that does not", vec![("a", "ALLOW", json!([method("PUT")]))], "DENY", None, None, "no_allow_rule_matched"),
        ("ALLOW without rules", vec![("a", "ALLOW", none.clone())], "DENY", None, None, "no_allow_rule_matched"),
        ("ALLOW of everything", vec![("a", "ALLOW", all.clone())], "ALLOW", Some("ns/a"), Some(0), "allow_rule_matched"),
        ("another ALLOW opens it", vec![("a", "ALLOW", none), ("b", "ALLOW", get())], "ALLOW", Some("ns/b"), Some(0), "allow_rule_matched"),
        ("DENY of everything", vec![("d", "DENY", all.clone())], "DENY", Some("ns/d"), Some(0), "deny_rule_matched"),
        ("DENY that does not match", vec![("d", "DENY", json!([method("PUT")]))], "ALLOW", None, None, "no_allow_policy"),
        (
            "DENY wins, wherever it is",
            vec![("a", "ALLOW", all.clone()), ("d", "DENY", get())],
            "DENY",
            Some("ns/d"),
            Some(0),
            "deny_rule_matched",
        ),
        (
            "DENY misses, ALLOW misses",
            vec![("d", "DENY", json!([method("PUT")])), ("a", "ALLOW", json!([method("PUT")]))],
            "DENY",
            None,
            None,
            "no_allow_rule_matched",
        ),
        (
            "the rule is counted in the document",
            vec![("a", "ALLOW", json!([method("PUT"), method("POST"), method("GET")]))],
            "ALLOW",
            Some("ns/a"),
            Some(2),
            "allow_rule_matched",
        ),
    ] {
        let policy_set = compile("http", &policies(&list));
        let decision = decide(&policy_set, &Fixture::new().header(":method", "GET"));
        let found = (decision.verdict.as_str(), decision.policy, decision.rule, decision.reason.as_str());
        assert_eq!(found, (verdict, policy, rule, reason), "{what}");
    }
}

#[test]
fn a_bad_token_comes_first() {
    let policy = compile("http", &policies(&[("d", "DENY", json!([{}]))]));
    let decision = decide(&policy, &Fixture::new().claims(json!({"exp": NOW - 61})));
    assert_eq!((decision.status(), decision.reason.as_str()), (401, "jwt_expired"));
    assert_eq!((decision.policy, decision.rule), (None, None));
}

#[test]
fn from_and_to_and_when_must_all_hold() {
    let rule = json!({
        "from": [{"source": {"principals": ["a"]}}, {"source": {"ipBlocks": ["10.0.0.0/8"], "notIpBlocks": ["10.9.0.0/16"]}}],
        "to": [{"operation": {"methods": ["GET"], "paths": ["/a"]}}, {"operation": {"ports": ["80"]}}],
        "when": [{"key": "connection.sni", "values": ["s", "t"], "notValues": ["t"]}, {"key": "request.headers[x]", "values": ["1"]}],
    });
    let policy = one("http", "ALLOW", &json!([rule]));
    let base = || Fixture::new().sni("s").header("x", "1");
    let to = |fixture: Fixture| fixture.header(":method", "GET").header(":path", "/a");
    for (fixture, allowed, what) in [
        (to(base().peer(&["a"])), true, "first source, first operation"),
        (base().peer(&["a"]).destination("1.1.1.1:80"), true, "first source, second operation"),
        (to(base().direct("10.1.1.1")), true, "second source"),
        (to(base().direct("10.9.1.1")), false, "what a source excludes"),
        (to(base()), false, "no source"),
        (base().peer(&["a"]).header(":method", "GET").header(":path", "/b"), false, "half an operation"),
        (base().peer(&["a"]), false, "no operation"),
        (to(Fixture::new().peer(&["a"]).sni("s")), false, "one condition fails"),
        (to(Fixture::new().peer(&["a"]).sni("t").header("x", "1")), false, "a value and its negation"),
    ] {
        assert_eq!(allows(&policy, &fixture), allowed, "{what}");
    }
}

#[test]
fn a_refusal_reads_as_envoys_does() {
    let rules = json!([method("GET")]);
    let get = Fixture::new().header(":method", "GET");
    for (policy, details) in [
        (one("http", "DENY", &rules), "rbac_access_denied_matched_policy[ns[ns]-policy[name]-rule[0]]"),
        (one("http", "ALLOW", &json!([])), "rbac_access_denied_matched_policy[none]"),
    ] {
        let decision = decide(&policy, &get);
        assert_eq!((decision.status(), decision.body(), decision.details().as_str()), (403, "RBAC: access denied", details));
    }
    let policy = one("http", "ALLOW", &rules);
    let decision = decide(&policy, &get.claims(json!({"iss": "x"})));
    assert_eq!((decision.status(), decision.body()), (401, "Jwt issuer is not configured"));
    assert_eq!(decision.details(), "jwt_authn_access_denied{Jwt_issuer_is_not_configured}");
}

#[test]
fn http_fields_on_tcp() {
    let from = |source: Value| json!({"from": [{"source": source}]});
    let (a, b) = (|| Fixture::new().tcp().peer(&["a"]), || Fixture::new().tcp().peer(&["b"]));
    let port = || json!({"to": [{"operation": {"ports": ["80"], "methods": ["GET"]}}]});
    for (what, action, rules, fixture, allowed) in [
        ("ALLOW without HTTP", "ALLOW", json!([from(json!({"principals": ["a"]}))]), a(), true),
        ("ALLOW without HTTP, another peer", "ALLOW", json!([from(json!({"principals": ["a"]}))]), b(), false),
        ("ALLOW with HTTP never matches", "ALLOW", json!([from(json!({"principals": ["a"], "requestPrincipals": ["*"]}))]), a(), false),
        ("nor when HTTP is negated", "ALLOW", json!([from(json!({"principals": ["a"], "notRequestPrincipals": ["*"]}))]), a(), false),
        (
            "nor with HTTP in an alternative",
            "ALLOW",
            json!([{"from": [{"source": {"principals": ["a"]}}, {"source": {"requestPrincipals": ["*"]}}]}]),
            a(),
            false,
        ),
        ("another rule of it does", "ALLOW", json!([method("GET"), from(json!({"principals": ["a"]}))]), a(), true),
        ("ALLOW with an address", "ALLOW", json!([from(json!({"remoteIpBlocks": ["10.0.0.0/8"]}))]), a().remote("10.0.0.1"), true),
        ("DENY of HTTP alone denies all", "DENY", json!([method("GET")]), a(), false),
        ("DENY keeps what is not HTTP", "DENY", json!([port()]), a().destination("1.1.1.1:80"), false),
        ("and that alone", "DENY", json!([port()]), a().destination("1.1.1.1:81"), true),
        (
            "DENY by peer and claim denies the peer",
            "DENY",
            json!([{"from": [{"source": {"principals": ["a"]}}], "when": [{"key": "request.auth.claims[x]", "notValues": ["y"]}]}]),
            a(),
            false,
        ),
        (
            "also where the claim is a condition",
            "DENY",
            json!([{"when": [{"key": "request.auth.claims[x]", "values": ["y"]}]}]),
            a(),
            false,
        ),
        (
            "and no other",
            "DENY",
            json!([{"from": [{"source": {"principals": ["a"]}}], "when": [{"key": "request.auth.claims[x]", "notValues": ["y"]}]}]),
            b(),
            true,
        ),
        (
            "DENY with HTTP in an alternative denies all",
            "DENY",
            json!([{"from": [{"source": {"principals": ["a"]}}, {"source": {"requestPrincipals": ["*"]}}]}]),
            b(),
            false,
        ),
    ] {
        assert_eq!(allows(&one("tcp", action, &rules), &fixture), allowed, "{what}");
    }
    let policy = one("tcp", "ALLOW", &json!([method("GET"), from(json!({"principals": ["a"]}))]));
    assert_eq!(decide(&policy, &a()).rule, Some(1), "rules keep the index of the document");
}

#[test]
fn a_decision_is_recorded_small_and_reads_back() {
    let policy = one("http", "DENY", &json!([{}]));
    let fixture = Fixture::new().peer(&["mesh.test/ns/shop/sa/cart", "other"]);
    let evaluation = evaluate(&policy, &fixture);
    assert_eq!(evaluation.decision.verdict, Verdict::Deny);
    let record = AuditRecord::new("", evaluation, &fixture.connection, &Authentication::Anonymous);
    let text = serde_json::to_string(&record).unwrap();
    let expected =
        r#"{"verdict":"DENY","policy":"ns/name","rule":0,"reason":"deny_rule_matched","principal":"spiffe://mesh.test/ns/shop/sa/cart"}"#;
    assert_eq!(text, expected);
    assert_eq!(serde_json::from_str::<AuditRecord>(&text).unwrap(), record);
}

#[test]
fn a_record_tells_whose_token_it_was() {
    let policy = compile("http", &policies(&[("a", "ALLOW", json!([{}]))]));
    let fixture = Fixture::new().claims(json!({"sub": "me", "secret": "not for the log"}));
    let token = unsigned(&json!({"alg": "EdDSA"}), &fixture.claims.clone().unwrap());
    let found = authenticate(&policy, &[("authorization".to_owned(), format!("Bearer {token}").into_bytes())], &Trusting);
    let text = serde_json::to_string(&AuditRecord::new("v1", evaluate(&policy, &fixture), &fixture.connection, &found)).unwrap();
    let expected = r#"{"verdict":"ALLOW","policy":"ns/a","rule":0,"reason":"allow_rule_matched","version":"v1","jwt_issuer":"https://issuer.test/a","jwt_subject":"me"}"#;
    assert_eq!(text, expected);
    // What could not be verified is nobody's.
    let refused = authenticate(&policy, &[("authorization".to_owned(), b"Bearer x".to_vec())], &Trusting);
    let record = AuditRecord::new("v1", evaluate(&policy, &fixture), &fixture.connection, &refused);
    assert_eq!((record.jwt_issuer, record.jwt_subject), (None, None));
    assert_eq!(serde_json::to_string(&AuditRecord::refused("why")).unwrap(), r#"{"verdict":"DENY","reason":"why"}"#);
}
