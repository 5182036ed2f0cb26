//! The module under test, one mesh to run it in, and tokens with real signatures.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshwright_wasm_host::{Engine, Host, Outcome, Plugin, Report, Request, Tcp};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

pub(crate) const CART: &str = "spiffe://mesh.test/ns/shop/sa/cart";
pub(crate) const ISSUER: &str = "https://issuer.test/a";
/// When every run starts: 2026-01-01, as the host's default has it.
pub(crate) const NOW: u64 = 1_767_225_600;

pub(crate) static HOST: LazyLock<Host> = LazyLock::new(|| Host::load(&module()).unwrap());
/// One that counts instructions.
pub(crate) static METERED: LazyLock<Host> = LazyLock::new(|| Host::load_on(&Engine::metered().unwrap(), &module()).unwrap());
static RANDOM: LazyLock<SystemRandom> = LazyLock::new(SystemRandom::new);
pub(crate) static P256: LazyLock<EcdsaKeyPair> = LazyLock::new(|| {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &*RANDOM).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &*RANDOM).unwrap()
});
pub(crate) static ED25519: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&*RANDOM).unwrap().as_ref()).unwrap());

/// As it was built for Envoy: `make module`.
fn module() -> Vec<u8> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/wasm32-wasip1/filter/meshwright_filters.wasm");
    let path = std::env::var("MESHWRIGHT_FILTERS_WASM").unwrap_or_else(|_| default.to_owned());
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}; `make module` builds it"))
}

/// The role `root_id` with `config`.
pub(crate) fn plugin(root_id: &str, config: &[u8]) -> Plugin {
    HOST.plugin(root_id, config).name(root_id)
}

/// The role `authz` for HTTP: tokens of [`ISSUER`] are taken, and `authorization` decides.
pub(crate) fn authz(authorization: Value) -> Plugin {
    authz_of("http", jwt_rule(), authorization)
}

pub(crate) fn authz_of(protocol: &str, jwt_rule: Value, authorization: Value) -> Plugin {
    plugin("authz", config_of(protocol, jwt_rule, authorization).to_string().as_bytes())
}

pub(crate) fn config_of(protocol: &str, jwt_rule: Value, authorization: Value) -> Value {
    json!({
        "version": 1, "protocol": protocol, "trust_domain": "mesh.test",
        "request_authentication": [{"namespace": "shop", "name": "tokens", "jwt_rules": [jwt_rule]}],
        "authorization": authorization,
    })
}

pub(crate) fn policy(action: &str, rules: Value) -> Value {
    json!([{"namespace": "shop", "name": "policy", "action": action, "rules": rules}])
}

pub(crate) fn jwt_rule() -> Value {
    json!({
        "issuer": ISSUER, "jwks": jwks(), "outputPayloadToHeader": "x-payload",
        "outputClaimToHeaders": [{"header": "x-user", "claim": "sub"}],
    })
}

pub(crate) fn jwks() -> String {
    let point = P256.public_key().as_ref();
    let (x, y) = (&point[1..33], &point[33..]);
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let p256 = json!({"kty": "EC", "crv": "P-256", "kid": "p256", "alg": "ES256", "x": encode(x), "y": encode(y)});
    let ed25519 = json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed25519", "x": encode(ED25519.public_key().as_ref())});
    json!({"keys": [p256, ed25519]}).to_string()
}

/// Claims of a token that is good until half an hour after [`NOW`].
pub(crate) fn claims(more: Value) -> Value {
    let mut claims = json!({"iss": ISSUER, "sub": "alice", "iat": NOW - 60, "exp": NOW + 1800});
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

pub(crate) fn es256(claims: &Value) -> String {
    signed(&json!({"alg": "ES256", "kid": "p256", "typ": "JWT"}), claims, |text| P256.sign(&*RANDOM, text).unwrap().as_ref().to_vec())
}

pub(crate) fn eddsa(claims: &Value) -> String {
    signed(&json!({"alg": "EdDSA", "kid": "ed25519"}), claims, |text| ED25519.sign(text).as_ref().to_vec())
}

fn signed(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(sign(text.as_bytes()));
    format!("{text}.{signature}")
}

/// `GET path` of [`CART`] over mutual TLS, with what the listener tells of the connection.
pub(crate) fn from_cart(path: &str) -> Request {
    Request::get(path)
        .property("connection.mtls", true)
        .property("source.address", "10.0.0.1:4242")
        .property("destination.address", "10.0.0.2:8080")
        .filter_state("meshwright.peer", format!("10.0.0.1:4242|{CART}"))
}

/// A connection of [`CART`] over mutual TLS.
pub(crate) fn connection_from_cart() -> Tcp {
    Tcp::new()
        .property("connection.mtls", true)
        .property("source.address", "10.0.0.1:4242")
        .filter_state("meshwright.peer", format!("10.0.0.1:4242|{CART}"))
}

pub(crate) fn bearer(request: Request, token: &str) -> Request {
    request.header("authorization", format!("Bearer {token}"))
}

/// What the filter left to the access log.
pub(crate) fn decision(report: &Report) -> Value {
    serde_json::from_slice(report.property("meshwright.decision").expect("a decision is recorded")).unwrap()
}

/// Status and body of a reply that the filter made; nothing reached the app.
pub(crate) fn denied(outcome: &Outcome) -> (u32, &str) {
    assert_eq!(outcome.upstream_request, None, "the app was reached");
    let reply = outcome.local_reply.as_ref().expect("a local reply");
    (reply.status, std::str::from_utf8(&reply.body).unwrap())
}

/// What the app got as `name`; the request reached it.
pub(crate) fn app_got<'a>(outcome: &'a Outcome, name: &str) -> Option<&'a str> {
    let request = outcome.upstream_request.as_ref().unwrap_or_else(|| panic!("denied: {:?}", outcome.local_reply));
    request.headers.text(name)
}
