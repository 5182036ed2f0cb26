//! Proofs of identity other than join tokens, limits, and what is recorded of them.

use std::fs;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use meshwright_ca::client::{self, ClientError, Credentials};
use meshwright_ca::{MAX_LEAF_TTL, NewRoot, Refusal, rotate};
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::served::{AUDIENCE, ISSUER, Served, module, serve};
use crate::support::{DAY, orders, seconds, secret_lines};

/// An issuer with one P-256 key.
struct Issuer(KeyPair);

impl Issuer {
    fn new() -> Self {
        Self(KeyPair::generate().unwrap())
    }

    /// The key set, as the control plane reads it.
    fn publish(&self, served: &Served) {
        let point = &self.0.public_key_raw()[1..];
        let [x, y] = [&point[..32], &point[32..]].map(|half| URL_SAFE_NO_PAD.encode(half));
        let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1", "alg": "ES256", "use": "sig", "x": x, "y": y}]});
        fs::write(served.dir.path().join("issuer.json"), keys.to_string()).unwrap();
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &EncodingKey::from_ec_der(self.0.serialized_der())).unwrap()
    }
}

fn projected(change: impl FnOnce(&mut Value)) -> Value {
    let now = seconds(SystemTime::now());
    let mut claims = json!({
        "iss": ISSUER, "aud": [AUDIENCE], "sub": "system:serviceaccount:bookshop:orders", "iat": now, "nbf": now, "exp": now + 600,
        "kubernetes.io": {"namespace": "bookshop", "serviceaccount": {"name": "orders", "uid": "1"}, "pod": {"name": "p", "uid": "2"}},
    });
    change(&mut claims);
    claims
}

fn without_pod(subject: &str) -> Value {
    projected(|claims| {
        claims["sub"] = json!(subject);
        claims.as_object_mut().unwrap().remove("kubernetes.io");
    })
}

fn audit(served: &Served) -> Vec<Value> {
    let text = fs::read_to_string(served.dir.path().join("audit.log")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn join(served: &Served, jwt: &str) -> Result<Credentials, ClientError> {
    client::join_with_jwt(&served.address, jwt, &served.authority.trust_bundle_pem(), SystemTime::now()).await
}

#[tokio::test]
async fn a_projected_token_makes_its_bearer_its_service_account() {
    let (served, issuer) = (serve(module(vec![])).await, Issuer::new());
    issuer.publish(&served);
    let good = issuer.sign(&projected(|_| {}));
    let joined = join(&served, &good).await.unwrap();
    assert_eq!(joined.identity(), &orders());
    client::renew(&served.address, &joined, SystemTime::now()).await.unwrap();
    let now = seconds(SystemTime::now());
    let other = Issuer::new();
    let cases: Vec<(String, &str)> = vec![
        (issuer.sign(&projected(|claims| claims["aud"] = json!(["https://kubernetes.default.svc"]))), "InvalidAudience"),
        (issuer.sign(&projected(|claims| claims["iss"] = json!("https://other.example"))), "InvalidIssuer"),
        (issuer.sign(&projected(|claims| claims["exp"] = json!(now - 60))), "expired at"),
        (issuer.sign(&projected(|claims| claims["nbf"] = json!(now + 600))), "valid only from"),
        (issuer.sign(&projected(|claims| claims["sub"] = json!("system:node:n1"))), "subject is `system:node:n1`"),
        (issuer.sign(&without_pod("system:serviceaccount:a/sa/b:orders")), "subject is"),
        (issuer.sign(&projected(|claims| claims["kubernetes.io"]["namespace"] = json!("other"))), "another service account"),
        (issuer.sign(&projected(|claims| drop(claims.as_object_mut().unwrap().remove("aud")))), "aud"),
        (issuer.sign(&projected(|claims| drop(claims.as_object_mut().unwrap().remove("exp")))), "exp"),
        (other.sign(&projected(|_| {})), "InvalidSignature"),
        ("eyJhbGciOiJub25lIn0.e30.".to_owned(), "can be read"),
        (good.repeat(20), "can be read"),
    ];
    for (jwt, why) in cases {
        let error = join(&served, &jwt).await.unwrap_err();
        assert!(matches!(&error, ClientError::Refused { refusal: Refusal::JwtInvalid, .. }), "{why}: {error}");
        assert!(error.to_string().contains(why), "{why}: {error}");
    }
    let hmac = encode(&Header::new(Algorithm::HS256), &projected(|_| {}), &EncodingKey::from_secret(b"k1")).unwrap();
    assert!(join(&served, &hmac).await.unwrap_err().to_string().contains("algorithm"));
    // The control plane's own identity is nobody's to prove.
    let own = issuer.sign(&without_pod("system:serviceaccount:mesh-system:meshwright-control-plane"));
    assert!(matches!(join(&served, &own).await.unwrap_err(), ClientError::Refused { refusal: Refusal::IdentityNotIssued, .. }));
    // Nor is the JWT shown to a server that the roots do not vouch for.
    let stranger = serve(module(vec![])).await;
    let error = client::join_with_jwt(&stranger.address, &good, &served.authority.trust_bundle_pem(), SystemTime::now()).await.unwrap_err();
    assert!(matches!(error, ClientError::NotControlPlane { .. }), "{error}");
    fs::remove_file(served.dir.path().join("issuer.json")).unwrap();
    assert!(join(&served, &good).await.unwrap_err().to_string().contains("keys of the issuer"));
}

#[tokio::test]
async fn every_issue_and_refusal_is_a_line_and_none_holds_a_secret() {
    let served = serve(module(vec![])).await;
    let token = served.token("orders");
    let joined = client::join(&served.address, &token, SystemTime::now()).await.unwrap();
    client::join(&served.address, &token, SystemTime::now()).await.unwrap_err();
    client::renew(&served.address, &joined, SystemTime::now()).await.unwrap();
    join(&served, "not a jwt").await.unwrap_err();
    *served.ahead.lock().unwrap() = DAY;
    client::renew(&served.address, &joined, SystemTime::now()).await.unwrap_err();
    let lines = audit(&served);
    let seen: Vec<_> =
        lines.iter().map(|line| (line["event"].as_str().unwrap(), line["proof"].as_str().unwrap(), line["reason"].as_str())).collect();
    assert_eq!(
        seen,
        [
            ("issued", "join-token", None),
            ("refused", "join-token", Some("token-used")),
            ("issued", "certificate", None),
            ("refused", "jwt", Some("jwt-invalid")),
            ("refused", "certificate", Some("certificate-invalid")),
        ]
    );
    assert_eq!(lines[0]["identity"], orders().to_string());
    assert_eq!((lines[0]["serial"].as_str().unwrap().len(), lines[0]["proof_id"].as_str().unwrap().len()), (32, 32));
    assert!(lines[0]["ttl_seconds"].as_u64().unwrap() > 3500);
    let text = fs::read_to_string(served.dir.path().join("audit.log")).unwrap();
    let mut secrets = vec![token.reveal().split('.').nth(1).unwrap().to_owned()];
    secrets.extend(secret_lines(joined.key().pem()));
    assert!(secrets.iter().all(|secret| !text.contains(secret)));
}

#[tokio::test]
async fn an_identity_that_asks_too_often_is_limited_and_keeps_its_token() {
    let served = serve(module(vec![])).await;
    let mut joined = served.joined().await;
    let error = loop {
        match client::renew(&served.address, &joined, SystemTime::now()).await {
            Ok(renewed) => joined = renewed,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ClientError::Refused { refusal: Refusal::RateLimited, .. }), "{error}");
    assert!(error.is_transient());
    let token = served.token("orders");
    client::join(&served.address, &token, SystemTime::now()).await.unwrap_err();
    *served.ahead.lock().unwrap() = Duration::from_secs(20);
    client::join(&served.address, &token, SystemTime::now()).await.unwrap();
    // Another identity has a limit of its own.
    client::join(&served.address, &served.token("ledger"), SystemTime::now()).await.unwrap();
}

#[tokio::test]
async fn a_stored_identity_renews_until_it_ends_and_is_checked_when_it_is_read() {
    let served = serve(module(vec![])).await;
    let (joined, now) = (served.joined().await, SystemTime::now());
    let stored = joined.to_stored();
    let read = Credentials::from_stored(&stored, now).unwrap();
    assert_eq!((read.identity(), read.key().pem(), read.not_after()), (joined.identity(), joined.key().pem(), joined.not_after()));
    client::renew(&served.address, &read, now).await.unwrap();
    assert!(Credentials::from_stored(&stored, now + DAY).unwrap_err().to_string().contains("expired"));
    let of_other = served.joined().await.key().pem().to_owned();
    let mut changed: Value = serde_json::from_str(&stored).unwrap();
    changed["key_pem"] = json!(of_other);
    assert!(Credentials::from_stored(&changed.to_string(), now).unwrap_err().to_string().contains("not of the key"));
    assert!(Credentials::from_stored("{}", now).is_err());
    // Also through a rollover that ended meanwhile: then it is another mesh to it, and says so.
    rotate(served.dir.path(), NewRoot::Make, &meshwright_ca::AuthorityOptions::default(), now).unwrap();
    assert!(served.authority.leases(now).contains_key(&orders()));
    assert_eq!(served.authority.leaf_ttl(), MAX_LEAF_TTL);
    // Half, but for the seconds that passed since `now`.
    let over = served.authority.leases(now)[&orders()].percent_over(now + Duration::from_secs(1800));
    assert!((45..=50).contains(&over), "{over}");
}
