//! Generated policy sets. Every one of them is valid: both sides must take it.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use crate::envoy::{PORT, PolicySet};
use crate::tokens::{ISSUER_A, ISSUER_B, Issuers};

/// Fields of a source, and the key that says the same in `when`.
const SOURCES: &[(&str, &str, &[&str])] = &[
    ("principals", "source.principal", &["*", "mesh.test/ns/a/sa/x"]),
    ("namespaces", "source.namespace", &["a", "b*"]),
    (
        "requestPrincipals",
        "request.auth.principal",
        &["*", "https://a.test/me", "https://a.test/*", "*/you", "https://a.test/m*", "https://*", "*e", "me"],
    ),
    ("ipBlocks", "source.ip", &["127.0.0.1", "127.0.0.64/26", "127.0.0.0/8", "10.0.0.0/8", "::1"]),
    ("remoteIpBlocks", "remote.ip", &["127.0.0.0/8", "10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "0.0.0.0/0"]),
];
const OPERATIONS: &[(&str, &[&str])] = &[
    ("hosts", &["a.test", "A.*", "*.TEST", "*", "b.test:*", "a.test:18080"]),
    ("methods", &["GET", "P*", "*T", "*", "OPTIONS"]),
    (
        "paths",
        &[
            "/",
            "/a",
            "/a*",
            "*/b",
            "*",
            "/a/b",
            "/A*",
            "*.html",
            "/a//b",
            "/a%2Fb",
            "/a;x=1",
            "/{*}",
            "/a/{*}",
            "/{**}",
            "/a/{**}/c",
            "/{*}/b",
            "/a/{**}",
            "/{*}/{**}",
        ],
    ),
    ("ports", &["18080", "80"]),
];
/// What only `when` can ask.
const CONDITIONS: &[(&str, &[&str])] = &[
    ("request.headers[x-a]", &["1", "1,2", "1*", "*2", "*", ","]),
    ("request.headers[X-Token]", &["*", "Key*"]),
    ("request.headers[:method]", &["GET", "P*"]),
    ("request.headers[Host]", &["a.test", "A*", "*80"]),
    ("request.headers[authorization]", &["*", "Bearer *"]),
    ("request.auth.audiences", &["books", "b*", "*", "other"]),
    ("request.auth.presenter", &["app", "*p"]),
    ("request.auth.claims[groups]", &["customer", "r*", "*", "7"]),
    ("request.auth.claims[scope]", &["read", "w*", "read write"]),
    ("request.auth.claims[org][role]", &["admin", "*"]),
    ("request.auth.claims[missing]", &["x", "*"]),
    ("request.auth.claims[iss]", &["https://a.test", "*"]),
    ("destination.port", &["18080", "80"]),
    ("destination.ip", &["127.0.0.0/8", "10.0.0.0/8"]),
    ("connection.sni", &["a.test", "*"]),
    ("experimental.envoy.filters.http.told[text]", &["one", "o*", "*", "[one]"]),
    ("experimental.envoy.filters.http.told[list]", &["[one]", "[*o]", "[three]", "one", "*"]),
    ("experimental.envoy.filters.http.told[number]", &["7", "*", "[7]"]),
    ("experimental.envoy.filters.http.told[missing]", &["*", "[*]"]),
];

fn some_of(values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    subsequence(values, 1..=2).prop_map(|values| json!(values))
}

/// An object of one to three fields, each given or negated or both.
fn fields(of: &'static [(&'static str, &'static [&'static str])]) -> impl Strategy<Value = Value> {
    let one = select(of).prop_flat_map(|(name, values)| (Just(name), some_of(values), some_of(values), 0..5_u8));
    prop::collection::vec(one, 1..=3).prop_map(|chosen| {
        let mut fields = Map::new();
        for (name, yes, no, which) in chosen {
            if which != 0 {
                fields.insert(name.to_owned(), yes);
            }
            if which <= 1 {
                fields.insert(format!("not{}{}", name[..1].to_uppercase(), &name[1..]), no);
            }
        }
        Value::Object(fields)
    })
}

fn source() -> impl Strategy<Value = Value> {
    let list: Vec<_> = SOURCES.iter().map(|(field, _, values)| (*field, *values)).collect();
    fields(list.leak()).prop_map(|fields| json!({"source": fields}))
}

fn operation() -> impl Strategy<Value = Value> {
    fields(OPERATIONS).prop_map(|fields| json!({"operation": fields}))
}

fn condition() -> impl Strategy<Value = Value> {
    let keys: Vec<_> = SOURCES.iter().map(|(_, key, values)| (*key, *values)).chain(CONDITIONS.iter().copied()).collect();
    select(keys).prop_flat_map(|(key, values)| (Just(key), some_of(values), some_of(values), 0..5_u8)).prop_map(|(key, yes, no, which)| {
        let mut condition = json!({"key": key});
        if which != 0 {
            condition["values"] = yes;
        }
        if which <= 1 {
            condition["notValues"] = no;
        }
        condition
    })
}

fn some_list(of: impl Strategy<Value = Value>, weight: f64) -> impl Strategy<Value = Option<Vec<Value>>> {
    prop::option::weighted(weight, prop::collection::vec(of, 1..=2))
}

fn rule() -> impl Strategy<Value = Value> {
    let parts = (some_list(source(), 0.5), some_list(operation(), 0.6), some_list(condition(), 0.4));
    parts.prop_map(|(from, to, when)| {
        let parts = [("from", from), ("to", to), ("when", when)];
        parts.into_iter().filter_map(|(name, list)| Some((name.to_owned(), json!(list?)))).collect::<Map<_, _>>().into()
    })
}

fn authorization() -> impl Strategy<Value = Vec<Value>> {
    let rules = prop_oneof![9 => prop::collection::vec(rule(), 1..=4), 1 => Just(Vec::new())];
    let one = (prop_oneof![3 => Just("ALLOW"), 1 => Just("DENY")], rules);
    prop::collection::vec(one, 0..=4).prop_map(|list| {
        let policy = |(index, (action, rules)): (usize, (&str, Vec<Value>))| {
            // Only an ALLOW policy may be without rules.
            let action = if rules.is_empty() { "ALLOW" } else { action };
            json!({"namespace": "test", "name": format!("p{index}"), "action": action, "rules": rules})
        };
        list.into_iter().enumerate().map(policy).collect()
    })
}

fn locations() -> impl Strategy<Value = Value> {
    select(vec![
        json!({}),
        json!({}),
        json!({}),
        json!({"fromHeaders": [{"name": "X-Token"}]}),
        json!({"fromHeaders": [{"name": "x-token", "prefix": "Key "}]}),
        json!({"fromHeaders": [{"name": "Authorization", "prefix": "Bearer "}, {"name": "x-token"}]}),
        json!({"fromParams": ["t"]}),
        json!({"fromCookies": ["session"]}),
        json!({"fromHeaders": [{"name": "x-token"}], "fromParams": ["t", "access_token"]}),
    ])
}

fn jwt_rule(issuer: &'static str, jwks: String) -> impl Strategy<Value = Value> {
    let options = (locations(), any::<bool>(), any::<bool>(), any::<bool>(), prop::option::weighted(0.3, Just(json!(["books", "mugs"]))));
    options.prop_map(move |(mut rule, forward, payload, user, audiences)| {
        rule["issuer"] = json!(issuer);
        rule["jwks"] = json!(jwks);
        if forward {
            rule["forwardOriginalToken"] = json!(true);
        }
        if payload {
            rule["outputPayloadToHeader"] = json!("x-payload");
        }
        if user {
            rule["outputClaimToHeaders"] = json!([{"header": "x-user", "claim": "sub"}]);
        }
        if let Some(audiences) = audiences {
            rule["audiences"] = audiences;
        }
        rule
    })
}

fn authentication(issuers: &Issuers) -> impl Strategy<Value = Vec<Value>> {
    let (a, b) = (jwt_rule(ISSUER_A, issuers.jwks_a()), jwt_rule(ISSUER_B, issuers.jwks_b()));
    (a, b, 0..8_u8).prop_map(|(a, b, which)| {
        let document = |name: &str, rules: Vec<Value>| json!({"namespace": "test", "name": name, "jwt_rules": rules});
        match which {
            0 => Vec::new(),
            1..=4 => vec![document("a", vec![a])],
            5 => vec![document("both", vec![b, a])],
            _ => vec![document("b", vec![b]), document("a", vec![a])],
        }
    })
}

pub(crate) fn policy_set(issuers: &Issuers) -> impl Strategy<Value = PolicySet> {
    const { assert!(PORT == 18_080, "policies name the port") };
    (authentication(issuers), authorization()).prop_map(|(authentication, authorization)| PolicySet { authentication, authorization })
}
