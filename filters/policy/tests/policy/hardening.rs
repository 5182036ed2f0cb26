//! Tokens made to mislead. Each is refused, most before any key is asked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshwright_policy::{Authentication, SoftwareCrypto};
use serde_json::json;

use crate::keys;
use crate::support::{ISSUER, NOW, Trusting, authenticate, one};

fn encode(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn refusal(token: impl AsRef<[u8]>, trusting: bool) -> Option<(u16, &'static str)> {
    let policy = one("http", "ALLOW", &json!([{}]));
    let value = [b"Bearer ".as_slice(), token.as_ref()].concat();
    let headers = [("authorization".to_owned(), value)];
    let found = if trusting { authenticate(&policy, &headers, &Trusting) } else { authenticate(&policy, &headers, &SoftwareCrypto) };
    match found {
        Authentication::Refused(refusal) => Some((refusal.error().status(), refusal.error().reason())),
        Authentication::Token(_) => None,
        Authentication::Anonymous => panic!("the token was not found"),
    }
}

fn with_header(header: &str) -> String {
    format!("{}.{}.AAAA", encode(header), encode(format!("{{\"iss\":\"{ISSUER}\"}}")))
}

fn with_payload(payload: &str) -> String {
    format!("{}.{}.AAAA", encode(r#"{"alg":"EdDSA"}"#), encode(payload))
}

#[test]
fn headers_that_say_how_to_be_verified() {
    for (header, expected) in [
        (r#"{"alg":"EdDSA"}"#, None),
        (r#"{"alg":"EdDSA","typ":"JWT","cty":"x","x":{"y":1}}"#, None),
        // Keys that the token brings or points to count for nothing; the issuer's own are asked.
        (r#"{"alg":"EdDSA","jwk":{"kty":"OKP"},"jku":"https://evil.test","x5u":"https://evil.test","x5c":["x"]}"#, None),
        (r#"{"alg":"none"}"#, Some("jwt_header_unsupported_alg")),
        (r#"{"alg":"None"}"#, Some("jwt_header_unsupported_alg")),
        (r#"{"alg":""}"#, Some("jwt_header_unsupported_alg")),
        (r#"{"alg":"HS256"}"#, Some("jwt_header_unsupported_alg")),
        (r#"{"alg":"HS512"}"#, Some("jwt_header_unsupported_alg")),
        (r#"{"alg":"eddsa"}"#, Some("jwt_header_unsupported_alg")),
        (r#"{"alg":"ES256K"}"#, Some("jwt_header_unsupported_alg")),
        (r#"{"alg":["EdDSA"]}"#, Some("jwt_header_bad_alg")),
        (r#"{"alg":null}"#, Some("jwt_header_bad_alg")),
        (r"{}", Some("jwt_header_bad_alg")),
        (r#"{"alg":"EdDSA","kid":1}"#, Some("jwt_header_bad_kid")),
        (r#"{"alg":"EdDSA","kid":"../../etc/passwd"}"#, Some("jwt_no_key")),
        (r#"{"alg":"EdDSA","crit":["exp"]}"#, Some("jwt_header_critical")),
        (r#"{"alg":"EdDSA","crit":[]}"#, Some("jwt_header_critical")),
        (r#"{"alg":"EdDSA","b64":false}"#, Some("jwt_header_critical")),
        (r#"{"alg":"none","alg":"EdDSA"}"#, Some("jwt_header_bad_json")),
        (r#"{"alg":"EdDSA","alg":"none"}"#, Some("jwt_header_bad_json")),
        (r#"{"alg":"EdDSA"} x"#, Some("jwt_header_bad_json")),
        (r#""alg""#, Some("jwt_header_bad_json")),
        ("", Some("jwt_header_bad_json")),
    ] {
        assert_eq!(refusal(with_header(header), true).map(|(_, reason)| reason), expected, "{header}");
    }
}

#[test]
fn payloads_that_two_readers_would_read_differently() {
    let nested = |depth: usize| format!("{{\"iss\":\"{ISSUER}\",\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    for (payload, expected) in [
        (format!("{{\"iss\":\"{ISSUER}\"}}"), None),
        (nested(30), None),
        (nested(40), Some("jwt_payload_bad_json")),
        (nested(20_000), Some("jwt_payload_bad_json")),
        (format!("{{\"iss\":\"{ISSUER}\",\"sub\":\"a\",\"sub\":\"b\"}}"), Some("jwt_payload_bad_json")),
        (format!("{{\"iss\":\"{ISSUER}\",\"a\":{{\"b\":1,\"b\":2}}}}"), Some("jwt_payload_bad_json")),
        (format!("{{\"iss\":\"{ISSUER}\",\"\\u0069ss\":\"x\"}}"), Some("jwt_payload_bad_json")),
        (format!("{{\"iss\":\"{ISSUER}\"}}{{}}"), Some("jwt_payload_bad_json")),
        (format!("{{\"iss\":\"{ISSUER}\",\"a\":NaN}}"), Some("jwt_payload_bad_json")),
        (format!("{{\"iss\":\"{ISSUER}\",\"a\":1e999}}"), Some("jwt_payload_bad_json")),
        (format!("\u{feff}{{\"iss\":\"{ISSUER}\"}}"), Some("jwt_payload_bad_json")),
        ("[]".to_owned(), Some("jwt_payload_bad_json")),
        ("null".to_owned(), Some("jwt_payload_bad_json")),
    ] {
        assert_eq!(refusal(with_payload(&payload), true).map(|(_, reason)| reason), expected, "{:.80}", payload);
    }
    let not_utf8 = format!("{}.{}.AAAA", encode(r#"{"alg":"EdDSA"}"#), encode(b"{\"iss\":\"\xff\"}"));
    assert_eq!(refusal(not_utf8, true), Some((401, "jwt_payload_bad_json")));
}

#[test]
fn a_token_has_one_spelling() {
    let token = keys::token(&json!({"iss": ISSUER, "sub": "me", "exp": NOW}));
    assert_eq!(refusal(&token, false), None);
    let parts: Vec<&str> = token.split('.').collect();
    // 64 bytes of signature end in a character with four bits to spare: 16 spellings of the same bytes, of which one is canonical.
    let (signature, last) = parts[2].split_at(parts[2].len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = alphabet.find(last).unwrap();
    for spare in (value & !15)..(value | 15) + 1 {
        let spelled = format!("{}.{}.{signature}{}", parts[0], parts[1], &alphabet[spare..=spare]);
        assert_eq!(refusal(&spelled, false), (spare != value).then_some((401, "jwt_signature_bad_base64")), "{spare}");
    }
    for (bad, reason) in [
        (format!("{token}="), "jwt_signature_bad_base64"),
        (format!("{token}=="), "jwt_signature_bad_base64"),
        (format!("{token} x"), "jwt_signature_bad_base64"),
        (format!("{token}\n"), "jwt_signature_bad_base64"),
        (format!("{token},{token}"), "jwt_bad_format"),
        (format!("{token}."), "jwt_bad_format"),
        (format!("{}.{}", parts[0], parts[1]), "jwt_bad_format"),
        (format!("{}.{}.", parts[0], parts[1]), "jwt_verification_failed"),
        (format!("{}=.{}.{}", parts[0], parts[1], parts[2]), "jwt_header_bad_base64"),
        (format!("{}.{}+.{}", parts[0], parts[1], parts[2]), "jwt_payload_bad_base64"),
        (format!("{}.{}/.{}", parts[0], parts[1], parts[2]), "jwt_payload_bad_base64"),
        ("..".to_owned(), "jwt_header_bad_json"),
    ] {
        assert_eq!(refusal(&bad, false), Some((401, reason)), "{bad}");
    }
    assert_eq!(refusal(b"a.\xff.c", false), Some((401, "jwt_header_bad_base64")));
}

#[test]
fn a_public_key_is_no_secret() {
    // The classic confusion: an HMAC made with the public key's bytes.
    for algorithm in [jsonwebtoken::Algorithm::HS256, jsonwebtoken::Algorithm::HS384, jsonwebtoken::Algorithm::HS512] {
        let secret = jsonwebtoken::EncodingKey::from_secret(keys::JWKS.as_bytes());
        let token = jsonwebtoken::encode(&jsonwebtoken::Header::new(algorithm), &json!({"iss": ISSUER}), &secret).unwrap();
        assert_eq!(refusal(token, false), Some((401, "jwt_header_unsupported_alg")), "{algorithm:?}");
    }
}

#[test]
fn signatures_of_the_wrong_shape_fail() {
    for (algorithm, kid) in [("ES256", "p256"), ("ES384", "p384"), ("ES512", "p521"), ("EdDSA", "ed"), ("RS256", "rsa"), ("PS256", "rsa")] {
        for length in [0, 1, 31, 63, 64, 65, 95, 96, 97, 131, 132, 133, 255, 256, 257, 1024] {
            for byte in [0_u8, 1, 0xff] {
                let header = encode(json!({"alg": algorithm, "kid": kid}).to_string());
                let token = format!("{header}.{}.{}", encode(json!({"iss": ISSUER}).to_string()), encode(vec![byte; length]));
                assert_eq!(refusal(token, false), Some((401, "jwt_verification_failed")), "{algorithm} {length} of {byte}");
            }
        }
    }
}
