//! Proxies that are told only of what they may call: a real Envoy takes each change of that, and a name of the mesh is never taken for one
//! outside it.

use std::path::Path;

use meshwright_e2e::pair::{self, HOST, Pair};
use meshwright_e2e::smallest_mesh;
use meshwright_test_support as support;
use serde_json::Value;

const SCOPED: &str = "  proxyScope: {mode: ALLOWED}\n";

fn documents(network: meshwright_demo::bookshop::Network, account: &str, more: &str) -> String {
    let policy = format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: strict, namespace: test}}\nspec: {{mtls: {{mode: STRICT}}}}\n---\n\
         apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: callers, namespace: test}}\nspec: {{selector: {{matchLabels: {{app: server}}}}, \
         rules: [{{from: [{{source: {{principals: [test.local/ns/test/sa/{account}]}}}}]}}]}}\n"
    );
    pair::documents(network, SCOPED, &format!("{policy}{more}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_comes_and_goes_with_the_policy() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let mesh = Pair::start(environment, network, &documents(network, "client", "")).await?;
    let admin = format!("http://{}", mesh.control_plane.admin());
    let told = async || -> anyhow::Result<(u64, u64, String)> {
        let shown = mesh.environment.command(&["status", "--scope", "--output", "json", "--admin", &admin]).await?;
        let status: Value = serde_json::from_str(&shown)?;
        let client = status["scope"].as_array().into_iter().flatten().find(|proxy| proxy["node"] == "sidecar~test/client").cloned();
        let text = mesh.environment.command(&["status", "--scope", "--admin", &admin]).await?;
        let number = |field: &str| client.as_ref().and_then(|proxy| proxy[field].as_u64()).unwrap_or_default();
        Ok((number("bytes"), number("unscoped_bytes"), text))
    };
    let call = async || mesh.calls()?.get(&format!("http://{HOST}/")).await;
    assert_eq!(call().await?.status(), Some(200));
    let (bytes, all, _) = told().await?;
    assert_eq!(bytes, all, "it may call all that there is");

    let requests = std::fs::read_to_string(mesh.server_log())?.lines().count();
    mesh.edit(&documents(network, "somebody", "")).await?;
    assert_eq!(call().await?.status(), Some(403), "as the server would answer, and not what DNS says");
    assert_eq!(pair::line(mesh.tcp(), "hello").await?, None, "there is no way to its TCP port");
    assert_eq!(std::fs::read_to_string(mesh.server_log())?.lines().count(), requests, "the server was not bothered");
    let (bytes, all, text) = told().await?;
    assert!(bytes < all, "{bytes} of {all}");
    assert!(text.lines().any(|line| line.starts_with("sidecar~test/client: ") && line.ends_with("% saved")), "{text}");

    mesh.edit(&documents(network, "client", "")).await?;
    assert_eq!(call().await?.status(), Some(200));
    let sidecar = "---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: all, namespace: test}\nspec: {egress: [{hosts: ['~/*']}]}\n";
    mesh.edit(&documents(network, "client", sidecar)).await?;
    assert_eq!(call().await?.status(), Some(502), "not imported is not known");
    mesh.edit(&documents(network, "client", &sidecar.replace("~/*", "./*"))).await?;
    assert_eq!(call().await?.status(), Some(200));
    mesh.stop().await
}

#[tokio::test]
async fn the_documented_documents_are_valid() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/scoping.md"))?;
    let shown: Vec<&str> = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(shown.len(), 2);
    let rest = smallest_mesh("bookshop.local", "127.0.0.1", 8080);
    let (_, rest) = rest.split_once("---\n").unwrap_or_default();
    meshwright_e2e::configure(&environment, &format!("{}---\n{rest}", shown.join("---\n")))?;
    environment.command(&["check", &environment.config_dir().to_string_lossy()]).await?;
    Ok(())
}
