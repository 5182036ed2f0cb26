//! What a verified token changes in the request.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshwright_policy::{Authentication, HeaderChange, Policy};
use serde_json::{Value, json};

use crate::keys;
use crate::support::{Fixture, ISSUER, Trusting, authenticate, unsigned};

fn changes(rule: &Value, headers: &[(&str, &[u8])]) -> Vec<(String, Option<Vec<u8>>)> {
    let mut rule = rule.clone();
    rule["issuer"] = json!(ISSUER);
    rule["jwks"] = json!(keys::JWKS);
    let config = json!({
        "version": 1, "protocol": "http", "trust_domain": "mesh.test",
        "request_authentication": [{"namespace": "ns", "name": "tokens", "jwt_rules": [rule]}],
    });
    let policy = Policy::from_json(config.to_string().as_bytes()).unwrap();
    let headers: Vec<(String, Vec<u8>)> = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
    let found = authenticate(&policy, &headers, &Trusting);
    assert!(matches!(found, Authentication::Token(_)), "{found:?}");
    let change = |change: &HeaderChange| match change {
        HeaderChange::Set(name, value) => (name.clone(), Some(value.as_bytes().to_vec())),
        HeaderChange::Remove(name) => (name.clone(), None),
    };
    found.changes().iter().map(change).collect()
}

fn token(claims: &Value) -> String {
    let mut claims = claims.clone();
    claims["iss"] = json!(ISSUER);
    unsigned(&json!({"alg": "EdDSA"}), &claims)
}

fn set(name: &str, value: impl AsRef<[u8]>) -> (String, Option<Vec<u8>>) {
    (name.to_owned(), Some(value.as_ref().to_vec()))
}

fn removed(name: &str) -> (String, Option<Vec<u8>>) {
    (name.to_owned(), None)
}

#[test]
fn the_token_goes_no_further_unless_asked_to() {
    let token = token(&json!({}));
    let bearer = format!("Bearer {token}");
    let path = format!("/a?x=1&access_token={token}&y#f");
    let both: [(&str, &[u8]); 2] = [("authorization", bearer.as_bytes()), (":path", path.as_bytes())];
    assert_eq!(changes(&json!({}), &both[..1]), [removed("authorization")]);
    assert_eq!(changes(&json!({}), &both), [removed("authorization"), set(":path", "/a?x=1&y#f")]);
    assert_eq!(changes(&json!({"forwardOriginalToken": false}), &both[1..]), [set(":path", "/a?x=1&y#f")]);
    assert_eq!(changes(&json!({"forwardOriginalToken": true}), &both), []);
}

#[test]
fn named_places_are_emptied_and_others_left() {
    let token = token(&json!({}));
    let rule =
        json!({"fromHeaders": [{"name": "X-Token"}, {"name": "x-token", "prefix": "K "}], "fromParams": ["t"], "fromCookies": ["c", "d"]});
    let path = [b"/\xff?t=", token.as_bytes(), b"&\xfe"].concat();
    let (one, two) = (format!("a=1; c={token}"), format!("d={token}; b=2"));
    let headers: [(&str, &[u8]); 5] = [
        ("x-token", token.as_bytes()),
        (":path", &path),
        ("cookie", one.as_bytes()),
        ("cookie", two.as_bytes()),
        ("authorization", b"Bearer kept"),
    ];
    assert_eq!(changes(&rule, &headers), [removed("x-token"), set(":path", b"/\xff?\xfe"), set("cookie", "a=1; b=2")]);
    let only = format!("c={token}");
    assert_eq!(changes(&rule, &[("cookie", only.as_bytes())]), [removed("cookie")]);
}

#[test]
fn claims_become_headers() {
    let rule = json!({
        "forwardOriginalToken": true, "outputPayloadToHeader": "X-Payload",
        "outputClaimToHeaders": [
            {"header": "X-Sub", "claim": "sub"}, {"header": "x-deep", "claim": "a.b"}, {"header": "x-number", "claim": "n"},
            {"header": "x-flag", "claim": "f"}, {"header": "x-list", "claim": "l"}, {"header": "x-absent", "claim": "none"},
        ],
    });
    // The payload goes on as it was signed, byte for byte, not as somebody would print it.
    let payload = format!(
        "{{ \"sub\":\"me\",\"n\":12345678901234567890, \"f\":true,\"l\":[\"x\"],\"a\":{{\"b\":\"c\"}},\"iss\":\"{ISSUER}\",\"x\":1.10}}"
    );
    let encoded = URL_SAFE_NO_PAD.encode(&payload);
    let bearer = format!("Bearer {}.{encoded}.AAAA", URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#));
    let expected =
        [set("x-payload", encoded), set("x-sub", "me"), set("x-deep", "c"), set("x-number", "12345678901234567890"), set("x-flag", "true")];
    assert_eq!(changes(&rule, &[("authorization", bearer.as_bytes())]), expected);
}

#[test]
fn what_claims_set_is_the_policys_alone() {
    let config = json!({
        "version": 1, "protocol": "http", "trust_domain": "mesh.test",
        "request_authentication": [{"namespace": "ns", "name": "tokens", "jwt_rules": [
            {"issuer": "a", "jwks": keys::JWKS, "outputPayloadToHeader": "X-Payload", "outputClaimToHeaders": [{"header": "X-Sub", "claim": "sub"}]},
            {"issuer": "b", "jwks": keys::JWKS, "outputClaimToHeaders": [{"header": "x-sub", "claim": "sub"}]},
        ]}],
    });
    let policy = Policy::from_json(config.to_string().as_bytes()).unwrap();
    assert_eq!(policy.owned_headers(), ["x-payload", "x-sub"]);
    assert!(policy.verifies_tokens());
}

/// As in Istio, where jwt_authn stands before rbac.
#[test]
fn rules_see_the_request_as_the_app_gets_it() {
    let allows = |rule: &Value, condition: &Value, headers: &[(&str, &[u8])]| {
        let mut rule = rule.clone();
        rule["issuer"] = json!(ISSUER);
        rule["jwks"] = json!(keys::JWKS);
        let config = json!({
            "version": 1, "protocol": "http", "trust_domain": "mesh.test",
            "request_authentication": [{"namespace": "ns", "name": "tokens", "jwt_rules": [rule]}],
            "authorization": [{"namespace": "ns", "name": "name", "action": "ALLOW", "rules": [{"when": [condition]}]}],
        });
        let policy = Policy::from_json(config.to_string().as_bytes()).unwrap();
        let fixture = headers.iter().fold(Fixture::new(), |fixture, (name, value)| fixture.header(name, value));
        crate::support::allows(&policy, &fixture)
    };
    let token = token(&json!({"sub": "me"}));
    let bearer = format!("Bearer {token}").into_bytes();
    let user = json!({"outputClaimToHeaders": [{"header": "x-user", "claim": "sub"}]});
    let is_me = json!({"key": "request.headers[x-user]", "values": ["me"]});
    assert!(allows(&user, &is_me, &[("authorization", &bearer)]));
    assert!(!allows(&user, &is_me, &[]));
    let no_token = json!({"key": "request.headers[authorization]", "notValues": ["*"]});
    for (rule, allowed) in [(json!({}), true), (json!({"forwardOriginalToken": true}), false)] {
        assert_eq!(allows(&rule, &no_token, &[("authorization", &bearer)]), allowed, "{rule}");
    }
}
