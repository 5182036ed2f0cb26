//! Keys of token issuers under a running mesh: fetched, rotated, their server gone, the control plane restarted.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

#[path = "../../../control-plane/jwks/tests/fetching/server.rs"]
mod server;

use std::time::Duration;

use anyhow::Context as _;
use meshwright_demo::bookshop::Network;
use meshwright_demo::client::Client;
use meshwright_demo::keys::Issuer;
use meshwright_demo::launcher::{ControlPlane, ControlPlaneSpec, Environment, Workload, WorkloadSpec};
use meshwright_e2e::{any_ports, configure, smallest_mesh};
use meshwright_test_support as support;
use serde_json::Value;
use server::Server;

const SETTLED: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// Two issuers: one whose key set has a URL, one whose configuration says where it is. Every request needs a token of one of them.
fn documents(address: &str, keys: &str, discovered: &str) -> String {
    format!(
        "{}---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: tokens, namespace: test}}
spec:
  jwtRules:
  - {{issuer: by-uri, jwksUri: '{keys}', timeout: 2s}}
  - {{issuer: '{discovered}'}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: signed-in, namespace: test}}
spec:
  rules: [{{from: [{{source: {{requestPrincipals: ['*']}}}}]}}]
",
        smallest_mesh("mesh.example", address, 8080)
    )
}

struct Mesh {
    control_plane: ControlPlane,
    client: Client,
    url: String,
}

impl Mesh {
    async fn start(environment: &Environment, network: Network) -> anyhow::Result<(Self, Workload)> {
        let control_plane = ControlPlane::start(environment, any_ports()).await?;
        let spec = WorkloadSpec {
            namespace: "test".to_owned(),
            name: "one".to_owned(),
            service_account: "one".to_owned(),
            outbound: network.at(1, 15_001),
            apps: vec![(8080, network.at(1, 9080))],
            tcp: Vec::new(),
            echo: Some(vec!["--listen".to_owned(), network.at(1, 9080).to_string()]),
            extra: Vec::new(),
        };
        let workload = Workload::start(environment, control_plane.xds(), spec).await?;
        let mesh = Self { control_plane, client: Client::outside()?, url: format!("http://{}/", network.at(1, 8080)) };
        Ok((mesh, workload))
    }

    /// With another control plane on the same configuration, data and addresses.
    async fn restarted(self, environment: &Environment) -> anyhow::Result<Self> {
        let ports = ControlPlaneSpec { xds: self.control_plane.xds(), admin: self.control_plane.admin(), ..any_ports() };
        self.control_plane.into_process().stop().await?;
        let control_plane = ControlPlane::start(environment, ports).await?;
        let connected = control_plane.connected(1, SETTLED).await?;
        anyhow::ensure!(connected["enforced"] == true, "{connected}");
        Ok(Self { control_plane, ..self })
    }

    async fn status_of(&self, token: Option<&str>) -> anyhow::Result<Option<u16>> {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> = bearer.iter().map(|value| ("authorization", value.as_str())).collect();
        Ok(self.client.send("GET", &self.url, &headers).await?.status())
    }

    /// Sends requests, each with a token of its own, until one is allowed. Returns the other answers.
    async fn until_allowed(&self, issuer: &Issuer) -> anyhow::Result<Vec<u16>> {
        let mut others = Vec::new();
        let allowed = async {
            for number in 0.. {
                let token = issuer.token(&format!("user-{number}"), &[], 600)?;
                match self.status_of(Some(&token)).await? {
                    Some(200) => break,
                    other => others.extend(other),
                }
                tokio::time::sleep(POLL).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(SETTLED, allowed).await.context("never allowed")??;
        Ok(others)
    }

    /// The status, once `holds` is true of it.
    async fn when(&self, what: &str, holds: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let waiting = async {
            loop {
                let status = self.control_plane.status().await?;
                if holds(&status) {
                    return anyhow::Ok(status);
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(SETTLED, waiting).await.with_context(|| format!("never: {what}"))?
    }
}

fn sources(status: &Value) -> &[Value] {
    status["key_sources"].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_and_outlive_their_server_and_the_control_plane() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let keys = Server::start(None).await;
    let (discovered, uri) = (keys.url("/realm"), keys.url("/keys"));
    let (old, new, other) =
        (Issuer::with_key("by-uri", "old")?, Issuer::with_key("by-uri", "new")?, Issuer::with_key(&discovered, "other")?);
    keys.answers("/keys", "200 OK", &old.jwks()?);
    let configuration = format!(r#"{{"issuer": "{discovered}", "jwks_uri": "{}"}}"#, keys.url("/other"));
    keys.answers("/realm/.well-known/openid-configuration", "200 OK", &configuration);
    keys.answers("/other", "200 OK", &other.jwks()?);
    configure(&environment, &documents(&network.at(1, 0).ip().to_string(), &uri, &discovered))?;
    let (mesh, workload) = Mesh::start(&environment, network).await?;
    mesh.when("both sets are there", |status| sources(status).iter().filter(|source| source["keys"] == 1).count() == 2).await?;
    mesh.until_allowed(&old).await?;
    mesh.until_allowed(&other).await?;
    assert_eq!(mesh.status_of(None).await?, Some(403), "a token is asked for");

    keys.answers("/keys", "200 OK", &new.jwks()?);
    let others = mesh.until_allowed(&new).await?;
    assert!(!others.is_empty() && others.iter().all(|status| *status == 401), "refused until the key is there: {others:?}");
    assert_eq!(mesh.status_of(Some(&old.token("ada", &[], 600)?)).await?, Some(401), "the key is gone");
    mesh.until_allowed(&other).await?;
    let metrics = Client::outside()?.get(&format!("http://{}/metrics", mesh.control_plane.admin())).await?;
    let metrics = format!("{metrics:?}");
    for part in [
        format!("meshwright_jwks_age_seconds{{source=\\\"{uri}\\\"}}"),
        "meshwright_jwks_fetches_total{outcome=\\\"success\\\"} 3".to_owned(),
    ] {
        assert!(metrics.contains(&part), "no `{part}` in {metrics}");
    }

    assert_eq!(keys.asked().iter().filter(|path| *path == "/keys").count(), 2, "once at the start and once for the new key");

    drop(keys);
    let mesh = mesh.restarted(&environment).await?;
    let failed =
        |source: &Value| source["keys"] == 1 && source["last_error"].as_str().is_some_and(|error| error.contains("cannot be reached"));
    mesh.when("fetching fails", |status| sources(status).iter().filter(|source| failed(source)).count() == 2).await?;
    for issuer in [&new, &other] {
        assert_eq!(mesh.status_of(Some(&issuer.token("after", &[], 600)?)).await?, Some(200), "the last good keys are in force");
    }
    assert_eq!(mesh.status_of(Some(&old.token("after", &[], 600)?)).await?, Some(401));
    let shown = environment.command(&["status", "--admin", &format!("http://{}", mesh.control_plane.admin())]).await?;
    assert!(
        shown.contains(&format!("keys of by-uri from {uri}: 1 in force, fetched 20")) && shown.contains("the last fetch failed"),
        "{shown}"
    );

    let metadata = documents(&network.at(1, 0).ip().to_string(), "http://169.254.169.254/latest/meta-data", &discovered);
    configure(&environment, &metadata)?;
    let refused = |status: &Value| {
        let error = status["quarantined"][0]["error"].as_str().unwrap_or_default();
        error.contains("spec.jwtRules[0].jwksUri: found `http://169.254.169.254/latest/meta-data`, a link-local address")
    };
    mesh.when("the document is refused", refused).await?;
    assert_eq!(mesh.status_of(Some(&new.token("later", &[], 600)?)).await?, Some(200), "its last good version stays");
    workload.into_process().stop().await?;
    mesh.control_plane.into_process().stop().await?;
    Ok(())
}
