//! What goes with a decision: audits, policies in dry-run, external authorizers, the nearest miss.

use meshwright_policy::wire::{Action, Protocol};
use meshwright_policy::{AuditRecord, Authentication, Fact, Reason, Verdict, trace};
use serde_json::{Value, json};

use crate::support::*;

fn path(path: &str) -> Value {
    json!({"to": [{"operation": {"paths": [path]}}]})
}

fn get(path: &str) -> Fixture {
    Fixture::new().header(":path", path).header(":method", "GET")
}

fn policy(action: &str, name: &str, rules: Value, more: &Value) -> Value {
    let mut policy = json!({"namespace": "ns", "name": name, "action": action, "rules": rules});
    for (key, value) in more.as_object().unwrap() {
        policy[key] = value.clone();
    }
    policy
}

#[test]
fn an_audit_rule_is_named_and_decides_nothing() {
    let audit = policy("AUDIT", "watch", json!([path("/x"), path("/a")]), &json!({}));
    let open = compile("http", &json!([audit]));
    let evaluation = evaluate(&open, &get("/a"));
    assert_eq!(evaluation.decision.reason, Reason::NoAllowPolicy, "an AUDIT policy is no ALLOW policy");
    assert_eq!(evaluation.audit.map(|rule| (rule.policy, rule.rule)), Some(("ns/watch", 1)));
    assert_eq!(evaluate(&open, &get("/b")).audit, None);
}

#[test]
fn policies_in_dry_run_decide_nothing_and_say_what_they_would() {
    let dry = json!({"dry_run": true});
    let all = compile(
        "http",
        &json!([
            policy("ALLOW", "real", json!([path("/a"), path("/b")]), &json!({})),
            policy("DENY", "dry-deny", json!([path("/b")]), &dry),
            policy("ALLOW", "dry-allow", json!([path("/c")]), &dry),
        ]),
    );
    for (path, verdict, shadow) in [
        ("/a", Verdict::Allow, (Verdict::Allow, Some("ns/real"))),
        ("/b", Verdict::Allow, (Verdict::Deny, Some("ns/dry-deny"))),
        ("/c", Verdict::Deny, (Verdict::Allow, Some("ns/dry-allow"))),
        ("/d", Verdict::Deny, (Verdict::Deny, None)),
    ] {
        let evaluation = evaluate(&all, &get(path));
        assert_eq!(evaluation.decision.verdict, verdict, "{path}");
        assert_eq!(evaluation.shadow.map(|shadow| (shadow.verdict, shadow.policy)), Some(shadow), "{path}");
    }
    // An ALLOW policy in dry-run leaves everything allowed, as if it were not there.
    let only = compile("http", &json!([policy("ALLOW", "dry", json!([path("/a")]), &dry)]));
    let evaluation = evaluate(&only, &get("/b"));
    assert_eq!((evaluation.decision.reason, evaluation.shadow.unwrap().verdict), (Reason::NoAllowPolicy, Verdict::Deny));
    assert_eq!(evaluate(&compile("http", &json!([])), &get("/")).shadow, None);
}

#[test]
fn every_provider_that_a_rule_asks_for_is_named_once() {
    let all = compile(
        "http",
        &json!([
            policy("CUSTOM", "one", json!([path("/x"), path("/a*")]), &json!({"provider": "opa"})),
            policy("CUSTOM", "two", json!([path("/a")]), &json!({"provider": "opa"})),
            policy("CUSTOM", "three", json!([path("*a")]), &json!({"provider": "legacy"})),
        ]),
    );
    let evaluation = evaluate(&all, &get("/a"));
    let custom: Vec<_> = evaluation.custom.iter().map(|check| (check.provider, check.rule.policy, check.rule.rule)).collect();
    assert_eq!(custom, [("legacy", "ns/three", 0), ("opa", "ns/one", 1)]);
    assert_eq!(evaluation.decision.verdict, Verdict::Allow, "the policy lets pass what the providers are to judge");
    assert_eq!(evaluate(&all, &get("/b")).custom, []);
}

#[test]
fn a_providers_denial_is_its_rules() {
    let all = compile("http", &json!([policy("CUSTOM", "ask", json!([{}]), &json!({"provider": "opa"}))]));
    let fixture = get("/a");
    let record = AuditRecord::new("v", evaluate(&all, &fixture), &fixture.connection, &Authentication::Anonymous).denied_by_provider();
    assert_eq!((&*record.verdict, &*record.reason, record.policy.as_deref()), ("DENY", "custom_provider_denied", Some("ns/ask")));
}

#[test]
fn a_default_deny_names_the_rule_that_failed_by_least_and_why() {
    let rules = json!([
        {"from": [{"source": {"namespaces": ["other"]}}], "to": [{"operation": {"paths": ["/x"], "methods": ["POST"]}}]},
        {
            "to": [{"operation": {"paths": ["/a"], "methods": ["POST"]}}, {"operation": {"paths": ["/y"], "methods": ["POST"]}}],
            "when": [{"key": "request.headers[x-a]", "notValues": ["1"]}],
        },
        {"when": [{"key": "request.auth.claims[a][b]", "values": ["1"]}, {"key": "source.ip", "values": ["10.0.0.1"]}]},
    ]);
    let policy = one("http", "ALLOW", &rules);
    let miss = evaluate(&policy, &get("/a")).nearest.unwrap();
    assert_eq!((miss.rule.policy, miss.rule.rule, miss.failed), ("ns/name", 1, vec!["to.methods".to_owned()]));
    let miss = evaluate(&policy, &get("/a").header("x-a", "1").direct("10.0.0.1")).nearest.unwrap();
    assert_eq!((miss.rule.rule, miss.failed), (2, vec!["when.request.auth.claims[a][b]".to_owned()]));
    for (action, fixture) in [("ALLOW", get("/a").header(":method", "POST")), ("DENY", get("/b"))] {
        assert_eq!(evaluate(&one("http", action, &json!([path("/b"), {}])), &fixture).nearest, None, "{action}");
    }
    let nobody = one("http", "ALLOW", &json!([]));
    let never = evaluate(&nobody, &get("/a"));
    assert_eq!((never.decision.reason, never.nearest), (Reason::NoAllowRuleMatched, None), "there is no rule to be near to");
}

#[test]
fn a_trace_has_every_rule_in_the_order_of_the_layers() {
    let all = compile(
        "http",
        &json!([
            policy("ALLOW", "allow", json!([path("/a"), path("/b")]), &json!({})),
            policy("DENY", "deny", json!([{"from": [{"source": {"notPrincipals": ["*"]}}]}]), &json!({"dry_run": true})),
            policy("AUDIT", "audit", json!([{}]), &json!({})),
            policy("CUSTOM", "custom", json!([path("/z")]), &json!({"provider": "opa"})),
        ]),
    );
    let trace = with_request(&all, &get("/b").peer(&["mesh.test/ns/a/sa/b"]), |request| {
        let considered = trace(&all, request).into_iter();
        considered.map(|c| (c.action, c.rule.policy.to_owned(), c.rule.rule, c.dry_run, c.failed.join(" "))).collect::<Vec<_>>()
    });
    let expected = [
        (Action::Custom, "ns/custom", 0, false, "to.paths"),
        (Action::Audit, "ns/audit", 0, false, ""),
        (Action::Deny, "ns/deny", 0, true, "from.notPrincipals"),
        (Action::Allow, "ns/allow", 0, false, "to.paths"),
        (Action::Allow, "ns/allow", 1, false, ""),
    ];
    assert_eq!(trace, expected.map(|(action, policy, rule, dry, failed)| (action, policy.to_owned(), rule, dry, failed.to_owned())));
}

#[test]
fn wrong_combinations_are_refused() {
    for (action, more, path) in [
        ("CUSTOM", json!({}), "authorization[0].provider"),
        ("CUSTOM", json!({"provider": ""}), "authorization[0].provider"),
        ("ALLOW", json!({"provider": "opa"}), "authorization[0].provider"),
        ("AUDIT", json!({"dry_run": true}), "authorization[0].dry_run"),
        ("CUSTOM", json!({"provider": "opa", "dry_run": true}), "authorization[0].dry_run"),
    ] {
        let config =
            json!({"version": 1, "protocol": "http", "trust_domain": "t", "authorization": [policy(action, "p", json!([{}]), &more)]});
        let errors = meshwright_policy::Policy::from_json(config.to_string().as_bytes()).unwrap_err().errors;
        assert_eq!(errors.iter().map(|error| error.path.as_str()).collect::<Vec<_>>(), [path], "{action} {more}");
    }
}

#[test]
fn a_policy_tells_what_it_looks_at() {
    let policy = one("http", "ALLOW", &json!([{"from": [{"source": {"notPrincipals": ["a"], "remoteIpBlocks": ["1.1.1.1"]}}]}]));
    let needed = [Fact::Peer, Fact::DirectIp, Fact::RemoteIp, Fact::Destination, Fact::Sni].map(|fact| policy.needs(fact));
    assert_eq!(needed, [true, false, true, false, false]);
    assert_eq!(policy.protocol(), Protocol::Http);
    let audit =
        compile("http", &json!([self::policy("AUDIT", "p", json!([{"when": [{"key": "connection.sni", "values": ["a"]}]}]), &json!({}))]));
    assert!(audit.needs(Fact::Sni) && !audit.needs(Fact::Peer));
}
