//! Both engines give the same answers, to whatever is asked.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::support::*;

/// Some of `values`, of which none is left out by none being chosen.
fn some(values: &'static [&'static str]) -> impl Strategy<Value = Option<Vec<&'static str>>> {
    proptest::option::of(vec(select(values), 1..3))
}

fn object(fields: Vec<(&'static str, Option<Value>)>) -> Value {
    Value::Object(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>())
}

fn list(values: Option<Vec<&'static str>>) -> Option<Value> {
    values.map(|values| json!(values))
}

const PRINCIPALS: &[&str] = &["mesh.test/ns/shop/sa/web", "mesh.test/ns/*", "*/sa/web", "*", "old.test/ns/bank/sa/ledger"];
const PATHS: &[&str] = &["/", "/a", "/a/*", "*/b", "/a/{*}/c", "/{**}", "*"];
const ADDRESSES: &[&str] = &["10.0.0.1", "10.0.0.0/8", "192.0.2.0/24", "::/0"];

fn source() -> impl Strategy<Value = Value> {
    let requests = &["https://issuer.test/alice", "https://issuer.test/*", "*"];
    let fields =
        (some(PRINCIPALS), some(PRINCIPALS), some(&["shop", "b*"]), some(ADDRESSES), some(ADDRESSES), some(requests), some(requests));
    fields.prop_map(|(principals, not_principals, namespaces, blocks, not_remote, requests, not_requests)| {
        let mut source = object(vec![
            ("principals", list(principals)),
            ("notPrincipals", list(not_principals)),
            ("namespaces", list(namespaces)),
            ("ipBlocks", list(blocks)),
            ("notRemoteIpBlocks", list(not_remote)),
            ("requestPrincipals", list(requests)),
            ("notRequestPrincipals", list(not_requests)),
        ]);
        if source == json!({}) {
            source = json!({"ipBlocks": ["0.0.0.0/0", "::/0"]});
        }
        json!({"source": source})
    })
}

fn operation() -> impl Strategy<Value = Value> {
    let fields = (some(&["GET", "P*"]), some(PATHS), some(PATHS), some(&["cart.shop", "cart.shop:*", "*.test"]), some(&["8080", "9090"]));
    fields.prop_map(|(methods, paths, not_paths, hosts, ports)| {
        let mut operation = object(vec![
            ("methods", list(methods)),
            ("paths", list(paths)),
            ("notPaths", list(not_paths)),
            ("hosts", list(hosts)),
            ("ports", list(ports)),
        ]);
        if operation == json!({}) {
            operation = json!({"methods": ["*"]});
        }
        json!({"operation": operation})
    })
}

fn condition() -> impl Strategy<Value = Value> {
    let keys =
        &["request.headers[x-a]", "request.headers[x-user]", "request.auth.claims[groups]", "request.auth.audiences", "connection.sni"];
    (select(&keys[..]), select(&["1", "1,2", "alice", "g1", "cart*", "*"][..]), any::<bool>()).prop_map(|(key, value, negated)| {
        let values = if negated { "notValues" } else { "values" };
        json!({"key": key, values: [value]})
    })
}

fn rule() -> impl Strategy<Value = Value> {
    (vec(source(), 0..2), vec(operation(), 0..2), vec(condition(), 0..2)).prop_map(|(from, to, when)| {
        let part = |part: Vec<Value>| (!part.is_empty()).then(|| json!(part));
        object(vec![("from", part(from)), ("to", part(to)), ("when", part(when))])
    })
}

fn documents() -> impl Strategy<Value = String> {
    let policies = vec((select(&["ALLOW", "DENY"][..]), vec(rule(), 1..3)), 0..4);
    let normalization = select(&["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"][..]);
    let jwt = select(vec![
        json!({}),
        json!({"forwardOriginalToken": true}),
        json!({"fromHeaders": [{"name": "x-token"}]}),
        json!({"audiences": ["cart"]}),
    ]);
    (policies, normalization, proptest::option::of(jwt), select(&["STRICT", "PERMISSIVE"][..])).prop_map(
        |(policies, normalization, jwt, mode)| {
            let mut text = mesh(&format!(", pathNormalization: {normalization}, trustDomainAliases: [old.test]"));
            for (index, (action, rules)) in policies.into_iter().enumerate() {
                text += &policy(&format!("p{index}"), action, &json!(rules));
            }
            text += &jwt.map(|jwt| tokens(&jwt)).unwrap_or_default();
            text + &document("PeerAuthentication", "mode", &json!({"mtls": {"mode": mode}}))
        },
    )
}

fn header() -> impl Strategy<Value = Value> {
    let claims = select(vec![
        json!({"sub": "alice"}),
        json!({"sub": "alice", "groups": ["g1", "g2"], "aud": "cart"}),
        json!({"aud": ["other"], "exp": NOW + 60}),
        json!({"sub": "bob", "exp": NOW - 3600}),
    ]);
    let bearer = |name: &'static str, prefix: &'static str| move |claims: Value| json!([name, format!("{prefix}{}", token(&claims))]);
    prop_oneof![
        (
            select(&["x-a", "X-A", "x-user", "cookie", "x-forwarded-for", "accept", "connection", "te", "a b"][..]),
            "[ -~]{0,6}|1|192\\.0\\.2\\.7|x-a"
        )
            .prop_map(|(name, value)| json!([name, value])),
        claims.clone().prop_map(bearer("authorization", "Bearer ")),
        claims.prop_map(bearer("x-token", "")),
        Just(json!(["authorization", "Bearer x.y.z"])),
    ]
}

fn question() -> impl Strategy<Value = Value> {
    let peers = &["mesh.test/ns/shop/sa/web", "mesh.test/ns/bank/sa/ledger", "old.test/ns/shop/sa/web"];
    let connection = (
        any::<bool>(),
        proptest::option::of(select(&peers[..])),
        select(&["10.0.0.1", "192.0.2.7", "2001:db8::1"][..]),
        select(&[8080, 9090][..]),
    );
    let request = (
        select(&["GET", "POST", "get"][..]),
        "/[a-c/.%25;?#]{0,8}|/a|/a/b|/a/x/c|/a%2fb",
        select(&["cart.shop", "CART.shop:80", "x.test"][..]),
        vec(header(), 0..4),
    );
    (connection, request, proptest::option::of(select(&["192.0.2.7", "10.9.9.9"][..])), select(&["cart.test", "x"][..]), 0..3_u64).prop_map(
        |((tcp, peer, source, port), (method, path, host, headers), remote, sni, hour)| {
            let mut case = if tcp { tcp_case("") } else { case("") };
            let connection = &mut case["connection"];
            connection["tls"] = peer.map_or(Value::Null, |peer| json!({"principal": peer}));
            connection["sourceIp"] = json!(source);
            connection["port"] = json!(port);
            connection["sni"] = json!(sni);
            if !tcp {
                case["request"] = json!({"method": method, "path": path, "host": host, "headers": headers, "remoteIp": remote});
            }
            case["now"] = json!(format!("2026-01-01T0{hour}:00:00Z"));
            case
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_module_and_the_library_answer_the_same(documents in documents(), questions in vec(question(), 24)) {
        let (mut native, mut wasm) = (native(), wasm());
        for mut question in questions {
            question["documents"] = json!(documents);
            let line = question.to_string();
            let expected = native.answer_line(line.as_bytes(), NOW);
            prop_assert_eq!(&wasm.answer_line(line.as_bytes(), NOW), &expected, "{}", question);
            prop_assert!(expected.error.is_none(), "{:?}", expected.error);
        }
    }
}
