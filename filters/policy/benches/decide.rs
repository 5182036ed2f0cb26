//! `cargo bench -p meshwright-policy`: what the core costs by itself, natively.

#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use meshwright_policy::wire::AuthzConfig;
use meshwright_policy::{
    Algorithm, Authentication, Connection, Crypto, CryptoError, Headers, HttpRequest, Metadata, Peer, Policy, PublicKey, Request,
    TokenCache, decide, evaluate,
};
use serde_json::{Value, json};

/// The key of RFC 8037, appendix A.2.
const JWKS: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
/// `{"alg":"EdDSA"}` and `{"iss":"https://issuer.test","sub":"ada","groups":["customer"]}`.
const TOKEN: &[u8] =
    b"Bearer eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0Iiwic3ViIjoiYWRhIiwiZ3JvdXBzIjpbImN1c3RvbWVyIl19.AAAA";

#[derive(Debug)]
struct Trusting;

impl Crypto for Trusting {
    fn verify(&self, _: Algorithm, _: &PublicKey, _: &[u8], _: &[u8]) -> Result<bool, CryptoError> {
        Ok(true)
    }
}

/// So many ALLOW policies of one rule: who may do what where, as operators write them.
fn config(rules: u32) -> Vec<u8> {
    let policy = |index: u32| {
        json!({"namespace": "shop", "name": format!("policy-{index}"), "action": "ALLOW", "rules": [{
            "from": [{"source": {"principals": [format!("mesh.test/ns/shop/sa/caller-{}", index % 100)]}}],
            "to": [{"operation": {"methods": ["GET"], "paths": [format!("/service-{index}/*")]}}],
        }]})
    };
    let authorization: Vec<Value> = (0..rules).map(policy).collect();
    let config = json!({
        "version": 1, "protocol": "http", "trust_domain": "mesh.test", "authorization": authorization,
        "request_authentication": [{"namespace": "shop", "name": "tokens", "jwt_rules": [{"issuer": "https://issuer.test", "jwks": JWKS}]}],
    });
    config.to_string().into_bytes()
}

fn connection(caller: u32) -> Connection {
    let uri_sans = vec![format!("spiffe://mesh.test/ns/shop/sa/caller-{caller}")];
    let peer = Peer::Authenticated { uri_sans, dns_sans: Vec::new(), subject: None, serial: None };
    Connection { direct_ip: None, remote_ip: None, peer, sni: None, destination: None, metadata: Metadata::default() }
}

fn http(path: &str) -> HttpRequest<'_> {
    let pairs: [(&[u8], &[u8]); 7] = [
        (b":authority", b"orders.shop"),
        (b":path", path.as_bytes()),
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b"user-agent", b"bench"),
        (b"x-request-id", b"7d1d2a3c-0000-4000-8000-000000000000"),
        (b"authorization", TOKEN),
    ];
    HttpRequest::new(Headers::from_pairs(pairs))
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for rules in [1_u32, 100, 1000, 10_000] {
        let policy = Policy::from_json(&config(rules)).unwrap();
        let last = rules.saturating_sub(1);
        let (path, connection) = (format!("/service-{last}/x"), connection(last % 100));
        for (what, http) in [("last", http(&path)), ("none", http("/nothing/x"))] {
            let request = Request { connection: &connection, http: Some(&http), authentication: &Authentication::Anonymous };
            group.bench_function(BenchmarkId::new(what, rules), |bencher| bencher.iter(|| decide(black_box(&policy), black_box(&request))));
        }
        let http = http("/nothing/x");
        let request = Request { connection: &connection, http: Some(&http), authentication: &Authentication::Anonymous };
        group.bench_function(BenchmarkId::new("none, with nearest miss", rules), |bencher| {
            bencher.iter(|| evaluate(black_box(&policy), black_box(&request)));
        });
    }
}

fn tokens(criterion: &mut Criterion) {
    let policy = Policy::from_json(&config(1)).unwrap();
    let mut cache = TokenCache::default();
    criterion.bench_function("authenticate, token known", |bencher| {
        bencher.iter(|| policy.authenticate(black_box(&http("/service-0/x?a=b")), 1, &Trusting, &mut cache));
    });
}

fn compilations(criterion: &mut Criterion) {
    let config = config(10_000);
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    group.bench_function("10000 rules, JSON alone", |bencher| {
        bencher.iter(|| serde_json::from_slice::<AuthzConfig>(black_box(&config)).unwrap());
    });
    group.bench_function("10000 rules from JSON", |bencher| bencher.iter(|| Policy::from_json(black_box(&config)).unwrap()));
}

criterion_group!(benches, decisions, tokens, compilations);
criterion_main!(benches);
