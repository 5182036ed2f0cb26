//! Which key a refused token wants.

use jsonwebtoken::Algorithm;
use meshwright_policy::{Headers, HttpRequest, Policy, SoftwareCrypto, TokenCache, UnknownKey};
use serde_json::{Value, json};

use crate::keys;
use crate::support::{ISSUER, NOW};

fn wanted(rules: &Value, tokens: &[String]) -> Option<UnknownKey> {
    let config = json!({"version": 1, "protocol": "http", "trust_domain": "mesh.test",
        "request_authentication": [{"namespace": "ns", "name": "tokens", "jwt_rules": rules}]});
    let policy = Policy::from_json(config.to_string().as_bytes()).unwrap();
    let values: Vec<String> = tokens.iter().map(|token| format!("Bearer {token}")).collect();
    let request = HttpRequest::new(Headers::from_pairs(values.iter().map(|value| (&b"authorization"[..], value.as_bytes()))));
    let authentication = policy.authenticate(&request, NOW, &SoftwareCrypto, &mut TokenCache::default());
    policy.unknown_key(&request, &authentication)
}

fn signed(kid: Option<&str>, claims: &Value) -> String {
    keys::sign(Algorithm::EdDSA, keys::ED25519, kid, claims)
}

fn named(kid: &str) -> String {
    signed(Some(kid), &json!({"iss": ISSUER, "exp": NOW + 60}))
}

fn unknown(kid: &str) -> Option<UnknownKey> {
    Some(UnknownKey { issuer: ISSUER.to_owned(), kid: kid.to_owned() })
}

#[test]
fn the_key_that_its_issuer_does_not_have() {
    let rule = json!([{"issuer": ISSUER, "jwks": keys::JWKS}]);
    assert_eq!(wanted(&rule, &[named("new")]), unknown("new"));
    assert_eq!(wanted(&json!([{"issuer": ISSUER, "jwks": meshwright_policy::NO_KEYS}]), &[named("ed")]), unknown("ed"));
    // A key without a name is tried for every token; that the token's own is missing is known all the same.
    let nameless = keys::OTHER_JWKS.replace("\"kid\"", "\"x-kid\"");
    assert_eq!(wanted(&json!([{"issuer": ISSUER, "jwks": nameless}]), &[named("new")]), unknown("new"));
    let both = json!([rule[0], {"issuer": "https://other", "jwks": keys::OTHER_JWKS}]);
    assert_eq!(wanted(&both, &[named("new")]), unknown("new"));
    let long = format!("{}ä", "k".repeat(127));
    assert_eq!(wanted(&rule, &[named(&long)]), unknown(&"k".repeat(127)));
}

#[test]
fn no_other_refusal_wants_a_key() {
    let rule = json!([{"issuer": ISSUER, "jwks": keys::JWKS}]);
    let claims = |claims: Value| signed(Some("new"), &claims);
    for (why, tokens) in [
        ("a good token", vec![named("ed")]),
        ("no token", vec![]),
        ("no token but bytes", vec!["a.b.c".to_owned()]),
        ("no name", vec![keys::sign(Algorithm::RS256, keys::OTHER_RSA, None, &json!({"iss": ISSUER}))]),
        ("a name of length zero", vec![named("")]),
        ("a known key, another's signature", vec![keys::sign(Algorithm::RS256, keys::OTHER_RSA, Some("rsa"), &json!({"iss": ISSUER}))]),
        ("a known key of another type", vec![named("rsa")]),
        ("nobody's token", vec![claims(json!({"iss": "https://nobody"}))]),
        ("an expired token", vec![claims(json!({"iss": ISSUER, "exp": NOW - 100}))]),
        ("too many", vec![named("new"); 9]),
    ] {
        assert_eq!(wanted(&rule, &tokens), None, "{why}");
    }
    // The key is another rule's of the same issuer, whose audience was not the token's.
    let two = json!([{"issuer": ISSUER, "jwks": keys::OTHER_JWKS}, {"issuer": ISSUER, "audiences": ["b"], "jwks": keys::JWKS}]);
    assert_eq!(wanted(&two, &[named("ed")]), None);
}
