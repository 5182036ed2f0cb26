//! What servers are sent and answer: right, nearly right, and at random.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use proptest::sample::select;
use ring::signature::Ed25519KeyPair;

const CONFIGURATION: &str = r#"{"issuer":"https://issuer.example","jwks_uri":"https://issuer.example/keys","scopes_supported":["openid"]}"#;
/// As Envoy writes what a filter logs.
const HEAD: &str =
    "[2026-11-21 06:51:24.766][18510][info][wasm] [source/extensions/common/wasm/context.cc:1195] wasm log authz meshwright: ";
/// The private half of the key of RFC 8037, appendix A.1.
const SEED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";

/// A JWT that whoever is `sub` may prove with.
fn proof(sub: &str) -> String {
    let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let claims = serde_json::json!({"iss": "https://issuer.example", "aud": ["fuzz"], "sub": sub, "exp": 1_800_000_600});
    let signed = format!("{}.{}", part(r#"{"alg":"EdDSA","kid":"k"}"#), part(&claims.to_string()));
    let key = Ed25519KeyPair::from_seed_unchecked(&URL_SAFE_NO_PAD.decode(SEED).unwrap()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes())))
}

fn report(issuer: &str, kid: &str) -> String {
    format!("meshwright-unknown-key {}", serde_json::json!({"issuer": issuer, "kid": kid}))
}

/// Or nothing would be looked at.
#[test]
fn what_is_right_is_taken() {
    assert!(meshwright_fuzz::discovered_keys(CONFIGURATION.as_bytes()) && !meshwright_fuzz::discovered_keys(b"{}"));
    assert!(meshwright_fuzz::identity_proof(proof("system:serviceaccount:shop:cart").as_bytes()));
    assert!(!meshwright_fuzz::identity_proof(proof("cart").as_bytes()));
    let line = HEAD.to_owned() + &report("i", "k");
    assert_eq!(meshwright_fuzz::unknown_key(line.as_bytes()), Some(("i".to_owned(), "k".to_owned())));
    for (request, status) in [
        ("GET /v1/status HTTP/1.1", 200),
        ("GET /v1/enforced?proxies=0&timeout_ms=1 HTTP/1.1", 200),
        ("GET /v1/enforced?proxies=-1 HTTP/1.1", 400),
        ("GET /v1/documents/Mesh/a/b HTTP/1.1", 404),
        ("GET /v1/documents/Mug/a/b HTTP/1.1", 404),
        ("POST /v1/held/x/release HTTP/1.1", 404),
        ("GET /v1/diff?left=a/b&right=c HTTP/1.1", 404),
        ("DELETE /v1/status HTTP/1.1", 405),
        ("GET /v1/status HTTP/1.1\r\norigin: http://elsewhere.example", 403),
    ] {
        assert_eq!(meshwright_fuzz::admin_request(request.as_bytes()), Some(status), "{request}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_made_of_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _taken = meshwright_fuzz::discovered_keys(&bytes);
        prop_assert!(!meshwright_fuzz::identity_proof(&bytes));
        prop_assert_eq!(meshwright_fuzz::unknown_key(&bytes), None);
    }

    #[test]
    fn a_configuration_that_is_nearly_right_names_no_other_place(place in any::<usize>(), letters in r#"[\[\]{}",:0-9a-z\\/.@ -]{0,4}"#) {
        let mut changed = CONFIGURATION.to_owned();
        let place = place % changed.len();
        changed.replace_range(place..=place, &letters);
        let _taken = meshwright_fuzz::discovered_keys(changed.as_bytes());
    }

    #[test]
    fn a_configuration_may_name_any_url(issuer in select(vec!["https://issuer.example", "https://issuer.example/", "x"]), url in r#"(https?|HTTPS|file)://[a-z0-9\[\]@:./?#%-]{0,40}"#) {
        let taken = meshwright_fuzz::discovered_keys(serde_json::json!({"issuer": issuer, "jwks_uri": url}).to_string().as_bytes());
        prop_assert!(!taken || issuer == "https://issuer.example");
    }

    #[test]
    fn a_changed_proof_proves_nothing(place in any::<usize>(), letters in "[A-Za-z0-9_.=-]{0,2}") {
        let good = proof("system:serviceaccount:shop:cart");
        let mut changed = good.clone();
        let place = place % changed.len();
        changed.replace_range(place..=place, &letters);
        prop_assert_eq!(meshwright_fuzz::identity_proof(changed.as_bytes()), changed == good);
    }

    #[test]
    fn a_subject_that_is_signed_is_an_identity_or_none(sub in "(system:serviceaccount:)?[a-z0-9:/.%@ -]{0,30}") {
        let _proven = meshwright_fuzz::identity_proof(proof(&sub).as_bytes());
    }

    #[test]
    fn whatever_a_key_is_called_its_report_is_read_as_it_was_meant(issuer in any::<String>(), kid in any::<String>()) {
        let message = report(&issuer, &kid);
        let line = HEAD.to_owned() + &message;
        prop_assert!(!line.contains('\n'), "one line");
        prop_assert_eq!(meshwright_fuzz::unknown_key(line.as_bytes()), Some((issuer, kid)));
        // Text of a request in a record, or in what Envoy says itself, is no report.
        let quoted = format!("{HEAD}meshwright-access {}", serde_json::json!({"path": line}));
        prop_assert_eq!(meshwright_fuzz::unknown_key(quoted.as_bytes()), None);
        let said = format!("[2026-11-21 06:51:24.766][18510][info][main] [source/server/server.cc:1] {message}");
        prop_assert_eq!(meshwright_fuzz::unknown_key(said.as_bytes()), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_admin_api_answers_whatever_it_is_asked(
        method in select(vec!["GET", "GET", "GET", "POST", "HEAD"]),
        path in select(vec!["/v1/status", "/v1/enforced", "/v1/rules", "/v1/scope", "/v1/ca", "/v1/documents/Mesh/x/mesh", "/v1/proxies/a/b", "/v1/proxies/a/b/config", "/v1/diff", "/v1/held/x/release", "/metrics", "/healthz"]),
        more in "(/[!-~]{0,6}|%[0-9a-f]{2}|[!-~]{0,3}){0,3}",
        query in prop::collection::vec(("(revision|proxies|timeout_ms|type|name|left|right|[!-~]{0,4})", "([0-9]{0,2}|-1|CDS|a/b@target|%[0-9a-fF]{0,3}|[!-~]{0,8})"), 0..4),
    ) {
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = format!("{method} {path}{more}?{} HTTP/1.1", query.join("&"));
        prop_assert!(meshwright_fuzz::admin_request(request.as_bytes()).is_some(), "{request}");
    }

    #[test]
    fn and_bytes_do_not_end_it(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _answered = meshwright_fuzz::admin_request(&bytes);
        prop_assert_eq!(meshwright_fuzz::admin_request(b"GET /healthz HTTP/1.1"), Some(200));
    }
}
