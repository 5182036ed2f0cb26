//! Tokens with real signatures: which are taken, which are not, and what is said of them.

use jsonwebtoken::Algorithm;
use meshwright_policy::{Authentication, Policy, SoftwareCrypto, TokenCache, Verdict};
use serde_json::{Value, json};

use crate::keys;
use crate::support::{Fixture, ISSUER, NOW, Trusting, authenticate, authenticate_at, decide, unsigned};

fn policy(rules: &Value) -> Policy {
    let config = json!({
        "version": 1, "protocol": "http", "trust_domain": "mesh.test",
        "request_authentication": [{"namespace": "ns", "name": "tokens", "jwt_rules": rules}],
    });
    Policy::from_json(config.to_string().as_bytes()).unwrap()
}

fn rule() -> Value {
    json!({"issuer": ISSUER, "jwks": keys::JWKS})
}

fn with(name: &str, value: Value) -> Value {
    let mut rule = rule();
    rule[name] = value;
    rule
}

fn bearer(token: &str) -> (String, Vec<u8>) {
    header("authorization", &format!("Bearer {token}"))
}

fn header(name: &str, value: &str) -> (String, Vec<u8>) {
    (name.to_owned(), value.as_bytes().to_vec())
}

/// `good`, `missing`, or the reason of the refusal.
fn outcome(authentication: &Authentication) -> &'static str {
    match authentication {
        Authentication::Anonymous => "missing",
        Authentication::Token(_) => "good",
        Authentication::Refused(refusal) => refusal.error().reason(),
    }
}

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "me", "exp": NOW + 60})
}

/// Tokens of a key that is in the policy are good, and nothing that only looks like one.
fn is_verified(policy: &Policy, kid: &str, sign: impl Fn(Option<&str>, &Value) -> String) {
    for (kid, expected) in [(Some(kid), "good"), (None, "good"), (Some("unknown"), "jwt_no_key")] {
        let token = sign(kid, &claims());
        assert_eq!(outcome(&authenticate(policy, &[bearer(&token)], &SoftwareCrypto)), expected, "{kid:?} {token}");
    }
    // One bit of the signature, the payload of another token.
    let token = sign(Some(kid), &claims());
    let other = sign(Some(kid), &json!({"iss": ISSUER, "sub": "root", "exp": NOW + 60}));
    let (parts, others): (Vec<&str>, Vec<&str>) = (token.split('.').collect(), other.split('.').collect());
    let forged = format!("{}.{}.{}", parts[0], others[1], parts[2]);
    let flipped = format!("{}.{}.{}{}", parts[0], parts[1], if parts[2].starts_with('B') { "C" } else { "B" }, &parts[2][1..]);
    for bad in [forged, flipped] {
        assert_eq!(outcome(&authenticate(policy, &[bearer(&bad)], &SoftwareCrypto)), "jwt_verification_failed", "{kid}");
    }
}

#[test]
fn every_algorithm_by_its_key_and_by_no_other() {
    let policy = policy(&json!([rule()]));
    for (algorithm, kid, key) in [
        (Algorithm::RS256, "rsa", keys::RSA),
        (Algorithm::RS384, "rsa", keys::RSA),
        (Algorithm::RS512, "rsa", keys::RSA),
        (Algorithm::PS256, "rsa", keys::RSA),
        (Algorithm::PS384, "rsa", keys::RSA),
        (Algorithm::PS512, "rsa", keys::RSA),
        (Algorithm::ES256, "p256", keys::P256),
        (Algorithm::ES384, "p384", keys::P384),
        (Algorithm::EdDSA, "ed", keys::ED25519),
    ] {
        is_verified(&policy, kid, |kid, claims| keys::sign(algorithm, key, kid, claims));
    }
    is_verified(&policy, "p521", keys::sign_es512);
    let token = keys::sign(Algorithm::RS256, keys::OTHER_RSA, Some("rsa"), &claims());
    assert_eq!(outcome(&authenticate(&policy, &[bearer(&token)], &SoftwareCrypto)), "jwt_verification_failed");
    // The key of one type under another's name.
    let token = keys::sign(Algorithm::EdDSA, keys::ED25519, Some("rsa"), &claims());
    assert_eq!(outcome(&authenticate(&policy, &[bearer(&token)], &SoftwareCrypto)), "jwt_no_key");
}

#[test]
fn claims_are_judged_in_envoys_order_and_words() {
    let policy = policy(&json!([with("audiences", json!(["a", "https://b.test/"]))]));
    let base = |extra: Value| {
        let mut claims = json!({"iss": ISSUER, "aud": "a"});
        claims.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        claims
    };
    for (claims, status, message) in [
        (base(json!({})), 200, ""),
        (base(json!({"exp": NOW - 60})), 200, ""),
        (base(json!({"exp": NOW - 61})), 401, "Jwt is expired"),
        (base(json!({"exp": 0})), 401, "Jwt is expired"),
        (base(json!({"nbf": NOW + 60})), 200, ""),
        (base(json!({"nbf": NOW + 61})), 401, "Jwt not yet valid"),
        (base(json!({"exp": f64::from(u32::MAX) + 0.5})), 200, ""),
        (base(json!({"exp": "tomorrow"})), 401, "Jwt payload [exp] field is not an integer"),
        (base(json!({"exp": null})), 401, "Jwt payload [exp] field is not an integer"),
        (base(json!({"exp": -1})), 401, "Jwt payload [exp] field is not a positive 64 bit integer"),
        (base(json!({"nbf": 1e300})), 401, "Jwt payload [nbf] field is not a positive 64 bit integer"),
        (base(json!({"iat": true})), 401, "Jwt payload [iat] field is not an integer"),
        (base(json!({"jti": 1})), 401, "Jwt payload [jti] field is not a string"),
        (base(json!({"sub": 1})), 401, "Jwt payload [sub] field is not a string"),
        (base(json!({"iss": 1})), 401, "Jwt payload [iss] field is not a string"),
        (base(json!({"iss": format!("{ISSUER}/")})), 401, "Jwt issuer is not configured"),
        (json!({"aud": "a"}), 401, "Jwt issuer is not configured"),
        (base(json!({"aud": ["x", "a"]})), 200, ""),
        (base(json!({"aud": "b.test"})), 200, ""),
        (base(json!({"aud": "http://b.test"})), 200, ""),
        (base(json!({"aud": "x"})), 403, "Audiences in Jwt are not allowed"),
        (base(json!({"aud": []})), 403, "Audiences in Jwt are not allowed"),
        (json!({"iss": ISSUER}), 403, "Audiences in Jwt are not allowed"),
        (base(json!({"aud": ["a", 1]})), 401, "Jwt payload [aud] field is not a string or string list"),
        (base(json!({"aud": {"a": 1}})), 401, "Jwt payload [aud] field is not a string or string list"),
        (base(json!({"aud": "x", "exp": 1})), 401, "Jwt is expired"),
    ] {
        let found = match authenticate(&policy, &[bearer(&keys::token(&claims))], &SoftwareCrypto) {
            Authentication::Refused(refusal) => (refusal.error().status(), refusal.error().message()),
            Authentication::Token(_) => (200, ""),
            Authentication::Anonymous => (0, "missing"),
        };
        assert_eq!(found, (status, message), "{claims}");
    }
}

#[test]
fn one_rule_takes_all_its_tokens_or_none() {
    let policy = policy(&json!([rule()]));
    let (good, expired) = (keys::token(&claims()), keys::token(&json!({"iss": ISSUER, "exp": 1})));
    let query = |token: &str| header(":path", &format!("/?access_token={token}"));
    for (headers, expected) in [
        (vec![], "missing"),
        (vec![bearer(&good)], "good"),
        (vec![query(&good)], "good"),
        (vec![bearer(&good), query(&good)], "good"),
        (vec![bearer(&good), query(&expired)], "jwt_expired"),
        (vec![bearer(&expired), query(&good)], "jwt_expired"),
        (vec![bearer(&good), bearer(&expired)], "jwt_expired"),
        (vec![bearer("")], "jwt_bad_format"),
        (vec![header("authorization", "Basic abc")], "missing"),
    ] {
        assert_eq!(outcome(&authenticate(&policy, &headers, &SoftwareCrypto)), expected);
    }
}

#[test]
fn of_several_rules_one_must_be_satisfied() {
    let other = "https://other.test";
    let second = |location: Value| json!([rule(), {"issuer": other, "jwks": keys::OTHER_JWKS, "fromHeaders": location}]);
    let (a, bad_a) = (keys::token(&claims()), keys::token(&json!({"iss": ISSUER, "exp": 1})));
    let of_b = |exp: u64| keys::sign(Algorithm::RS256, keys::OTHER_RSA, Some("other"), &json!({"iss": other, "exp": exp}));
    let (b, bad_b) = (of_b(NOW), of_b(1));

    let shared = policy(&second(json!([{"name": "authorization", "prefix": "Bearer "}])));
    for (what, headers, expected) in [
        ("none", vec![], "missing"),
        ("the first's", vec![bearer(&a)], "good"),
        ("the second's", vec![bearer(&b)], "good"),
        ("a bad one of the first", vec![bearer(&bad_a)], "jwt_expired"),
        ("a bad one of the second", vec![bearer(&bad_b)], "jwt_expired"),
        ("nobody's", vec![bearer(&keys::token(&json!({"iss": "x"})))], "jwt_unknown_issuer"),
        ("forged", vec![bearer(&keys::sign(Algorithm::RS256, keys::RSA, None, &json!({"iss": other})))], "jwt_verification_failed"),
    ] {
        assert_eq!(outcome(&authenticate(&shared, &headers, &SoftwareCrypto)), expected, "{what}");
    }

    let apart = policy(&second(json!([{"name": "x-token"}])));
    for (what, headers, expected) in [
        ("good beside bad elsewhere", vec![bearer(&a), header("x-token", &bad_b)], "good"),
        ("bad beside good elsewhere", vec![bearer(&bad_a), header("x-token", &b)], "good"),
        ("good beside good", vec![bearer(&a), header("x-token", &b)], "good"),
        ("bad alone", vec![header("x-token", &bad_b)], "jwt_expired"),
        ("at the other's place", vec![header("x-token", &a)], "jwt_unknown_issuer"),
        ("both bad", vec![bearer(&bad_a), header("x-token", &bad_b)], "jwt_expired"),
    ] {
        assert_eq!(outcome(&authenticate(&apart, &headers, &SoftwareCrypto)), expected, "{what}");
    }

    // Which of two good ones counts does not hang on the order of the documents.
    let mut turned = second(json!([{"name": "x-token"}]));
    turned.as_array_mut().unwrap().reverse();
    for policy in [apart, policy(&turned)] {
        let found = authenticate(&policy, &[bearer(&a), header("x-token", &b)], &SoftwareCrypto);
        assert_eq!(found.claims().unwrap().issuer(), ISSUER);
    }
}

#[test]
fn a_preflight_needs_no_token_and_is_still_decided_on() {
    let policy = policy(&json!([rule()]));
    let preflight = [header(":method", "OPTIONS"), header("origin", "https://a.test"), header("access-control-request-method", "PUT")];
    let mut with_token = preflight.to_vec();
    with_token.push(bearer("nonsense"));
    assert_eq!(outcome(&authenticate(&policy, &with_token, &SoftwareCrypto)), "missing");
    for left_out in 0..preflight.len() {
        let mut headers = with_token.clone();
        headers.remove(left_out);
        assert_eq!(outcome(&authenticate(&policy, &headers, &SoftwareCrypto)), "jwt_bad_format", "without {left_out}");
    }
    let mut empty = with_token.clone();
    empty[1].1.clear();
    assert_eq!(outcome(&authenticate(&policy, &empty, &SoftwareCrypto)), "jwt_bad_format");
    let denied = crate::support::one("http", "ALLOW", &json!([{"from": [{"source": {"requestPrincipals": ["*"]}}]}]));
    let fixture = preflight.iter().fold(Fixture::new(), |fixture, (name, value)| fixture.header(name, value));
    assert_eq!(decide(&denied, &fixture).verdict, Verdict::Deny);
}

#[test]
fn a_cached_token_is_not_verified_again_and_dies_with_its_time_and_its_key() {
    let policy_set = policy(&json!([rule()]));
    let token = keys::token(&claims());
    let headers = [bearer(&token)];
    let mut cache = TokenCache::default();
    let by = |crypto: &dyn meshwright_policy::Crypto, now, cache: &mut TokenCache| {
        outcome(&authenticate_at(&policy_set, &headers, now, crypto, cache))
    };
    assert_eq!(by(&SoftwareCrypto, NOW, &mut cache), "good");
    assert_eq!(by(&Unreachable, NOW, &mut cache), "good", "from the cache");
    assert_eq!(by(&Unreachable, NOW + 120, &mut cache), "good", "until its last second");
    assert_eq!(by(&SoftwareCrypto, NOW + 121, &mut cache), "jwt_expired");
    // A new policy comes with a new cache; the same cache would be wrong to use, and here the token is another issuer's for it.
    let rotated = policy(&json!([{"issuer": ISSUER, "jwks": keys::OTHER_JWKS}]));
    assert_eq!(outcome(&authenticate(&rotated, &headers, &SoftwareCrypto)), "jwt_no_key");
    // What was refused is not remembered as good.
    let forged = unsigned(&json!({"alg": "EdDSA"}), &claims());
    let mut cache = TokenCache::default();
    for _ in 0..2 {
        let found = authenticate_at(&policy_set, &[bearer(&forged)], NOW, &SoftwareCrypto, &mut cache);
        assert_eq!(outcome(&found), "jwt_verification_failed");
    }
}

/// Fails the token if it is asked at all.
#[derive(Debug)]
struct Unreachable;

impl meshwright_policy::Crypto for Unreachable {
    fn verify(
        &self,
        _: meshwright_policy::Algorithm,
        _: &meshwright_policy::PublicKey,
        _: &[u8],
        _: &[u8],
    ) -> Result<bool, meshwright_policy::CryptoError> {
        Err(meshwright_policy::CryptoError("asked".to_owned()))
    }
}

#[test]
fn a_check_that_cannot_be_made_is_a_refusal() {
    let policy = policy(&json!([rule()]));
    assert_eq!(outcome(&authenticate(&policy, &[bearer(&keys::token(&claims()))], &Unreachable)), "jwt_verification_failed");
}

#[test]
fn a_verified_token_tells_its_principal() {
    let policy = policy(&json!([rule()]));
    let found = authenticate(&policy, &[bearer(&unsigned(&json!({"alg": "RS256"}), &claims()))], &Trusting);
    let claims = found.claims().unwrap();
    assert_eq!((claims.issuer(), claims.subject()), (ISSUER, Some("me")));
}

#[test]
fn a_key_that_the_token_brings_verifies_nothing() {
    let policy = policy(&json!([rule()]));
    let set: Value = serde_json::from_str(keys::OTHER_JWKS).unwrap();
    let key: jsonwebtoken::jwk::Jwk = serde_json::from_value(set["keys"][0].clone()).unwrap();
    let signing = jsonwebtoken::EncodingKey::from_rsa_der(&keys::der(keys::OTHER_RSA));
    for kid in [None, Some("rsa".to_owned())] {
        let header = jsonwebtoken::Header {
            jwk: Some(key.clone()),
            jku: Some("https://evil.test/jwks".to_owned()),
            kid,
            ..jsonwebtoken::Header::new(Algorithm::RS256)
        };
        let token = jsonwebtoken::encode(&header, &claims(), &signing).unwrap();
        assert_eq!(outcome(&authenticate(&policy, &[bearer(&token)], &SoftwareCrypto)), "jwt_verification_failed");
    }
}

#[test]
fn named_claims_are_lists_in_one_string() {
    let document = |claim: &str, value: &str| {
        json!([{"namespace": "ns", "name": "a", "action": "ALLOW", "rules": [
            {"when": [{"key": format!("request.auth.claims[{claim}]"), "values": [value]}]},
        ]}])
    };
    for (claim, value, expected) in [
        ("roles", "admin", Verdict::Allow),
        ("roles", "user admin", Verdict::Deny),
        ("groups", "b", Verdict::Deny),
        ("groups", "a b", Verdict::Allow),
        ("scope", "write", Verdict::Allow),
    ] {
        let config = json!({
            "version": 1, "protocol": "http", "trust_domain": "mesh.test", "authorization": document(claim, value),
            "request_authentication": [{"namespace": "ns", "name": "t", "jwt_rules": [with("spaceDelimitedClaims", json!(["roles"]))]}],
        });
        let policy = Policy::from_json(config.to_string().as_bytes()).unwrap();
        let fixture = Fixture::new().claims(json!({"roles": "user admin", "groups": "a b", "scope": "read write"}));
        assert_eq!(decide(&policy, &fixture).verdict, expected, "{claim} {value}");
    }
}

#[test]
fn without_keys_every_token_is_refused() {
    let policy = policy(&json!([{"issuer": ISSUER, "jwks": meshwright_policy::NO_KEYS}]));
    let token = keys::sign(Algorithm::EdDSA, keys::ED25519, Some("ed"), &claims());
    assert_eq!(outcome(&authenticate(&policy, &[bearer(&token)], &Trusting)), "jwt_no_key");
    assert_eq!(outcome(&authenticate(&policy, &[], &Trusting)), "missing");
}
