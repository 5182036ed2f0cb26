use std::time::{Duration, Instant};

use crate::bookshop::Bookshop;
use crate::report::{Report, Row};

use super::CATALOG;

const ENFORCED: Duration = Duration::from_secs(10);
/// What the edit adds to the policies, and what a slip of the pen makes of it.
const CLOSED: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: stocktaking
  namespace: bookshop
spec:
  selector:
    matchLabels:
      app: catalog
  action: DENY
  rules:
  - to:
    - operation:
        paths: [\"/books*\"]
";

/// A policy edited live, then broken, then taken back.
pub(super) async fn run(mesh: &Bookshop, report: &mut Report) -> anyhow::Result<()> {
    let frontend = mesh.client("frontend")?;
    let books = format!("{CATALOG}/books");

    let saved = Instant::now();
    mesh.apply("stocktaking.yaml", CLOSED, ENFORCED).await?;
    let took = saved.elapsed();
    let answer = frontend.get(&books).await?;
    let proxies = mesh.workloads.len();
    let actual = format!("{}, {} ms on {proxies} of {proxies} proxies", answer.summary(), took.as_millis());
    let ok = answer.status() == Some(403);
    report.add(Row::checked(
        "edit: a DENY policy saved to a file, enforced on all proxies",
        "403, time from save to enforcement",
        actual,
        ok,
    ));

    mesh.write("stocktaking.yaml", &CLOSED.replace("action: DENY", "action: DENIED"))?;
    let quarantined = quarantine(mesh).await?;
    let answer = frontend.get(&books).await?;
    let actual = format!("{}; {quarantined}", answer.summary());
    let ok = answer.status() == Some(403) && quarantined.contains("spec.action") && quarantined.contains("stocktaking.yaml");
    report.add(Row::checked("broken edit: refused, the old policy decides", "403; the error names file and field", actual, ok));

    let revision = mesh.control_plane.revision().await?;
    std::fs::remove_file(mesh.environment.config_dir().join("stocktaking.yaml"))?;
    mesh.control_plane.enforced(revision.saturating_add(1), ENFORCED).await?;
    report.add(Row::same("file removed: frontend may read books again", "200", &frontend.get(&books).await?.summary()));
    Ok(())
}

/// The first quarantined document's error, once there is one.
async fn quarantine(mesh: &Bookshop) -> anyhow::Result<String> {
    let revision = mesh.control_plane.revision().await?;
    let found = |status: &serde_json::Value| status["quarantined"][0]["error"].as_str().map(str::to_owned);
    let mut status = mesh.control_plane.status().await?;
    if found(&status).is_none() {
        mesh.control_plane.enforced(revision.saturating_add(1), ENFORCED).await?;
        status = mesh.control_plane.status().await?;
    }
    Ok(found(&status).unwrap_or_else(|| "nothing is quarantined".to_owned()))
}
