//! Each parser of longer inputs on some hundred of them: at random, nearly right, and right.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;

/// An authority's certificate.
const ROOT: &str = include_str!("../../../identity/bundle/tests/support/root.pem");
const RECORD: &str = r#"{"time":"2026-01-01T00:00:00.000Z","protocol":"http","direction":"inbound","namespace":"shop","workload":"a","source_principal":"spiffe://fuzz.example/ns/shop/sa/b","source_address":"10.0.0.1:40000","destination_address":"10.0.0.9:8080","method":"GET","host":"h","path":"/a/1","status":200,"response_flags":"","verdict":"ALLOW","policy":"shop/p","rule":0,"reason":"allow_rule_matched","bytes_received":0,"bytes_sent":9,"duration_ms":1}"#;
const CASE: &str = r#"{"id":"a","documents":"","workload":{"namespace":"shop","name":"a","serviceAccount":"a","labels":{"app":"a"}},"connection":{"protocol":"http","port":8080,"destinationIp":"10.0.0.9","sourceIp":"10.0.0.1","tls":{"principal":"spiffe://fuzz.example/ns/shop/sa/b"},"sni":null},"request":{"method":"GET","path":"/a/1?x=2","host":"h","headers":[["X","y"],["authorization","Bearer e30.e30.AA"]],"remoteIp":null},"now":"2026-01-01T00:00:00Z"}"#;
const TESTS: &str = "keys: {k: ES256}\nissuers: {}\ntokens: {t: {issuer: i, claims: {a: [1, null]}}}\ntests:\n- name: a\n  workload: shop/a\n  path: /a/1\n  table:\n    columns: [from, method, token, expect]\n    rows:\n    - [shop/b, GET, null, allow]\n    - [plaintext, GET, null, deny]\n";

/// Expressions in CEL that are mostly such, a few levels deep.
fn cel() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        select(vec![
            "request.headers",
            "request.path",
            "request.headers['x-a']",
            "request.time",
            "source.address",
            "connection.mtls",
            "x",
            "null",
            "true",
            "b'\\xff'",
            "r'\\n'",
            "'é'",
            "1u",
            "-1",
            "0x1F",
            "1e400",
            "9223372036854775807",
            "-9223372036854775808",
            "[]",
            "{}",
            "timestamp('2026-01-01T00:00:00Z')",
            "duration('1h')",
            "int",
            "google.protobuf.Duration{seconds: 1}",
        ])
        .prop_map(str::to_owned),
        "[a-z]{1,3}",
        "[0-9]{1,20}",
        r#""[ -~]{0,8}""#,
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operator = select(vec!["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "in"]);
        let macros = select(vec!["all", "exists", "exists_one", "map", "filter"]);
        let functions =
            select(vec!["size", "string", "int", "uint", "double", "bytes", "has", "type", "timestamp", "duration", "dyn", "!", "-"]);
        let methods = select(vec!["contains", "startsWith", "endsWith", "matches", "size", "getFullYear", "getHours", "nothing"]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, operator, b)| format!("({a} {operator} {b})")),
            (inner.clone(), macros, inner.clone()).prop_map(|(a, name, b)| format!("{a}.{name}(x, {b})")),
            (functions, inner.clone()).prop_map(|(name, a)| format!("{name}({a})")),
            (inner.clone(), methods, inner.clone()).prop_map(|(a, name, b)| format!("{a}.{name}({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("{a} ? {b} : {c}")),
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{{a}: {b}}}")),
            (inner, "[a-z]{1,3}").prop_map(|(a, field)| format!("{a}.{field}")),
        ]
    })
}

/// One character is another, or more.
fn changed(text: &str, (place, letters): &(usize, String)) -> String {
    let place = place % text.len();
    let mut changed = text.to_owned();
    changed.replace_range(place..=place, letters);
    changed
}

fn change() -> impl Strategy<Value = (usize, String)> {
    (any::<usize>(), r#"[\[\]{}",:0-9a-z\\/*. -]{0,3}"#)
}

/// gRPC's frames of requests.
fn frames(requests: &[DeltaDiscoveryRequest]) -> Vec<u8> {
    let frame = |request: &DeltaDiscoveryRequest| {
        let body = request.encode_to_vec();
        [&[0], u32::try_from(body.len()).unwrap().to_be_bytes().as_slice(), &body].concat()
    };
    requests.iter().flat_map(frame).collect()
}

fn request() -> impl Strategy<Value = DeltaDiscoveryRequest> {
    let names = || prop::collection::vec(select(vec!["a", "b", "c", "*", "", "xdstp://x/*"]).prop_map(str::to_owned), 0..4);
    let kind = select(vec!["envoy.config.cluster.v3.Cluster", "envoy.extensions.transport_sockets.tls.v3.Secret", "x", ""]);
    let versions = prop::collection::hash_map("[abc]", "[a-z0-9.]{0,8}", 0..3);
    let nonce = select(vec!["", "1", "2", "c1", "x"]);
    (any::<bool>(), kind, names(), names(), nonce, any::<bool>(), versions).prop_map(
        |(node, kind, subscribe, unsubscribe, nonce, nack, versions)| DeltaDiscoveryRequest {
            node: node.then(|| Node { id: "sidecar~n/a".to_owned(), ..Node::default() }),
            type_url: format!("type.googleapis.com/{kind}"),
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            response_nonce: nonce.to_owned(),
            error_detail: nack.then(Default::default),
            initial_resource_versions: versions,
            ..DeltaDiscoveryRequest::default()
        },
    )
}

/// Or nothing would be looked at.
#[test]
fn what_is_right_is_taken() {
    for expression in ["1 + 1", "request.headers['x-a'] == '1'", "[1, 2].all(x, x > 0)", "request.path.matches('^/a')"] {
        assert!(meshwright_fuzz::expression(expression.as_bytes()), "{expression}");
    }
    for expression in ["1 +", "nothing(1)", "1 / 0"] {
        assert!(!meshwright_fuzz::expression(expression.as_bytes()), "{expression}");
    }
    assert_eq!(meshwright_fuzz::access_log(format!("{RECORD}\n{RECORD}\n{{").as_bytes()), 2);
    assert!(meshwright_fuzz::explain_case(CASE.as_bytes()) && !meshwright_fuzz::explain_case(b"{}"));
    assert!(meshwright_fuzz::policy_test(TESTS.as_bytes()) && !meshwright_fuzz::policy_test(b"tests: []"));
    assert!(meshwright_fuzz::certificates(ROOT.as_bytes()) && !meshwright_fuzz::certificates(b"-"));
    let request = meshwright_ca::client::generate_key().unwrap().signing_request().unwrap();
    assert!(meshwright_fuzz::signing_request(&request) && !meshwright_fuzz::signing_request(&[0x30, 0]));
    let asks = DeltaDiscoveryRequest {
        node: Some(Node { id: "sidecar~n/a".to_owned(), ..Node::default() }),
        type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
        ..DeltaDiscoveryRequest::default()
    };
    // The aggregated service and that of clusters; and the first reads it as state of the world, whose first fields are others.
    assert!(meshwright_fuzz::discovery(&frames(&[asks]), 7) >= 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn expressions_end(bytes in prop::collection::vec(any::<u8>(), 0..60), expression in cel()) {
        let _taken = meshwright_fuzz::expression(&bytes);
        let _taken = meshwright_fuzz::expression(expression.as_bytes());
    }

    #[test]
    fn nothing_but_answers_comes_of_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1..50_usize) {
        let _taken = meshwright_fuzz::access_log(&bytes);
        let _taken = meshwright_fuzz::explain_case(&bytes);
        let _taken = meshwright_fuzz::certificates(&bytes);
        let _taken = meshwright_fuzz::signing_request(&bytes);
        let _taken = meshwright_fuzz::discovery(&bytes, piece);
    }

    #[test]
    fn nor_of_lines_that_are_nearly_right(change in change()) {
        let _taken = meshwright_fuzz::access_log(format!("{RECORD}\n{}\n{RECORD}", changed(RECORD, &change)).as_bytes());
        let _taken = meshwright_fuzz::explain_case(changed(CASE, &change).as_bytes());
        let _taken = meshwright_fuzz::certificates(changed(ROOT, &change).as_bytes());
    }

    #[test]
    fn nor_of_requests(
        method in "(GET|get|[A-Z]{0,9}|[!-~]{1,4})",
        path in r#"[/a-z0-9%.;:\\?#{}*~@ é-]{0,40}"#,
        host in r#"[a-z0-9.:\[\]@*-]{0,20}"#,
        header in r#"[a-zA-Z:_ -]{0,12}"#,
        value in r#"[ -~\t]{0,20}"#,
    ) {
        let text = |text: &str| serde_json::to_string(text).unwrap();
        let case = CASE.replace(r#""GET""#, &text(&method)).replace(r#""/a/1?x=2""#, &text(&path)).replace(r#""h""#, &text(&host));
        let case = case.replace(r#"["X","y"]"#, &format!("[{},{}]", text(&header), text(&value)));
        let _taken = meshwright_fuzz::explain_case(case.as_bytes());
    }

    #[test]
    fn nor_of_discovery_requests(requests in prop::collection::vec(request(), 0..5), cut in any::<(u16, u8)>(), piece in 1..50_usize) {
        let mut bytes = frames(&requests);
        let _taken = meshwright_fuzz::discovery(&bytes, piece);
        let place = usize::from(cut.0).checked_rem(bytes.len()).unwrap_or_default();
        bytes.get_mut(place).into_iter().for_each(|byte| *byte = cut.1);
        let _taken = meshwright_fuzz::discovery(&bytes, piece);
        bytes.truncate(place);
        let _taken = meshwright_fuzz::discovery(&bytes, piece);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nor_of_tests_that_are_nearly_right(bytes in prop::collection::vec(any::<u8>(), 0..200), change in change()) {
        let _taken = meshwright_fuzz::policy_test(&bytes);
        let _taken = meshwright_fuzz::policy_test(changed(TESTS, &change).as_bytes());
    }

    #[test]
    fn nor_of_signing_requests_that_are_nearly_right(place in any::<usize>(), byte in any::<u8>()) {
        let mut request = meshwright_ca::client::generate_key().unwrap().signing_request().unwrap();
        let _taken = meshwright_fuzz::signing_request(&request);
        let place = place % request.len();
        request.get_mut(place).into_iter().for_each(|found| *found = byte);
        let _taken = meshwright_fuzz::signing_request(&request);
    }
}
