//! Tokens of every algorithm before a real Envoy: what it checks itself, and what the module checks for it.

use anyhow::Context as _;
use meshwright_e2e::pair::{self, HOST, Pair};
use meshwright_test_support as support;
use serde_json::json;
use support::signing::{self, SigningKey};

const ISSUER: &str = "https://issuer.test";

/// The policy behind a key set: callers need a token.
fn documents(jwks: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: tokens, namespace: test}}
spec:
  selector: {{matchLabels: {{app: server}}}}
  jwtRules:
  - issuer: {ISSUER}
    jwks: '{jwks}'
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: with-token, namespace: test}}
spec:
  selector: {{matchLabels: {{app: server}}}}
  rules:
  - from: [{{source: {{requestPrincipals: ['{ISSUER}/me']}}}}]
"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_every_algorithm_are_taken_and_forged_ones_are_not() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let keys = SigningKey::every()?;
    let jwks = signing::jwks(&keys.iter().collect::<Vec<_>>());
    let mesh = Pair::start(environment, network, &pair::documents(network, "", &documents(&jwks))).await?;
    let client = mesh.calls()?;
    let claims = |subject: &str| anyhow::Ok(json!({"iss": ISSUER, "sub": subject, "exp": signing::now()? + 600}));
    for key in &keys {
        let algorithm = key.header().to_string();
        let (mine, others) = (key.token(&claims("me")?)?, key.token(&claims("other")?)?);
        let ((text, _), (_, signature)) = mine.rsplit_once('.').zip(others.rsplit_once('.')).context("a token has dots")?;
        let forged = format!("{text}.{signature}");
        for (token, expected) in [(mine.as_str(), 200), (&others, 403), (&forged, 401)] {
            let answer = client.send("GET", &format!("http://{HOST}/"), &[("authorization", &format!("Bearer {token}"))]).await?;
            assert_eq!(answer.status(), Some(expected), "{algorithm}: {}", answer.summary());
        }
    }
    mesh.stop().await
}
