//! `meshwright wait` and `meshwright status DOCUMENT` tell the truth: what they call enforced decides the next request, and a proxy that has
//! not taken a change is named.

use anyhow::Context as _;
use meshwright_e2e::file;
use meshwright_e2e::pair::{self, HOST, Pair};
use meshwright_test_support as support;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const POLICY: &str = "AuthorizationPolicy/test/tried";

fn policy(action: &str, app: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: tried, namespace: test}}\n\
         spec: {{selector: {{matchLabels: {{app: {app}}}}}, action: {action}, rules: [{{}}]}}\n"
    )
}

struct Mesh {
    pair: Pair,
    admin: String,
}

impl Mesh {
    /// Saves a file of its own, as an editor does.
    fn save(&self, text: &str) -> anyhow::Result<()> {
        file::put(&self.pair.environment.config_dir(), "policy.yaml", text)
    }

    /// Exit code, answer, and what went to standard error.
    async fn run(&self, arguments: &[&str]) -> anyhow::Result<(Option<i32>, Value, String)> {
        let mut command = tokio::process::Command::new(&self.pair.environment.binary);
        command.args(arguments).args(["--admin", &self.admin, "--output", "json"]);
        let output = command.output().await?;
        let answer = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Ok((output.status.code(), answer, String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    async fn wait(&self, document: &str, goal: &str, timeout: &str) -> anyhow::Result<(Option<i32>, Value, String)> {
        self.run(&["wait", document, "--for", goal, "--timeout", timeout]).await
    }

    async fn answers(&self) -> anyhow::Result<Option<u16>> {
        Ok(self.pair.calls()?.get(&format!("http://{HOST}/")).await?.status())
    }
}

/// The Envoy that a sidecar has started.
fn envoy_of(sidecar: u32) -> anyhow::Result<Pid> {
    for task in std::fs::read_dir(format!("/proc/{sidecar}/task"))? {
        for child in std::fs::read_to_string(task?.path().join("children"))?.split_whitespace() {
            if std::fs::read_to_string(format!("/proc/{child}/comm"))?.trim().starts_with("envoy") {
                return Ok(Pid::from_raw(child.parse()?));
            }
        }
    }
    anyhow::bail!("the sidecar runs no Envoy")
}

async fn start(network: meshwright_demo::bookshop::Network) -> anyhow::Result<(tempfile::TempDir, Mesh)> {
    let (folder, environment) = support::environment()?;
    let pair = Pair::start(environment, network, &pair::documents(network, "", "")).await?;
    let admin = format!("http://{}", pair.control_plane.admin());
    Ok((folder, Mesh { pair, admin }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_called_enforced_decides_the_next_request() -> anyhow::Result<()> {
    let network = support::network();
    let (_folder, mesh) = start(network).await?;
    for (what, text, status) in [
        ("a new policy", policy("DENY", "server"), 403),
        ("an edit", policy("AUDIT", "server"), 200),
        ("back", policy("DENY", "server"), 403),
        // Only the server is concerned: it must have lost it. The client serves nothing for which it could decide.
        ("an edit that takes it away", policy("DENY", "client"), 200),
        ("and back", policy("DENY", "server"), 403),
    ] {
        mesh.save(&text)?;
        let (code, receipt, errors) = mesh.wait(POLICY, "enforced", "20s").await?;
        // At once, without waiting for anything else.
        assert_eq!(mesh.answers().await?, Some(status), "{what}: {receipt}");
        assert_eq!(code, Some(0), "{what}: {receipt} {errors}");
        assert_eq!((&receipt["state"], &receipt["enforced"], &receipt["proxies"]), (&json!("enforced"), &json!(1), &json!(1)), "{what}");
        assert_eq!(receipt["measured"], json!(1), "{what}: {receipt}");
        assert!(receipt["p99_ms"].as_f64().is_some_and(|ms| ms > 0.0 && ms < 20_000.0), "{what}: {receipt}");
    }
    let (code, mesh_document, _) = mesh.run(&["status", "Mesh/default/mesh"]).await?;
    assert_eq!((code, &mesh_document["proxies"]), (Some(0), &json!(2)), "everything depends on the Mesh");
    let (_, entry, _) = mesh.run(&["status", "WorkloadEntry/test/server"]).await?;
    assert_eq!(entry["proxies"], json!(2), "its own proxy and its caller: {entry}");

    std::fs::remove_file(mesh.pair.environment.config_dir().join("policy.yaml"))?;
    let (code, receipt, errors) = mesh.wait(POLICY, "removed", "20s").await?;
    assert_eq!(mesh.answers().await?, Some(200), "{receipt}");
    assert_eq!((code, &receipt["state"], &receipt["version"]), (Some(0), &json!("removed"), &Value::Null), "{errors}");
    let (code, _, errors) = mesh.wait(POLICY, "enforced", "1s").await?;
    assert!(code == Some(1) && errors.contains("is not in the directory"), "{errors}");
    let (code, _, errors) = mesh.wait("AuthorizationPolicy/test/unheard", "enforced", "20s").await?;
    assert!(code == Some(1) && errors.contains("has no AuthorizationPolicy test/unheard"), "{errors}");

    let metrics = reqwest::get(format!("{}/metrics", mesh.admin)).await?.text().await?;
    assert!(metrics.contains("# UNIT meshwright_convergence_seconds seconds"), "{metrics}");
    let count = metrics.lines().find_map(|line| line.strip_prefix("meshwright_convergence_seconds_count ")?.parse::<u64>().ok());
    assert_eq!(count, Some(6), "five edits and the removal, of one proxy each\n{metrics}");
    mesh.pair.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_does_not_answer_is_named() -> anyhow::Result<()> {
    let network = support::network();
    let (_folder, mut mesh) = start(network).await?;
    mesh.save(&policy("AUDIT", "server"))?;
    assert_eq!(mesh.wait(POLICY, "enforced", "20s").await?.0, Some(0));
    let envoy = envoy_of(mesh.pair.server.process().id().context("the server has ended")?)?;
    kill(envoy, Signal::SIGSTOP)?;
    mesh.save(&policy("DENY", "server"))?;
    let (code, receipt, _) = mesh.wait(POLICY, "enforced", "1s").await?;
    assert_eq!((code, &receipt["state"], &receipt["enforced"], &receipt["proxies"]), (Some(4), &json!("pending"), &json!(0), &json!(1)));
    assert_eq!(receipt["waiting"][0]["node"], json!("sidecar~test/server"), "{receipt}");
    assert_eq!(receipt["waiting"][0]["resources"], json!(["ECDS meshwright.authz/http", "ECDS meshwright.authz/tcp"]), "{receipt}");
    // Other documents are not held up by it.
    mesh.save(&format!("{}---\n{}", policy("DENY", "server"), policy("DENY", "client").replace("tried", "other")))?;
    assert_eq!(mesh.wait("AuthorizationPolicy/test/other", "enforced", "20s").await?.0, Some(0));
    assert_eq!(mesh.run(&["status", POLICY]).await?.0, Some(4));
    kill(envoy, Signal::SIGCONT)?;
    let (code, receipt, _) = mesh.wait(POLICY, "enforced", "20s").await?;
    assert_eq!(mesh.answers().await?, Some(403), "{receipt}");
    assert_eq!(code, Some(0), "{receipt}");
    assert!(receipt["max_ms"].as_f64().is_some_and(|ms| ms >= 1_000.0), "it was stopped for longer than a second: {receipt}");
    mesh.pair.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_in_force_is_never_called_enforced() -> anyhow::Result<()> {
    let network = support::network();
    let (_folder, mesh) = start(network).await?;
    mesh.save(&policy("DENY", "server"))?;
    let (_, good, _) = mesh.wait(POLICY, "enforced", "20s").await?;
    mesh.save(&policy("DENIED", "server"))?;
    let (code, receipt, _) = mesh.wait(POLICY, "enforced", "20s").await?;
    assert_eq!((code, &receipt["state"]), (Some(5), &json!("quarantined")), "{receipt}");
    assert!(receipt["error"].as_str().is_some_and(|error| error.contains("spec.action")), "{receipt}");
    assert_eq!(
        (&receipt["version"], receipt["found_version"] == good["version"]),
        (&good["version"], false),
        "the last good version decides"
    );
    assert_eq!(mesh.answers().await?, Some(403));
    mesh.pair.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_envoy_refuses_is_told_in_its_words_and_stops_nothing_else() -> anyhow::Result<()> {
    let network = support::network();
    let (_folder, mesh) = start(network).await?;
    // Only the proxy can know that the file is not there.
    let rule = |mode: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: tried, namespace: test}}\n\
             spec: {{host: {HOST}, trafficPolicy: {{tls: {{{mode}}}}}}}\n"
        )
    };
    mesh.save(&rule("mode: SIMPLE, caCertificates: /nowhere/roots.pem"))?;
    let (code, receipt, _) = mesh.wait("DestinationRule/test/tried", "enforced", "20s").await?;
    assert_eq!((code, &receipt["state"]), (Some(5), &json!("refused")), "{receipt}");
    let waiting = receipt["waiting"].as_array().into_iter().flatten().find(|proxy| proxy["node"] == "sidecar~test/client");
    let client = waiting.with_context(|| format!("the caller refuses it: {receipt}"))?;
    assert!(client["reason"].as_str().is_some_and(|reason| reason.contains("/nowhere/roots.pem")), "{receipt}");
    assert_eq!((&client["refused"], mesh.answers().await?), (&json!(true), Some(200)), "the cluster from before stays");

    mesh.save(&format!("{}---\n{}", rule("mode: SIMPLE, caCertificates: /nowhere/roots.pem"), policy("DENY", "server")))?;
    assert_eq!(mesh.wait(POLICY, "enforced", "20s").await?.0, Some(0));
    assert_eq!(mesh.answers().await?, Some(403), "another document is not held up");
    mesh.save(&rule("mode: ISTIO_MUTUAL"))?;
    let (code, receipt, _) = mesh.wait("DestinationRule/test/tried", "enforced", "20s").await?;
    assert_eq!((code, mesh.answers().await?), (Some(0), Some(200)), "{receipt}");
    mesh.pair.stop().await
}
