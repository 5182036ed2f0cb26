//! What a document may not say: each with its field's path, and all of them at once.

use meshwright_policy::{Invalid, NO_KEYS, Policy, validate_jwt_rules, validate_rules, wire};
use serde_json::{Value, json};

use crate::keys;

fn rule_problems(action: wire::Action, rules: &Value) -> Vec<Invalid> {
    let rules: Vec<wire::Rule> = serde_json::from_value(rules.clone()).unwrap();
    validate_rules("ns", action, &rules).err().unwrap_or_default()
}

fn paths(found: &[Invalid]) -> Vec<&str> {
    found.iter().map(|error| error.path.as_str()).collect()
}

#[test]
fn rules_that_say_nothing_or_too_much() {
    let source = |source: Value| json!([{"from": [{"source": source}]}]);
    let when = |when: Value| json!([{"when": [when]}]);
    for (rules, path, message) in [
        (json!([{"from": []}]), "rules[0].from", "found an empty list"),
        (json!([{}, {"to": []}]), "rules[1].to", "found an empty list"),
        (json!([{"when": []}]), "rules[0].when", "found an empty list"),
        (json!([{"from": [{}]}]), "rules[0].from[0].source", "missing"),
        (json!([{"to": [{}]}]), "rules[0].to[0].operation", "missing"),
        (json!([{"from": [{"source": null}]}]), "rules[0].from[0].source", "missing"),
        (source(json!({})), "rules[0].from[0].source", "found no field"),
        (json!([{"to": [{"operation": {}}]}]), "rules[0].to[0].operation", "found no field"),
        (source(json!({"principals": []})), "rules[0].from[0].source.principals", "found an empty list"),
        (source(json!({"principals": ["a"], "notNamespaces": []})), "rules[0].from[0].source.notNamespaces", "found an empty list"),
        (source(json!({"principals": ["a", ""]})), "rules[0].from[0].source.principals[1]", "found an empty string"),
        (source(json!({"principals": ["spiffe://a/b"]})), "rules[0].from[0].source.principals[0]", "found `spiffe://a/b`"),
        (source(json!({"notRequestPrincipals": ["/s"]})), "rules[0].from[0].source.notRequestPrincipals[0]", "found `/s`"),
        (source(json!({"namespaces": ["a/b"]})), "rules[0].from[0].source.namespaces[0]", "found `a/b`"),
        (source(json!({"trustDomains": [""]})), "rules[0].from[0].source.trustDomains[0]", "found an empty string"),
        (source(json!({"serviceAccounts": ["a/b/c"]})), "rules[0].from[0].source.serviceAccounts[0]", "found `a/b/c`"),
        (source(json!({"serviceAccounts": ["a*"]})), "rules[0].from[0].source.serviceAccounts[0]", "found `a*`"),
        (source(json!({"serviceAccounts": ["a"], "principals": ["b"]})), "rules[0].from[0].source.serviceAccounts", "found beside"),
        (source(json!({"notServiceAccounts": ["a"], "namespaces": ["b"]})), "rules[0].from[0].source.notServiceAccounts", "found beside"),
        (source(json!({"serviceAccounts": vec!["a"; 17]})), "rules[0].from[0].source.serviceAccounts", "found 17 values"),
        (source(json!({"ipBlocks": ["10.0.0.0/33"]})), "rules[0].from[0].source.ipBlocks[0]", "found `10.0.0.0/33`"),
        (source(json!({"ipBlocks": ["10.0.0"]})), "rules[0].from[0].source.ipBlocks[0]", "found `10.0.0`"),
        (source(json!({"notIpBlocks": ["010.0.0.1"]})), "rules[0].from[0].source.notIpBlocks[0]", "found `010.0.0.1`"),
        (source(json!({"remoteIpBlocks": ["fe80::1%eth0"]})), "rules[0].from[0].source.remoteIpBlocks[0]", "found `fe80::1%eth0`"),
        (source(json!({"remoteIpBlocks": ["*"]})), "rules[0].from[0].source.remoteIpBlocks[0]", "found `*`"),
        (json!([{"to": [{"operation": {"ports": ["0"]}}]}]), "rules[0].to[0].operation.ports[0]", "found `0`"),
        (json!([{"to": [{"operation": {"ports": ["65536"]}}]}]), "rules[0].to[0].operation.ports[0]", "found `65536`"),
        (json!([{"to": [{"operation": {"notPorts": ["+80"]}}]}]), "rules[0].to[0].operation.notPorts[0]", "found `+80`"),
        (json!([{"to": [{"operation": {"ports": ["8*"]}}]}]), "rules[0].to[0].operation.ports[0]", "found `8*`"),
        (json!([{"to": [{"operation": {"paths": ["/a{*}"]}}]}]), "rules[0].to[0].operation.paths[0]", "found the path template `/a{*}`"),
        (json!([{"to": [{"operation": {"paths": ["/{**}/{*}"]}}]}]), "rules[0].to[0].operation.paths[0]", "found the path template"),
        (when(json!({"key": "source.ip"})), "rules[0].when[0]", "found neither values nor notValues"),
        (when(json!({"key": "source.ip", "values": []})), "rules[0].when[0].values", "found an empty list"),
        (when(json!({"key": "source.ip", "values": ["x"]})), "rules[0].when[0].values[0]", "found `x`"),
        (when(json!({"key": "destination.port", "notValues": ["x"]})), "rules[0].when[0].notValues[0]", "found `x`"),
        (when(json!({"key": "", "values": ["x"]})), "rules[0].when[0].key", "found ``"),
        (when(json!({"key": "source.port", "values": ["x"]})), "rules[0].when[0].key", "found `source.port`"),
        (when(json!({"key": "destination.labels[a]", "values": ["x"]})), "rules[0].when[0].key", "found `destination.labels[a]`"),
        (when(json!({"key": "destination.user", "values": ["x"]})), "rules[0].when[0].key", "found `destination.user`"),
        (when(json!({"key": "request.headers", "values": ["x"]})), "rules[0].when[0].key", "found `request.headers`"),
        (when(json!({"key": "request.headers[]", "values": ["x"]})), "rules[0].when[0].key", "found `request.headers[]`"),
        (when(json!({"key": "request.headers[a b]", "values": ["x"]})), "rules[0].when[0].key", "found `request.headers[a b]`"),
        (when(json!({"key": "request.headers[a][b]", "values": ["x"]})), "rules[0].when[0].key", "found `request.headers[a][b]`"),
        (when(json!({"key": "request.auth.claims[a", "values": ["x"]})), "rules[0].when[0].key", "found `request.auth.claims[a`"),
        (when(json!({"key": "request.auth.claims[a]b]", "values": ["x"]})), "rules[0].when[0].key", "found `request.auth.claims[a]b]`"),
        (when(json!({"key": "request.auth.claims[a][]", "values": ["x"]})), "rules[0].when[0].key", "found `request.auth.claims[a][]`"),
        (
            when(json!({"key": "experimental.envoy.filters.a", "values": ["x"]})),
            "rules[0].when[0].key",
            "found `experimental.envoy.filters.a`",
        ),
        (when(json!({"key": "experimental.other[a]", "values": ["x"]})), "rules[0].when[0].key", "found `experimental.other[a]`"),
        (when(json!({"key": "experimental.envoy.filters.a[b]", "values": ["[]"]})), "rules[0].when[0].values[0]", "found an empty string"),
    ] {
        for action in [wire::Action::Allow, wire::Action::Deny] {
            let found = rule_problems(action, &rules);
            assert_eq!(paths(&found), [path], "{rules}");
            assert!(found[0].message.starts_with(message), "{}", found[0]);
        }
    }
}

#[test]
fn numbers_of_rules_and_sources() {
    assert_eq!(rule_problems(wire::Action::Allow, &json!(vec![json!({}); 512])), []);
    assert_eq!(paths(&rule_problems(wire::Action::Allow, &json!(vec![json!({}); 513]))), ["rules"]);
    let sources = |count: usize| json!([{"from": vec![json!({"source": {"principals": ["a"]}}); count]}]);
    assert_eq!(rule_problems(wire::Action::Deny, &sources(512)), []);
    assert_eq!(paths(&rule_problems(wire::Action::Deny, &sources(513))), ["rules[0].from"]);
    assert_eq!(rule_problems(wire::Action::Allow, &json!([])), []);
    assert_eq!(paths(&rule_problems(wire::Action::Deny, &json!([]))), ["rules"]);
}

#[test]
fn all_errors_are_told() {
    let found = rule_problems(
        wire::Action::Deny,
        &json!([
            {"from": [{"source": {"ipBlocks": ["x", "10.0.0.1", "y"]}}, {}], "to": []},
            {"when": [{"key": "nonsense"}, {"key": "source.ip", "values": ["z"], "notValues": [""]}]},
        ]),
    );
    let expected = [
        "rules[0].from[0].source.ipBlocks[0]",
        "rules[0].from[0].source.ipBlocks[2]",
        "rules[0].from[1].source",
        "rules[0].to",
        "rules[1].when[0]",
        "rules[1].when[0].key",
        "rules[1].when[1].values[0]",
        "rules[1].when[1].notValues[0]",
    ];
    assert_eq!(paths(&found), expected);
}

#[test]
fn jwt_rules() {
    let rule = |extra: Value| {
        let mut rule = json!({"issuer": "i", "jwks": keys::JWKS});
        rule.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        rule
    };
    let output = |header: &str, claim: &str| json!({"outputClaimToHeaders": [{"header": header, "claim": claim}]});
    for (rule, expected) in [
        (rule(json!({})), vec![]),
        (rule(json!({"issuer": ""})), vec!["jwtRules[0].issuer"]),
        (json!({"issuer": "i"}), vec!["jwtRules[0].issuer"]),
        (json!({"issuer": ""}), vec!["jwtRules[0].issuer"]),
        (json!({"issuer": "https://i.example/a", "timeout": "1s"}), vec![]),
        (json!({"issuer": "https://i.example/a?b"}), vec!["jwtRules[0].issuer"]),
        (json!({"issuer": "i", "jwksUri": "https://a", "timeout": "1s"}), vec![]),
        (json!({"issuer": "i", "jwksUri": "a"}), vec!["jwtRules[0].jwksUri"]),
        (json!({"issuer": "i", "jwksUri": "http://169.254.169.254/keys"}), vec!["jwtRules[0].jwksUri"]),
        (json!({"issuer": "i", "jwksUri": "https://a", "outputPayloadToHeader": "host"}), vec!["jwtRules[0].outputPayloadToHeader"]),
        (rule(json!({"jwksUri": "https://a"})), vec!["jwtRules[0]"]),
        (json!({"issuer": "i", "jwks": NO_KEYS}), vec!["jwtRules[0].jwks"]),
        (rule(json!({"timeout": "5s"})), vec!["jwtRules[0].timeout"]),
        (rule(json!({"audiences": []})), vec!["jwtRules[0].audiences"]),
        (rule(json!({"audiences": ["a", ""]})), vec!["jwtRules[0].audiences[1]"]),
        (rule(json!({"fromHeaders": []})), vec!["jwtRules[0].fromHeaders"]),
        (rule(json!({"fromHeaders": [{"name": ""}]})), vec!["jwtRules[0].fromHeaders[0].name"]),
        (rule(json!({"fromHeaders": [{"name": "a b"}]})), vec!["jwtRules[0].fromHeaders[0].name"]),
        (rule(json!({"fromHeaders": [{"name": ":path"}]})), vec!["jwtRules[0].fromHeaders[0].name"]),
        (rule(json!({"fromParams": []})), vec!["jwtRules[0].fromParams"]),
        (rule(json!({"fromParams": [""]})), vec!["jwtRules[0].fromParams[0]"]),
        (rule(json!({"fromCookies": [""]})), vec!["jwtRules[0].fromCookies[0]"]),
        (rule(json!({"spaceDelimitedClaims": [""]})), vec!["jwtRules[0].spaceDelimitedClaims[0]"]),
        (rule(json!({"outputPayloadToHeader": ""})), vec!["jwtRules[0].outputPayloadToHeader"]),
        (rule(json!({"outputPayloadToHeader": ":authority"})), vec!["jwtRules[0].outputPayloadToHeader"]),
        (rule(json!({"outputPayloadToHeader": "Content-Length"})), vec!["jwtRules[0].outputPayloadToHeader"]),
        // It would be taken from every request before a token could be found in it.
        (rule(json!({"outputPayloadToHeader": "Authorization"})), vec!["jwtRules[0].outputPayloadToHeader"]),
        (rule(json!({"outputPayloadToHeader": "cookie", "fromCookies": ["a"]})), vec!["jwtRules[0].outputPayloadToHeader"]),
        (rule(json!({"outputPayloadToHeader": "authorization", "fromHeaders": [{"name": "x"}]})), vec![]),
        (rule(json!({"outputClaimToHeaders": []})), vec!["jwtRules[0].outputClaimToHeaders"]),
        (rule(output("Host", "a")), vec!["jwtRules[0].outputClaimToHeaders[0].header"]),
        (rule(output("a\nb", "a")), vec!["jwtRules[0].outputClaimToHeaders[0].header"]),
        (rule(output("x-a", "a..b")), vec!["jwtRules[0].outputClaimToHeaders[0].claim"]),
        (rule(output("x-a", "")), vec!["jwtRules[0].outputClaimToHeaders[0].claim"]),
        (
            rule(json!({"outputPayloadToHeader": "x-a", "outputClaimToHeaders": [{"header": "X-A", "claim": "c"}]})),
            vec!["jwtRules[0].outputClaimToHeaders[0].header"],
        ),
    ] {
        let parsed: wire::JwtRule = serde_json::from_value(rule.clone()).unwrap();
        let found = validate_jwt_rules(&[parsed]).err().unwrap_or_default();
        assert_eq!(paths(&found), expected, "{rule}");
    }
    let crossed = [rule(json!({"outputPayloadToHeader": "x-a"})), rule(json!({"fromHeaders": [{"name": "X-A"}]}))];
    let crossed = crossed.map(|rule| serde_json::from_value::<wire::JwtRule>(rule).unwrap());
    assert_eq!(paths(&validate_jwt_rules(&crossed).unwrap_err()), ["jwtRules"]);
}

#[test]
fn a_configuration_with_one_bad_part_is_no_policy() {
    let config = json!({
        "version": 1, "protocol": "http", "trust_domain": "a", "trust_domain_aliases": ["b", "C"],
        "request_authentication": [{"namespace": "n", "name": "t", "jwt_rules": [{"issuer": "i"}]}],
        "authorization": [
            {"namespace": "n", "name": "a", "action": "ALLOW", "rules": [{"from": [{"source": {"ipBlocks": ["x"]}}]}]},
            {"namespace": "n", "name": "a", "action": "DENY", "rules": []},
            {"namespace": "", "name": "a/b", "action": "ALLOW"},
        ],
    });
    let error = Policy::from_json(config.to_string().as_bytes()).unwrap_err();
    let expected = [
        "trust_domain_aliases[1]",
        "authorization[1]",
        "authorization[2]",
        "authorization[0].rules[0].from[0].source.ipBlocks[0]",
        "authorization[1].rules",
        "request_authentication[0].jwt_rules[0].jwks",
    ];
    assert_eq!(paths(&error.errors), expected);
    assert!(error.to_string().contains("; authorization[0].rules[0].from[0].source.ipBlocks[0]: found `x`; "), "{error}");
}

#[test]
fn the_module_fetches_no_keys() {
    let problems = |rule: Value| {
        let config = json!({"version": 1, "protocol": "http", "trust_domain": "a",
            "request_authentication": [{"namespace": "n", "name": "t", "jwt_rules": [rule]}]});
        Policy::from_json(config.to_string().as_bytes()).map_or_else(|error| error.errors, |_| Vec::new())
    };
    let at = |field: &str| format!("request_authentication[0].jwt_rules[0].{field}");
    assert_eq!(paths(&problems(json!({"issuer": "https://i.example"}))), [at("jwks")]);
    assert_eq!(paths(&problems(json!({"issuer": "i", "jwksUri": "https://a"}))), [at("jwksUri"), at("jwks")]);
    assert_eq!(paths(&problems(json!({"issuer": "i", "jwks": keys::JWKS, "timeout": "1s"}))), [at("timeout")]);
    assert_eq!(problems(json!({"issuer": "i", "jwks": NO_KEYS})), []);
    for not_quite in [r#"{"keys": [ ]}"#, r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#] {
        assert_eq!(
            paths(&problems(json!({"issuer": "i", "jwks": not_quite}))),
            [at("jwks")],
            "only an issuer without fetched keys has none"
        );
    }
}
