//! The answer's fields, case by case.

use serde_json::{Value, json};

use crate::support::*;

type Change = fn(&mut Value);

fn with(documents: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut case = case(documents);
    change(&mut case);
    answer(&case)
}

fn readers() -> String {
    let rules = json!([
        {"to": [{"operation": {"paths": ["/public"]}}]},
        {"from": [{"source": {"principals": ["mesh.test/ns/shop/sa/web"]}}], "to": [{"operation": {"methods": ["GET"], "paths": ["/books*"]}}]},
    ]);
    mesh("") + &policy("readers", "ALLOW", &rules)
}

#[test]
fn an_allowed_request_has_every_field() {
    let answer = with(&readers(), |case| {
        case["id"] = json!(7);
        case["request"]["path"] = json!("/x/../books/1?page=2#top");
        case["request"]["headers"] = json!([["X-A", "1"], ["b", " 2 "], ["x-a", "3"]]);
    });
    let expected = json!({
        "id": 7, "decision": "allow", "status": 200, "policy": "shop/readers", "rule": 1, "reason": "allow_rule_matched",
        "path": "/books/1", "requestPrincipal": null, "requestHeaders": [["x-a", "1"], ["b", "2"], ["x-a", "3"]], "error": null,
    });
    assert_eq!(answer, expected);
    let names: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names.len(), 10, "{names:?}");
}

#[test]
fn denials_name_who_denied() {
    let denied = with(&readers(), |case| case["request"]["method"] = json!("POST"));
    assert_eq!(
        denied,
        json!({"id": "case", "decision": "deny", "status": 403, "policy": null, "rule": null, "reason": "no_allow_rule_matched",
            "path": "/", "requestPrincipal": null, "requestHeaders": [], "error": null})
    );
    let admin = readers() + &policy("no-admin", "DENY", &json!([{"to": [{"operation": {"paths": ["/books/admin"]}}]}]));
    let denied = with(&admin, |case| case["request"]["path"] = json!("/books/./admin"));
    assert_eq!((&denied["policy"], &denied["rule"], &denied["reason"]), (&json!("shop/no-admin"), &json!(0), &json!("deny_rule_matched")));
    assert_eq!(denied["path"], "/books/admin");
}

#[test]
fn without_policies_everything_is_allowed() {
    for documents in [String::new(), mesh("")] {
        let answer = with(&documents, |_| ());
        assert_eq!((&answer["decision"], &answer["reason"], &answer["policy"]), (&json!("allow"), &json!("no_allow_policy"), &json!(null)));
    }
}

#[test]
fn a_tcp_connection_has_no_status_path_or_headers() {
    let rules = json!([{"from": [{"source": {"principals": ["mesh.test/ns/shop/sa/web"]}}], "to": [{"operation": {"ports": ["8080"]}}]}]);
    let documents = mesh("") + &policy("callers", "ALLOW", &rules);
    let allowed = answer(&tcp_case(&documents));
    assert_eq!(
        allowed,
        json!({"id": "case", "decision": "allow", "status": null, "policy": "shop/callers", "rule": 0, "reason": "allow_rule_matched",
            "path": "", "requestPrincipal": null, "requestHeaders": [], "error": null})
    );
    let mut other = tcp_case(&documents);
    other["connection"]["port"] = json!(8081);
    let denied = answer(&other);
    assert_eq!(
        (&denied["decision"], &denied["status"], &denied["reason"]),
        (&json!("deny"), &json!(null), &json!("no_allow_rule_matched"))
    );
}

#[test]
fn the_listener_takes_only_what_peer_authentication_says() {
    let mode = |mode: &str| mesh("") + &document("PeerAuthentication", "mode", &json!({"mtls": {"mode": mode}}));
    let plaintext = |case: &mut Value| case["connection"]["tls"] = Value::Null;
    for (documents, plain, decision, reason) in [
        (mode("STRICT"), true, "deny", "mtls_required"),
        (mode("STRICT"), false, "allow", "no_allow_policy"),
        (mode("DISABLE"), false, "deny", "mtls_disabled"),
        (mode("DISABLE"), true, "allow", "no_allow_policy"),
        (mode("PERMISSIVE"), true, "allow", "no_allow_policy"),
        (mode("PERMISSIVE"), false, "allow", "no_allow_policy"),
    ] {
        for protocol in [case, tcp_case] {
            let mut case = protocol(&documents);
            if plain {
                plaintext(&mut case);
            }
            let answer = answer(&case);
            assert_eq!((&answer["decision"], &answer["reason"]), (&json!(decision), &json!(reason)), "{case}");
            assert!(decision == "allow" || answer["status"].is_null(), "{answer}");
        }
    }
    let port = json!({"selector": {"matchLabels": {"app": "cart"}}, "mtls": {"mode": "STRICT"}, "portLevelMtls": {"9090": {"mode": "PERMISSIVE"}}});
    let documents = mesh("") + &document("PeerAuthentication", "port", &port);
    for (number, decision) in [(8080, "deny"), (9090, "allow")] {
        let answer = with(&documents, |case| {
            plaintext(case);
            case["connection"]["port"] = json!(number);
        });
        assert_eq!(answer["decision"], decision, "{number}");
    }
}

#[test]
fn addresses_are_those_that_envoy_believes() {
    let rules = json!([{"from": [{"source": {"ipBlocks": ["10.0.0.1"], "remoteIpBlocks": ["192.0.2.7"]}}], "when": [
        {"key": "destination.ip", "values": ["10.0.0.2"]}, {"key": "destination.port", "values": ["8080"]},
        {"key": "connection.sni", "values": ["cart.test"]}]}]);
    let documents = mesh("") + &policy("addresses", "ALLOW", &rules);
    for (what, remote, forwarded, source, decision) in [
        ("told", Some("192.0.2.7"), None, "10.0.0.1", "allow"),
        ("forwarded", None, Some("1.1.1.1, 192.0.2.7"), "10.0.0.1", "allow"),
        ("told goes before forwarded", Some("192.0.2.7"), Some("1.1.1.1"), "10.0.0.1", "allow"),
        ("told otherwise", Some("1.1.1.1"), Some("192.0.2.7"), "10.0.0.1", "deny"),
        ("neither", None, None, "10.0.0.1", "deny"),
        ("another caller", Some("192.0.2.7"), None, "10.0.0.3", "deny"),
    ] {
        let answer = with(&documents, |case| {
            case["connection"]["sourceIp"] = json!(source);
            case["connection"]["sni"] = json!("cart.test");
            case["request"]["remoteIp"] = json!(remote);
            if let Some(value) = forwarded {
                case["request"]["headers"] = json!([["x-forwarded-for", value]]);
            }
        });
        assert_eq!(answer["decision"], decision, "{what}");
    }
}

#[test]
fn the_mesh_says_how_paths_are_normalised() {
    let rules = json!([{"to": [{"operation": {"paths": ["/a/b"]}}]}]);
    for (mode, path, seen, decision) in [
        ("NONE", "/a//b", "/a//b", "deny"),
        ("BASE", "/a//b", "/a//b", "deny"),
        ("BASE", "/a/x/../b?q", "/a/b", "allow"),
        ("BASE", "/a%2fb", "/a%2fb", "deny"),
        ("MERGE_SLASHES", "/a//b", "/a/b", "allow"),
        ("MERGE_SLASHES", "/a%2Fb", "/a%2Fb", "deny"),
        ("DECODE_AND_MERGE_SLASHES", "/a%2F/b", "/a/b", "allow"),
        ("DECODE_AND_MERGE_SLASHES", "/a%5cb", "/a/b", "allow"),
    ] {
        let documents = mesh(&format!(", pathNormalization: {mode}")) + &policy("paths", "ALLOW", &rules);
        let answer = with(&documents, |case| case["request"]["path"] = json!(path));
        assert_eq!((&answer["path"], &answer["decision"]), (&json!(seen), &json!(decision)), "{mode} {path}");
    }
}

#[test]
fn what_envoy_refuses_itself_no_policy_sees() {
    let changes: [(&str, Value, u16, &str); 6] = [
        ("method", json!("get"), 400, "invalid_method"),
        ("path", json!("/%00"), 400, "invalid_path"),
        ("path", json!("x"), 400, "invalid_path"),
        ("host", json!("a b"), 400, "invalid_host"),
        ("headers", json!([["a b", "c"]]), 400, "invalid_header_name"),
        ("headers", json!([["a", "b\r\nc: d"]]), 400, "invalid_header_value"),
    ];
    for (field, value, status, reason) in changes {
        let answer = with(&readers(), |case| case["request"][field] = value.clone());
        assert_eq!(
            (&answer["decision"], &answer["status"], &answer["reason"], &answer["path"]),
            (&json!("deny"), &json!(status), &json!(reason), &json!("")),
            "{field} {value}"
        );
    }
}

#[test]
fn a_case_that_cannot_be_answered_says_why() {
    let cases: [(&str, Change, &str, &str); 6] = [
        ("a document", (|case| case["documents"] = json!("kind: Teapot")), "invalid_documents", "Teapot"),
        ("two documents", |case| case["documents"] = json!(format!("{}---\n{}", mesh(""), mesh(""))), "invalid_documents", "already in"),
        ("a field", |case| case["surplus"] = json!(1), "invalid_case", "surplus"),
        ("the workload", |case| case["workload"]["serviceAccount"] = json!("a/b"), "invalid_case", "workload.serviceAccount"),
        ("the address", |case| case["connection"]["destinationIp"] = json!(null), "invalid_case", "connection.destinationIp"),
        (
            "the directory",
            |case| {
                case["config"] = json!("/nonexistent");
                case.as_object_mut().unwrap().remove("documents");
            },
            "invalid_documents",
            "/nonexistent",
        ),
    ];
    for (what, change, reason, message) in cases {
        let answer = with("", change);
        assert_eq!((&answer["id"], &answer["decision"], &answer["reason"]), (&json!("case"), &json!("error"), &json!(reason)), "{what}");
        assert_eq!((&answer["status"], &answer["requestHeaders"]), (&json!(null), &json!([])), "{what}");
        assert!(answer["error"].as_str().unwrap().contains(message), "{what}: {answer}");
    }
}

#[test]
fn policies_are_chosen_by_namespace_and_labels_of_the_case() {
    let deny = |namespace: &str, app: &str| {
        let spec = json!({"selector": {"matchLabels": {"app": app}}, "action": "DENY", "rules": [{}]});
        json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"namespace": namespace, "name": "deny"}, "spec": spec})
    };
    for (namespace, app, decision) in
        [("shop", "cart", "deny"), ("shop", "other", "allow"), ("root", "cart", "deny"), ("bank", "cart", "allow")]
    {
        let answer = with(&format!("{}---\n{}\n", mesh(""), deny(namespace, app)), |_| ());
        assert_eq!(answer["decision"], decision, "{namespace} {app}");
    }
}

#[test]
fn what_an_external_authorizer_decides_is_left_open() {
    let providers = mesh(", extensionProviders: [{name: opa, envoyExtAuthzGrpc: {service: opa.shop.svc, port: 9191}}]");
    let service = json!({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"namespace": "shop", "name": "opa"},
        "spec": {"hosts": ["opa.shop.svc"], "ports": [{"number": 9191, "name": "grpc", "protocol": "GRPC"}], "resolution": "STATIC",
            "endpoints": [{"address": "10.0.0.9"}]}});
    let ask = json!({"action": "CUSTOM", "provider": {"name": "opa"}, "rules": [{"to": [{"operation": {"paths": ["/x", "/y"]}}]}]});
    let deny = policy("no", "DENY", &json!([{"to": [{"operation": {"paths": ["/y"]}}]}]));
    let documents = format!("{providers}---\n{service}\n{}{deny}", document("AuthorizationPolicy", "ask", &ask));
    for (path, decision, reason, by) in [
        ("/", "allow", "no_allow_policy", json!(null)),
        ("/x", "error", "external_authorizer", json!("shop/ask")),
        ("/y", "deny", "deny_rule_matched", json!("shop/no")),
    ] {
        let answer = with(&documents, |case| case["request"]["path"] = json!(path));
        assert_eq!((&answer["decision"], &answer["reason"], &answer["policy"]), (&json!(decision), &json!(reason), &by), "{answer}");
        assert_eq!(answer["error"].is_null(), decision != "error", "{answer}");
    }
}
