//! Any policy, any request: the compiled policy and the slow reading of it agree on the verdict, the policy and the rule.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use crate::reference;
use crate::support::{Fixture, ISSUER, compile, decide};

/// Each key of a condition, its patterns, and whether a field of `source` or `operation` says the same.
const ATTRIBUTES: &[(&str, &str, &[&str])] = &[
    (
        "source.principal",
        "principals",
        &["mesh.test/ns/a/sa/x", "old.test/ns/b/sa/y", "cluster.local/ns/a/sa/y", "*/sa/x", "other.test/ns/a/*", "*"],
    ),
    ("source.namespace", "namespaces", &["a", "b", "a*", "*b", "*"]),
    ("source.serviceAccount", "serviceAccounts", &["x", "a/x", "b/y"]),
    ("source.trustDomain", "trustDomains", &["mesh.test", "old.test", "other.test", "cluster.local", "*.test", "m*"]),
    ("source.ip", "ipBlocks", &["10.0.0.0/8", "10.0.0.1", "192.0.2.0/24", "2001:db8::/32"]),
    ("remote.ip", "remoteIpBlocks", &["10.0.0.0/8", "192.0.2.7", "::/0"]),
    (
        "request.auth.principal",
        "requestPrincipals",
        &["*", "https://issuer.test/a/me", "https://issuer.test/a/*", "*/you", "https://issuer.test/a/m*"],
    ),
    ("", "hosts", &["a.test", "A.*", "*.TEST", "*"]),
    ("", "methods", &["GET", "P*", "*T", "*"]),
    ("", "paths", &["/", "/a", "/a*", "*/b", "*"]),
    ("destination.port", "ports", &["80", "443"]),
    ("destination.ip", "", &["10.0.0.0/8", "10.1.1.1"]),
    ("connection.sni", "", &["a.test", "*.test", "a*", "*"]),
    ("request.headers[x-a]", "", &["1", "1,2", "1*", "*2", "*", ","]),
    ("request.auth.audiences", "", &["a", "b*", "*"]),
    ("request.auth.presenter", "", &["a", "*b"]),
    ("request.auth.claims[scope]", "", &["read", "w*"]),
    ("request.auth.claims[roles]", "", &["admin", "*r"]),
];
const OF_SOURCE: std::ops::Range<usize> = 0..7;
const OF_OPERATION: std::ops::Range<usize> = 7..11;

fn values(index: usize) -> impl Strategy<Value = Value> {
    subsequence(ATTRIBUTES[index].2, 1..=2).prop_map(|values| json!(values))
}

/// An object of some of the fields, each given or negated or both.
fn fields(range: std::ops::Range<usize>) -> impl Strategy<Value = Value> {
    let one = select(range.collect::<Vec<_>>()).prop_flat_map(|index| (Just(index), values(index), values(index), 0..4_u8));
    prop::collection::vec(one, 1..3).prop_map(|chosen| {
        let accounts = chosen[0].0 == 2;
        let mut fields = Map::new();
        for (index, yes, no, which) in chosen {
            // Service accounts go with no other name of the peer.
            if accounts != (index == 2) && index < 3 {
                continue;
            }
            let name = ATTRIBUTES[index].1;
            if which != 1 {
                fields.insert(name.to_owned(), yes);
            }
            if which == 1 || which == 3 {
                fields.insert(format!("not{}{}", name[..1].to_uppercase(), &name[1..]), no);
            }
        }
        Value::Object(fields)
    })
}

fn conditions() -> impl Strategy<Value = Value> {
    let keyed: Vec<usize> = (0..ATTRIBUTES.len()).filter(|index| !ATTRIBUTES[*index].0.is_empty()).collect();
    let one =
        select(keyed).prop_flat_map(|index| (Just(index), values(index), values(index), 0..3_u8)).prop_map(|(index, yes, no, which)| {
            let mut condition = json!({"key": ATTRIBUTES[index].0});
            if which != 1 {
                condition["values"] = yes;
            }
            if which != 0 {
                condition["notValues"] = no;
            }
            condition
        });
    prop::collection::vec(one, 1..3).prop_map(|list| json!(list))
}

fn rule() -> impl Strategy<Value = Value> {
    let from = prop::option::of(prop::collection::vec(fields(OF_SOURCE).prop_map(|source| json!({"source": source})), 1..3));
    let to = prop::option::of(prop::collection::vec(fields(OF_OPERATION).prop_map(|operation| json!({"operation": operation})), 1..3));
    (from, to, prop::option::weighted(0.3, conditions())).prop_map(|(from, to, when)| {
        let mut rule = Map::new();
        rule.extend(from.map(|from| ("from".to_owned(), json!(from))));
        rule.extend(to.map(|to| ("to".to_owned(), json!(to))));
        rule.extend(when.map(|when| ("when".to_owned(), when)));
        Value::Object(rule)
    })
}

pub(crate) fn policies(most: usize) -> impl Strategy<Value = Value> {
    let one = (select(&["ALLOW", "DENY"][..]), prop::collection::vec(rule(), 1..4), select(&["a", "b"][..]));
    prop::collection::vec(one, 0..most).prop_map(|list| {
        let policy = |(index, (action, rules, namespace)): (usize, (&str, Vec<Value>, &str))| {
            json!({"namespace": namespace, "name": format!("p{index}"), "action": action, "rules": rules})
        };
        list.into_iter().enumerate().map(policy).collect()
    })
}

fn some<T: std::fmt::Debug + Clone + 'static>(values: &'static [T]) -> impl Strategy<Value = Option<T>> {
    prop::option::weighted(0.8, select(values))
}

fn claims() -> impl Strategy<Value = Option<Value>> {
    let aud = [Value::Null, json!("a"), json!(["b1", "x"]), json!([])];
    let of = (
        some(&["me", "you", "m", ""]),
        select(aud.to_vec()),
        some(&["a", "ab"]),
        some(&["read write", "writes"]),
        select(vec![json!("admin"), json!(["x", "user"]), json!(7), json!({"admin": "r"})]),
    );
    prop::option::of(of.prop_map(|(sub, aud, azp, scope, roles)| {
        let mut claims = json!({"iss": ISSUER, "roles": roles});
        if let Some(sub) = sub {
            claims["sub"] = json!(sub);
        }
        if !aud.is_null() {
            claims["aud"] = aud;
        }
        if let Some(azp) = azp {
            claims["azp"] = json!(azp);
        }
        if let Some(scope) = scope {
            claims["scope"] = json!(scope);
        }
        claims
    }))
}

pub(crate) fn request() -> impl Strategy<Value = Fixture> {
    const PEERS: &[&str] = &[
        "mesh.test/ns/a/sa/x",
        "old.test/ns/a/sa/y",
        "other.test/ns/a/sa/x",
        "mesh.test/ns/b/sa/y",
        "cluster.local/ns/b/sa/x",
        "mesh.test/ns/ab/sa/x",
    ];
    let network = (
        subsequence(PEERS, 0..=2),
        some(&["10.0.0.1", "192.0.2.7", "2001:db8::1"]),
        some(&["10.0.0.1", "192.0.2.7", "::1"]),
        some(&["10.1.1.1:80", "10.1.1.1:443", "[::1]:80"]),
        some(&["a.test", "b.test", "a", ""]),
    );
    let http = (
        some(&["GET", "PUT", "POST", "get"]),
        some(&["a.test", "A.TEST", "a.test:80", ""]),
        some(&["/", "/a", "/a/b?x=/a", "/b#/a", "*"]),
        prop::collection::vec(select(&["1", "2", "", "1,2"][..]), 0..3),
        claims(),
    );
    (network, http).prop_map(|((peers, direct, remote, destination, sni), (method, host, path, values, claims))| {
        let mut fixture = Fixture::new();
        if !peers.is_empty() {
            fixture = fixture.peer(&peers);
        }
        fixture = direct.into_iter().fold(fixture, Fixture::direct);
        fixture = remote.into_iter().fold(fixture, Fixture::remote);
        fixture = destination.into_iter().fold(fixture, Fixture::destination);
        fixture = sni.into_iter().fold(fixture, Fixture::sni);
        for (name, value) in [(":method", method), (":authority", host), (":path", path)] {
            fixture = value.into_iter().fold(fixture, |fixture, value| fixture.header(name, value));
        }
        fixture = values.into_iter().fold(fixture, |fixture, value| fixture.header("X-A", value));
        claims.into_iter().fold(fixture, Fixture::claims)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn compiled_and_read_agree(authorization in policies(4), requests in prop::collection::vec(request(), 1..8)) {
        agree(&authorization, &requests)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    /// So many that rules are found by an index.
    #[test]
    fn many_rules_and_read_agree(authorization in policies(40), requests in prop::collection::vec(request(), 8..32)) {
        agree(&authorization, &requests)?;
    }
}

fn agree(authorization: &Value, requests: &[Fixture]) -> Result<(), TestCaseError> {
    let policy = compile("http", authorization);
    let wire: Vec<meshwright_policy::wire::AuthorizationPolicy> = serde_json::from_value(authorization.clone()).unwrap();
    for request in requests {
        let decision = decide(&policy, request);
        let by = decision.policy.map(|name| (name.to_owned(), usize::try_from(decision.rule.unwrap()).unwrap()));
        let found = (decision.verdict == meshwright_policy::Verdict::Allow, by);
        prop_assert_eq!(found, reference::decide(&wire, "mesh.test", &["old.test"], request), "{} {:?}", authorization, request);
    }
    Ok(())
}
