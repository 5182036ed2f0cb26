//! Key sets: which are taken, and what is wrong with the others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshwright_policy::{Algorithm, Crypto, CryptoError, PublicKey, validate_jwt_rules, wire};
use serde_json::{Value, json};

use crate::keys;
use crate::support::{ISSUER, authenticate, one, unsigned};

fn problem(jwks: &str) -> Option<String> {
    let rule = wire::JwtRule { issuer: "i".to_owned(), jwks: Some(jwks.to_owned()), ..wire::JwtRule::default() };
    let error = validate_jwt_rules(&[rule]).err()?.remove(0);
    assert_eq!(error.path, "jwtRules[0].jwks");
    Some(error.message)
}

fn key(kid: &str) -> Value {
    let set: Value = serde_json::from_str(keys::JWKS).unwrap();
    set["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid).unwrap().clone()
}

fn with(kid: &str, name: &str, value: Value) -> Value {
    let mut key = key(kid);
    key[name] = value;
    key
}

#[test]
fn sets_that_are_none() {
    for (jwks, message) in [
        ("".to_owned(), "found no JSON object"),
        ("{".to_owned(), "found no JSON object"),
        ("[]".to_owned(), "found no JSON object"),
        (r#"{"keys":[],"keys":[]}"#.to_owned(), "found no JSON object"),
        ("{}".to_owned(), "found no list `keys`"),
        (r#"{"keys":{}}"#.to_owned(), "found no list `keys`"),
        (r#"{"keys":[]}"#.to_owned(), "found no key that verifies signatures"),
        (r#"{"keys":[1]}"#.to_owned(), "keys[0]: found no object"),
        (r#"{"keys":[{}]}"#.to_owned(), "keys[0]: `kty` is missing"),
        (json!({"keys": [{"kty": "oct", "k": "AAAA"}]}).to_string(), "found no key that verifies signatures"),
        (json!({"keys": vec![key("ed"); 101]}).to_string(), "found 101 keys"),
        (" ".repeat(256 * 1024 + 1), "found 262145 bytes"),
    ] {
        let found = problem(&jwks).unwrap();
        assert!(found.starts_with(message), "{found} for {jwks:.60}");
    }
    assert_eq!(problem(keys::JWKS), None);
    assert_eq!(problem(&format!("\n {} \n", keys::JWKS)), None);
}

#[test]
fn keys_that_are_none() {
    let number = |bytes: &[u8]| json!(URL_SAFE_NO_PAD.encode(bytes));
    let modulus = |size: usize| number(&[[0xc1].as_slice(), &vec![1; size - 1]].concat());
    for (key, message) in [
        (with("rsa", "n", modulus(255)), "found an RSA key of 2040 bits"),
        (with("rsa", "n", modulus(513)), "found an RSA key of 4104 bits"),
        (with("rsa", "n", number(&[2; 256])), "found an RSA key whose `n` or `e` is none"),
        (with("rsa", "e", number(&[1])), "found an RSA key whose `n` or `e` is none"),
        (with("rsa", "e", number(&[])), "found an RSA key whose `n` or `e` is none"),
        (with("rsa", "e", number(&[1, 0, 0])), "found an RSA key whose `n` or `e` is none"),
        (with("rsa", "e", number(&[1; 9])), "found an RSA key whose `n` or `e` is none"),
        (with("rsa", "e", json!("AQAB=")), "`e` is not base64url"),
        (with("rsa", "n", json!(7)), "`n` is not a string"),
        (with("rsa", "n", Value::Null), "`n` is not a string"),
        (with("rsa", "d", json!("AAAA")), "found a private key"),
        (with("rsa", "key_ops", json!("verify")), "`key_ops` is not a list"),
        (with("p256", "x", number(&[1; 31])), "found coordinates of 31 and 32 bytes"),
        (with("p256", "x", number(&[1; 32])), "found coordinates that are no point"),
        (with("p384", "y", number(&[1; 48])), "found coordinates that are no point"),
        (with("ed", "x", number(&[1; 33])), "found an Ed25519 key of 33 bytes"),
    ] {
        let found = problem(&json!({"keys": [key]}).to_string()).unwrap();
        assert!(found.starts_with(&format!("keys[0]: {message}")), "{found}");
    }
    // One bad key spoils the set: the issuer means to use it.
    assert!(problem(&json!({"keys": [key("ed"), with("p256", "x", number(&[1; 32]))]}).to_string()).unwrap().starts_with("keys[1]: "));
}

#[test]
fn keys_for_other_uses_are_left_out() {
    for other in [
        with("rsa", "use", json!("enc")),
        with("rsa", "key_ops", json!(["encrypt"])),
        with("rsa", "alg", json!("RSA-OAEP")),
        with("p256", "alg", json!("ES384")),
        with("p256", "crv", json!("secp256k1")),
        with("ed", "crv", json!("X25519")),
        with("ed", "kty", json!("unheard-of")),
    ] {
        assert!(problem(&json!({"keys": [other]}).to_string()).unwrap().starts_with("found no key that verifies"), "{other}");
        assert_eq!(problem(&json!({"keys": [other, key("ed")]}).to_string()), None, "{other}");
    }
    for good in [with("rsa", "use", json!("sig")), with("rsa", "key_ops", json!(["verify"])), with("rsa", "alg", json!("PS512"))] {
        assert_eq!(problem(&json!({"keys": [good]}).to_string()), None, "{good}");
    }
}

/// Notes the keys that it is asked with.
#[derive(Debug, Default)]
struct Noting(std::cell::RefCell<Vec<Vec<u8>>>);

impl Crypto for Noting {
    fn verify(&self, _: Algorithm, key: &PublicKey, _: &[u8], _: &[u8]) -> Result<bool, CryptoError> {
        self.0.borrow_mut().push(key.spki_der().to_vec());
        Ok(false)
    }
}

#[test]
fn keys_are_the_der_that_openssl_writes() {
    let policy = one("http", "ALLOW", &json!([{}]));
    for (algorithm, kid, openssl) in [
        ("RS256", "rsa", include_str!("keys/rsa-test-key.pub.pem")),
        ("ES256", "p256", include_str!("keys/p256-test-key.pub.pem")),
        ("ES384", "p384", include_str!("keys/p384-test-key.pub.pem")),
        ("ES512", "p521", include_str!("keys/p521-test-key.pub.pem")),
        ("EdDSA", "ed", include_str!("keys/ed25519-test-key.pub.pem")),
    ] {
        let noting = Noting::default();
        let token = unsigned(&json!({"alg": algorithm, "kid": kid}), &json!({"iss": ISSUER}));
        authenticate(&policy, &[("authorization".to_owned(), format!("Bearer {token}").into_bytes())], &noting);
        assert_eq!(noting.0.into_inner(), [keys::der(openssl)], "{kid}");
    }
}
