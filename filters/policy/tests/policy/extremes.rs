//! What nobody should send, and somebody will.

use meshwright_policy::{Authentication, Headers, HttpRequest, SoftwareCrypto};
use serde_json::json;

use crate::robustness::header_map::serialize;
use crate::support::{Fixture, allows, authenticate, decide, one};

fn refused(value: Vec<u8>) -> &'static str {
    let policy = one("http", "ALLOW", &json!([{}]));
    match authenticate(&policy, &[("authorization".to_owned(), value)], &SoftwareCrypto) {
        Authentication::Refused(refusal) => refusal.error().reason(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_of_a_megabyte() {
    let token = |size: usize| [b"Bearer ".as_slice(), &vec![b'a'; size]].concat();
    assert_eq!(refused(token(1024 * 1024)), "jwt_too_large");
    assert_eq!(refused(token(64 * 1024 + 1)), "jwt_too_large");
    assert_eq!(refused(token(64 * 1024)), "jwt_bad_format");
    assert_eq!(refused([b"Bearer ".as_slice(), &vec![b'.'; 64 * 1024]].concat()), "jwt_bad_format");
}

#[test]
fn many_tokens() {
    let policy = one("http", "ALLOW", &json!([{}]));
    let headers = vec![("authorization".to_owned(), b"Bearer a.b.c".to_vec()); 1000];
    let Authentication::Refused(refusal) = authenticate(&policy, &headers, &SoftwareCrypto) else { panic!("not refused") };
    assert_eq!((refusal.error().status(), refusal.error().reason()), (401, "jwt_too_many"));
}

#[test]
fn bytes_that_are_not_utf8() {
    let rule = |operation: serde_json::Value| one("http", "DENY", &json!([{"to": [{"operation": operation}]}]));
    let path = |path: &[u8]| Fixture::new().header(":path", path).header(":authority", b"\xffa").header(":method", b"\xfe");
    assert!(!allows(&rule(json!({"paths": ["/admin*"]})), &path(b"/admin\xff")));
    assert!(!allows(&rule(json!({"paths": ["/a/{*}/b"]})), &path(b"/a/\xff\xfe/b")));
    assert!(!allows(&rule(json!({"notPaths": ["/public"]})), &path(b"/\xff")));
    assert!(!allows(&rule(json!({"hosts": ["*A"]})), &path(b"/")));
    assert!(!allows(&rule(json!({"methods": ["*"]})), &path(b"/")));
    let header = one("http", "DENY", &json!([{"when": [{"key": "request.headers[x]", "values": ["*b"]}]}]));
    assert!(!allows(&header, &Fixture::new().header("x", b"\xff").header("x", b"b")));
    // The replacement character is not what was sent.
    let replaced = one("http", "DENY", &json!([{"when": [{"key": "request.headers[x]", "values": ["\u{fffd}"]}]}]));
    assert!(allows(&replaced, &Fixture::new().header("x", b"\xff")));
    assert_eq!(refused(b"Bearer \xff\xff".to_vec()), "jwt_bad_format");
}

#[test]
fn a_thousand_headers() {
    let fixture = (0..1000).fold(Fixture::new(), |fixture, index| fixture.header(&format!("x-{index}"), format!("{index}")));
    let policy = one("http", "ALLOW", &json!([{"when": [{"key": "request.headers[x-999]", "values": ["999"]}]}]));
    assert!(allows(&policy, &fixture));
    let same = (0..1000).fold(Fixture::new(), |fixture, index| fixture.header("x", format!("{index}")));
    let joined = one(
        "http",
        "ALLOW",
        &json!([{"when": [{"key": "request.headers[x]", "values": ["0,1,2*"]}, {"key": "request.headers[X]", "values": ["*,998,999"]}]}]),
    );
    assert!(allows(&joined, &same));

    // The same through the bytes that a host hands over.
    let map = |count: usize| {
        let pairs: Vec<(String, String)> = (0..count).map(|index| (format!("x-{index}"), format!("{index}"))).collect();
        serialize(&pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect::<Vec<_>>())
    };
    let many = map(5000);
    let request = HttpRequest::new(Headers::parse(&many).unwrap());
    assert_eq!(request.headers().first("X-4999"), Some(b"4999".as_slice()));
}

#[test]
fn a_request_without_anything() {
    for (action, verdict) in [("ALLOW", "DENY"), ("DENY", "ALLOW")] {
        let rules = json!([{"to": [{"operation": {"paths": ["*"]}}, {"operation": {"methods": ["*"]}}, {"operation": {"hosts": ["*"]}}]}]);
        assert_eq!(decide(&one("http", action, &rules), &Fixture::new()).verdict.as_str(), verdict);
    }
}

#[test]
fn ten_thousand_rules() {
    let rules = |policy: usize| -> Vec<_> {
        (0..500).map(|rule| json!({"from": [{"source": {"principals": [format!("td/ns/n{policy}/sa/a{rule}")]}}]})).collect()
    };
    let policies: Vec<_> =
        (0..20).map(|policy| json!({"namespace": "ns", "name": format!("p{policy}"), "action": "ALLOW", "rules": rules(policy)})).collect();
    let policy = crate::support::compile("http", &json!(policies));
    let decision = decide(&policy, &Fixture::new().peer(&["td/ns/n19/sa/a499"]));
    assert_eq!((decision.policy, decision.rule), (Some("ns/p19"), Some(499)));
    assert!(!allows(&policy, &Fixture::new().peer(&["td/ns/n20/sa/a0"])));
}
