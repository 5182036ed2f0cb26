//! `meshwright replay` on what real proxies have logged: every line is a record, the policies in force decide them as they were decided, and
//! others flip what they say.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use meshwright_e2e::pair::{self, HOST, Pair};
use meshwright_test_support as support;
use serde_json::{Value, json};

const LOGGED: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// The client may read this path, and connect to the TCP port.
fn policy(path: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: reads, namespace: test}}\nspec:\n  selector: {{matchLabels: {{app: server}}}}\n  \
         rules:\n  - from: [{{source: {{principals: [test.local/ns/test/sa/client]}}}}]\n    to: [{{operation: {{paths: [{path}]}}}}]\n  \
         - to: [{{operation: {{ports: ['9000']}}}}]\n"
    )
}

/// Waits until a log has so many lines.
async fn logged(log: &Path, lines: usize) -> anyhow::Result<()> {
    let waiting = async {
        while std::fs::read_to_string(log).unwrap_or_default().lines().count() < lines {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(LOGGED, waiting).await.with_context(|| format!("{} has not {lines} lines", log.display()))
}

fn replay(log: &Path, candidate: &Path, current: &Path) -> anyhow::Result<(Option<i32>, Value)> {
    let mut command = Command::new(support::binary()?);
    command.args(["replay", "--output", "json", "--log"]).arg(log).arg("--policy").arg(candidate).arg("--against").arg(current);
    let output = command.output()?;
    let json = serde_json::from_slice(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok((output.status.code(), json))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_proxies_log_can_be_replayed() -> anyhow::Result<()> {
    let (folder, environment) = support::environment()?;
    let network = support::network();
    let mesh = Pair::start(environment, network, &pair::documents(network, "", &policy("/a"))).await?;
    let client = mesh.calls()?;
    for (path, status) in [("/a?x", 200), ("/b", 403)] {
        assert_eq!(client.get(&format!("http://{HOST}{path}")).await?.status(), Some(status));
    }
    assert_eq!(pair::line(mesh.tcp(), "hello").await?.as_deref(), Some("server: hello"));
    logged(&mesh.server_log(), 3).await?;
    let current = mesh.environment.config_dir();
    let (code, same) = replay(&mesh.server_log(), &current, &current)?;
    let found = |json: &Value| ["records", "flipped", "unchanged", "undecided"].map(|field| json[field].as_u64());
    assert_eq!((found(&same), &same["badLines"]["count"]), ([Some(3), Some(0), Some(3), Some(0)], &json!(0)), "{same}");
    assert_eq!((code, &same["drifted"]["count"]), (Some(0), &json!(0)), "{same}");

    let candidate = folder.path().join("candidate");
    std::fs::create_dir(&candidate)?;
    std::fs::write(candidate.join("mesh.yaml"), pair::documents(network, "", &policy("/b")))?;
    let (code, other) = replay(&mesh.server_log(), &candidate, &current)?;
    assert_eq!((code, found(&other)), (Some(3), [Some(3), Some(2), Some(1), Some(0)]), "{other}");

    // The caller's side decides nothing.
    let callers = mesh.client.access_log();
    logged(&callers, 3).await?;
    let (code, skipped) = replay(&callers, &candidate, &current)?;
    assert_eq!((code, &skipped["skipped"]["outbound"], &skipped["badLines"]["count"]), (Some(0), &json!(3), &json!(0)), "{skipped}");
    mesh.stop().await
}
