//! One function for each parser of bytes from outside: none may panic, hang or take without limit, whatever it is given. Every test run feeds
//! them some thousand inputs (`tests/bounded.rs`); `libfuzzer/` makes cargo-fuzz targets of them for longer hunts.

mod discovery;
mod expressions;
mod host;
mod records;
mod servers;

use meshwright_bundle::TrustBundle;
use meshwright_ca::JoinToken;
use meshwright_config::{State, parse_file};
use meshwright_identity::{SpiffeId, TrustDomain};
use meshwright_policy::{Headers, HttpRequest, Policy, SoftwareCrypto, TokenCache, check_key_url, parse_jwks};
use meshwright_translate::NodeMetadata;

pub use discovery::discovery;
pub use expressions::expression;
pub use host::{changed_module, exchange, map_encoding, module, property, scenario};
pub use records::{access_log, certificates, explain_case, policy_test, signing_request};
pub use servers::{admin_request, discovered_keys, identity_proof, unknown_key};

/// A policy that looks for tokens in every kind of place, with an Ed25519 key (RFC 8037, appendix A.2).
const POLICY: &str = r#"{"version":1,"protocol":"http","trust_domain":"fuzz.example","request_authentication":[{"namespace":"n","name":"r",
"jwt_rules":[{"issuer":"i","jwks":"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"},
{"issuer":"j","fromHeaders":[{"name":"x-token"}],"fromParams":["t"],"fromCookies":["c"],"outputPayloadToHeader":"x-payload",
"jwks":"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"}]}]}"#;
const NOW: u64 = 1_800_000_000;

/// The module's plugin configuration.
pub fn policy_configuration(bytes: &[u8]) {
    if let Ok(policy) = Policy::from_json(bytes) {
        let _names = policy.owned_headers().len();
    }
}

/// The header map that Envoy hands to the module, and the tokens in it.
pub fn header_map(bytes: &[u8]) {
    if let Ok(headers) = Headers::parse(bytes) {
        authenticate(headers);
    }
}

/// A bearer token, a query and a cookie of these bytes.
pub fn token(bytes: &[u8]) {
    let with = |prefix: &[u8]| [prefix, bytes].concat();
    let (bearer, target, cookie) = (with(b"Bearer "), with(b"/a?t="), with(b"c="));
    let pairs: [(&[u8], &[u8]); 5] =
        [(b":method", b"GET"), (b":path", &target), (b"authorization", &bearer), (b"x-token", bytes), (b"cookie", &cookie)];
    authenticate(Headers::from_pairs(pairs));
}

fn authenticate(headers: Headers<'_>) {
    let Ok(policy) = Policy::from_json(POLICY.replace('\n', "").as_bytes()) else { return };
    let authentication = policy.authenticate(&HttpRequest::new(headers), NOW, &SoftwareCrypto, &mut TokenCache::default());
    assert!(authentication.claims().is_none(), "bytes that nobody signed make no token");
}

/// What an issuer's server answers as its key set, and a document as its URL.
pub fn key_sets(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(keys) = parse_jwks(&text) {
        assert!(
            keys.iter().any(|key| !key.algorithms().is_empty() && !key.spki_der().is_empty()),
            "a set that is taken verifies something"
        );
    }
    if check_key_url(&text).is_ok() {
        assert!(text.to_ascii_lowercase().starts_with("http") && text.is_ascii(), "a URL is taken as it is written");
    }
}

/// What another trust domain's endpoint answers as its bundle, and an operator writes as one.
pub fn trust_bundles(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(domain) = TrustDomain::parse("fuzz.example") else { return };
    if let Ok(bundle) = TrustBundle::parse(&domain, &text) {
        assert!(!bundle.roots().is_empty(), "a bundle that is taken has a root");
        let again = TrustBundle::from_json(&domain, &bundle.to_json());
        assert!(again.is_ok_and(|again| again == bundle), "a bundle is written as it was read");
        let pem = TrustBundle::from_pem(&domain, &bundle.to_pem());
        assert!(pem.is_ok_and(|pem| pem.has_roots_of(&bundle)), "its roots are the same as PEM");
    }
}

/// A file of documents.
pub fn documents(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let parsed = parse_file("fuzz.yaml", &text).into_iter().filter_map(Result::ok).collect();
    let (_state, _errors) = State::assemble(parsed);
}

/// What a sidecar says of itself to the control plane, and the names in its certificate.
pub fn identities(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(id) = SpiffeId::parse(&text) {
        assert_eq!(id.to_string(), text, "an identity is printed as it was read");
    }
    let _refused = JoinToken::parse(&text).is_err();
    if let Ok(json) = serde_json::from_slice(bytes) {
        let _refused = NodeMetadata::try_from(&json).is_err();
    }
}
