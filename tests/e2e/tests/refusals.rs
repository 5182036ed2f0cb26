//! A document that is right by all that the control plane knows, and that Envoy refuses: it alone stays as it was, on the proxy that refused it.
#![expect(clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::time::Duration;

use anyhow::Context as _;
use meshwright_e2e::file;
use meshwright_e2e::pair::{self, HOST, Pair};
use meshwright_test_support as support;
use serde_json::{Value, json};

const OTHER_HOST: &str = "other.test.mesh";
const OTHER: &str = "VirtualService/test/other";
const SERVER: &str = "VirtualService/test/server";

const ANSWERED: Duration = Duration::from_secs(10);
/// More than the 1000 that RE2 repeats.
const TOO_LARGE: &str = "/a{1001}";

fn other_service() -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: other, namespace: test}}\n\
         spec:\n  hosts: [{OTHER_HOST}]\n  location: MESH_INTERNAL\n  resolution: STATIC\n  \
         ports: [{{number: {}, name: http, protocol: HTTP}}]\n  workloadSelector: {{labels: {{app: server}}}}\n---\n",
        pair::HTTP
    )
}

/// Redirects what matches.
fn redirect(name: &str, host: &str, regex: &str, to: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: test}}\n\
         spec:\n  hosts: [{host}]\n  http:\n  - match: [{{uri: {{regex: \"{regex}\"}}}}]\n    redirect: {{uri: {to}}}\n  \
         - route: [{{destination: {{host: {host}, port: {{number: {}}}}}}}]\n---\n",
        pair::HTTP
    )
}

struct Mesh {
    pair: Pair,
    admin: String,
}

impl Mesh {
    fn save(&self, text: &str) -> anyhow::Result<()> {
        file::put(&self.pair.environment.config_dir(), "routes.yaml", text)
    }

    async fn receipt(&self, command: &[&str]) -> anyhow::Result<Value> {
        let mut run = tokio::process::Command::new(&self.pair.environment.binary);
        let output = run.args(command).args(["--admin", &self.admin, "--output", "json"]).output().await?;
        serde_json::from_slice(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }

    async fn wait(&self, document: &str) -> anyhow::Result<Value> {
        self.receipt(&["wait", document, "--for", "enforced", "--timeout", "20s"]).await
    }

    /// Waits until a document stands so.
    async fn stands(&self, document: &str, state: &str) -> anyhow::Result<Value> {
        let mut last = String::new();
        let seen = async {
            loop {
                let receipt = self.receipt(&["status", document]).await?;
                last = receipt.to_string();
                if receipt["state"] == state {
                    return Ok::<_, anyhow::Error>(receipt);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(30), seen).await {
            Ok(receipt) => receipt,
            Err(_) => anyhow::bail!("{document} is never {state}: {last}"),
        }
    }

    async fn answers(&self, host: &str, path: &str) -> anyhow::Result<u16> {
        let proxy = reqwest::Proxy::http(format!("http://{}", self.pair.outbound()))?;
        let client = reqwest::Client::builder().proxy(proxy).redirect(reqwest::redirect::Policy::none()).timeout(ANSWERED).build()?;
        Ok(client.get(format!("http://{host}:{}{path}", pair::HTTP)).send().await?.status().as_u16())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_envoy_refuses_stays_as_it_was_and_everything_else_moves_on() -> anyhow::Result<()> {
    let network = support::network();
    let (_folder, environment) = support::environment()?;
    let pair = Pair::start(environment, network, &pair::documents(network, "", &other_service())).await?;
    let admin = format!("http://{}", pair.control_plane.admin());
    let mesh = Mesh { pair, admin };
    mesh.save(&redirect("other", OTHER_HOST, "/old", "/new"))?;
    let receipt = mesh.wait(OTHER).await?;
    assert_eq!(mesh.answers(OTHER_HOST, "/old").await?, 301, "{receipt}");

    // Both in one file, at once, and made into one resource: only one of them is to blame.
    let bad = redirect("other", OTHER_HOST, TOO_LARGE, "/new");
    mesh.save(&format!("{bad}{}", redirect("server", HOST, "/old", "/new")))?;
    let receipt = mesh.stands(SERVER, "enforced").await?;
    assert_eq!(mesh.answers(HOST, "/old").await?, 301, "{receipt}");
    let receipt = mesh.stands(OTHER, "refused").await?;
    assert_eq!((&receipt["enforced"], &receipt["waiting"][0]["node"]), (&json!(0), &json!("sidecar~test/client")), "{receipt}");
    assert!(
        receipt["waiting"][0]["reason"].as_str().is_some_and(|why| why.contains("RDS outbound") && why.contains("repetition")),
        "{receipt}"
    );
    assert_eq!(mesh.answers(OTHER_HOST, "/old").await?, 301, "its last good version");

    // What is edited afterwards is not held up.
    mesh.save(&format!("{bad}{}", redirect("server", HOST, "/older", "/new")))?;
    let receipt = mesh.wait(SERVER).await?;
    assert_eq!(mesh.answers(HOST, "/older").await?, 301, "{receipt}");
    assert_eq!((mesh.answers(HOST, "/old").await?, mesh.answers(OTHER_HOST, "/old").await?), (200, 301));
    let status: Value = reqwest::get(format!("{}/v1/status", mesh.admin)).await?.json().await?;
    let client = status["proxies"].as_array().and_then(|all| all.iter().find(|proxy| proxy["node"] == "sidecar~test/client"));
    let client = client.context("the client's proxy")?;
    assert_eq!((&client["refused"][0]["document"], &client["in_sync"]), (&json!("VirtualService test/other"), &json!(false)), "{client}");

    // Mended, it is in force, and nothing is refused any more.
    mesh.save(&redirect("other", OTHER_HOST, "/a{2}", "/new"))?;
    let receipt = mesh.stands(OTHER, "enforced").await?;
    assert_eq!(mesh.answers(OTHER_HOST, "/aa").await?, 301, "{receipt}");
    mesh.pair.stop().await
}
