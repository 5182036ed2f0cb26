//! Both engines, one mesh, and tokens with real signatures.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshwright_explain::{Explainer, NativeEngine, WasmEngine};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://issuer.test";
/// 2026-01-01T00:00:00Z
pub(crate) const NOW: u64 = 1_767_225_600;

static MODULE: LazyLock<WasmEngine> = LazyLock::new(|| {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/wasm32-wasip1/filter/meshwright_filters.wasm");
    let path = std::env::var("MESHWRIGHT_FILTERS_WASM").unwrap_or_else(|_| default.to_owned());
    WasmEngine::from_file(path.as_ref()).unwrap_or_else(|error| panic!("{error}; `make module` builds it"))
});

static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref()).unwrap());

pub(crate) fn native() -> Explainer {
    Explainer::new(Box::new(NativeEngine))
}

pub(crate) fn wasm() -> Explainer {
    Explainer::new(Box::new(MODULE.clone()))
}

/// The answer of both engines, which must be one.
pub(crate) fn answer(case: &Value) -> Value {
    let line = case.to_string();
    let [native, wasm] = [native(), wasm()].map(|mut engine| serde_json::to_value(engine.answer_line(line.as_bytes(), NOW)).unwrap());
    assert_eq!(native, wasm, "{case}");
    native
}

/// `GET /` of `web` over mutual TLS to `shop/cart` port 8080, under `documents`.
pub(crate) fn case(documents: &str) -> Value {
    json!({
        "id": "case", "documents": documents,
        "workload": {"namespace": "shop", "name": "cart-1", "serviceAccount": "cart", "labels": {"app": "cart"}},
        "connection": {"protocol": "http", "port": 8080, "destinationIp": "10.0.0.2", "sourceIp": "10.0.0.1",
            "tls": {"principal": "spiffe://mesh.test/ns/shop/sa/web"}, "sni": null},
        "request": {"method": "GET", "path": "/", "host": "cart.shop", "headers": [], "remoteIp": null},
        "now": "2026-01-01T00:00:00Z",
    })
}

/// The same as a TCP connection.
pub(crate) fn tcp_case(documents: &str) -> Value {
    let mut case = case(documents);
    case["connection"]["protocol"] = json!("tcp");
    case["request"] = Value::Null;
    case
}

pub(crate) fn mesh(more: &str) -> String {
    format!(
        "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {{name: mesh}}\nspec: {{trustDomain: mesh.test, rootNamespace: root{more}}}\n"
    )
}

pub(crate) fn document(kind: &str, name: &str, spec: &Value) -> String {
    let document =
        json!({"apiVersion": "security.istio.io/v1", "kind": kind, "metadata": {"namespace": "shop", "name": name}, "spec": spec});
    format!("---\n{document}\n")
}

pub(crate) fn policy(name: &str, action: &str, rules: &Value) -> String {
    document("AuthorizationPolicy", name, &json!({"action": action, "rules": rules}))
}

/// Tokens of [`ISSUER`] are taken; `x-user` is theirs to set.
pub(crate) fn tokens(more: &Value) -> String {
    let mut rule = json!({"issuer": ISSUER, "jwks": jwks(), "outputClaimToHeaders": [{"header": "x-user", "claim": "sub"}]});
    for (name, value) in more.as_object().unwrap() {
        rule[name] = value.clone();
    }
    document("RequestAuthentication", "tokens", &json!({"jwtRules": [rule]}))
}

fn jwks() -> String {
    let x = URL_SAFE_NO_PAD.encode(KEY.public_key().as_ref());
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x}]}).to_string()
}

/// A signed token with these claims beside `iss`.
pub(crate) fn token(claims: &Value) -> String {
    let mut all = json!({"iss": ISSUER});
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    let header = json!({"alg": "EdDSA", "kid": "k"});
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(all.to_string()));
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(KEY.sign(text.as_bytes())))
}
