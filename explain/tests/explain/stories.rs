//! What a person is told.

use meshwright_explain::Case;
use serde_json::json;

use crate::support::*;

fn documents() -> String {
    let readers = json!([
        {"from": [{"source": {"principals": ["mesh.test/ns/shop/sa/admin"]}}]},
        {"from": [{"source": {"requestPrincipals": ["*"]}}], "to": [{"operation": {"methods": ["GET"], "paths": ["/books/*"]}}]},
    ]);
    let deny = json!([{"to": [{"operation": {"paths": ["/secret"]}}]}]);
    mesh("") + &tokens(&json!({})) + &policy("readers", "ALLOW", &readers) + &policy("secrets", "DENY", &deny)
}

#[test]
fn a_denial_tells_every_rule_and_what_came_nearest() {
    let mut case = case(&documents());
    case["request"]["path"] = json!("/x/../books/1?a=b");
    let case = Case::from_json(case.to_string().as_bytes()).unwrap();
    let expected = "\
DENY 403: no_allow_rule_matched
  workload     shop/cart-1:8080, mutual TLS PERMISSIVE
  path         /books/1
  nearest miss shop/readers rule 0: from.principals did not match
  rules, in the order in which they are tried:
    DENY shop/secrets rule 0: no match: to.paths
    ALLOW shop/readers rule 0: no match: from.principals
    ALLOW shop/readers rule 1: no match: from.requestPrincipals
";
    for mut explainer in [native(), wasm()] {
        assert_eq!(explainer.story(&case, NOW).to_string(), expected);
    }
}

#[test]
fn an_allowed_request_is_told_as_the_app_receives_it() {
    let mut case = case(&documents());
    case["request"]["path"] = json!("/books//1?a=b#c");
    let bearer = format!("Bearer {}", token(&json!({"sub": "alice"})));
    case["request"]["headers"] = json!([["authorization", bearer], ["x-user", "root"], ["x-a", "1"]]);
    let case = Case::from_json(case.to_string().as_bytes()).unwrap();
    let story = wasm().story(&case, NOW);
    let expected = "\
ALLOW 200: allow_rule_matched, shop/readers rule 1
  workload     shop/cart-1:8080, mutual TLS PERMISSIVE
  path         /books//1
  token of     https://issuer.test/alice
  rules, in the order in which they are tried:
    DENY shop/secrets rule 0: no match: to.paths
    ALLOW shop/readers rule 0: no match: from.principals
    ALLOW shop/readers rule 1: matches
  the app receives /books//1?a=b
    + x-user: alice
    - authorization
";
    assert_eq!(story.to_string(), expected);
    let json = serde_json::to_value(&story).unwrap();
    assert_eq!(json["headersAdded"], json!([["x-user", "alice"]]));
    assert_eq!(json["rules"][2], json!({"policy": "shop/readers", "rule": 1, "action": "ALLOW", "dryRun": false, "failed": []}));
    assert_eq!((&json["decision"], &json["target"], &json["mtlsMode"]), (&json!("allow"), &json!("/books//1?a=b"), &json!("PERMISSIVE")));
}

#[test]
fn what_no_policy_sees_is_told_with_its_reason() {
    let strict = document("PeerAuthentication", "strict", &json!({"mtls": {"mode": "STRICT"}}));
    let mut case = case(&(documents() + &strict));
    case["connection"]["tls"] = json!(null);
    let story = native().story(&Case::from_json(case.to_string().as_bytes()).unwrap(), NOW);
    assert_eq!(story.to_string(), "DENY: mtls_required\n  workload     shop/cart-1:8080, mutual TLS STRICT\n");
    case["connection"]["tls"] = json!({"principal": "spiffe://other.test/ns/shop/sa/web"});
    let story = native().story(&Case::from_json(case.to_string().as_bytes()).unwrap(), NOW);
    assert!(story.to_string().contains("  but          spiffe://other.test/ns/shop/sa/web is of no trust domain of this mesh"), "{story}");
    case["documents"] = json!("kind: Teapot");
    let story = native().story(&Case::from_json(case.to_string().as_bytes()).unwrap(), NOW);
    assert!(story.to_string().starts_with("ERROR: invalid_documents\n  documents:1:1: document 1 (Teapot): kind: "), "{story}");
}

#[test]
fn a_token_in_the_query_is_not_in_what_the_app_receives() {
    let mut case = case(&(mesh("") + &tokens(&json!({"fromParams": ["t"]}))));
    case["request"]["path"] = json!(format!("/a/../b?t={}&c=1", token(&json!({"sub": "alice"}))));
    let case = Case::from_json(case.to_string().as_bytes()).unwrap();
    for mut explainer in [native(), wasm()] {
        let json = serde_json::to_value(explainer.story(&case, NOW)).unwrap();
        assert_eq!((&json["path"], &json["target"], &json["host"]), (&json!("/b"), &json!("/b?c=1"), &json!("cart.shop")));
    }
}

#[test]
fn audits_and_dry_runs_are_told() {
    let dry_run = json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"namespace": "shop", "name": "dry", "annotations": {"istio.io/dry-run": "true"}}, "spec": {"action": "DENY", "rules": [{}]}});
    let case = case(&format!("{}{}---\n{dry_run}\n", mesh(""), policy("audit", "AUDIT", &json!([{}]))));
    let story = wasm().story(&Case::from_json(case.to_string().as_bytes()).unwrap(), NOW);
    let expected = "\
ALLOW 200: no_allow_policy
  workload     shop/cart-1:8080, mutual TLS PERMISSIVE
  path         /
  audited by   shop/audit rule 0
  with dry-run DENY by shop/dry rule 0 (deny_rule_matched)
  rules, in the order in which they are tried:
    AUDIT shop/audit rule 0: matches
    DENY (dry-run) shop/dry rule 0: matches
  the app receives /
";
    assert_eq!(story.to_string(), expected);
}

#[test]
fn policies_that_match_nothing_are_told_with_the_reason() {
    let of_others = document(
        "AuthorizationPolicy",
        "others",
        &json!({"action": "DENY", "selector": {"matchLabels": {"app": "other", "tier": "2"}}, "rules": [{}]}),
    );
    let mut case = case(&(documents() + &of_others + &document("AuthorizationPolicy", "nobody", &json!({}))));
    let told = |case: &serde_json::Value| native().story(&Case::from_json(case.to_string().as_bytes()).unwrap(), NOW).to_string();
    let always = "\
  policies that match nothing here:
    ALLOW shop/nobody: has no rules: what no other ALLOW policy matches is denied
    DENY shop/others: is for workloads with app=other,tier=2
";
    let of_request = told(&case);
    assert!(of_request.ends_with(always), "{of_request}");
    case["connection"]["protocol"] = json!("tcp");
    case["request"] = json!(null);
    let of_connection = told(&case);
    let rule = "    ALLOW shop/readers rule 1: asks about requests, and a TCP connection has none\n";
    assert!(of_connection.contains(always) && of_connection.contains(rule), "{of_connection}");
    assert!(!of_connection.contains("readers rule 0: asks"), "{of_connection}");
    let many: String = (10..31).map(|number| document("AuthorizationPolicy", &format!("nobody-{number}"), &json!({}))).collect();
    case["documents"] = json!(documents() + &many);
    assert!(told(&case).ends_with(" and 2 more\n") && told(&case).contains("nobody-29: ") && !told(&case).contains("nobody-30: "));
    let all = serde_json::to_value(native().story(&Case::from_json(case.to_string().as_bytes()).unwrap(), NOW)).unwrap();
    assert_eq!(all["silent"].as_array().unwrap().len(), 21 + 1, "and the rule about requests");
}
