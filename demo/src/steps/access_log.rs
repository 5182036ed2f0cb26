use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::bookshop::Bookshop;
use crate::report::{Report, Row};

use super::FRONTEND;

const WRITTEN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// One request that goes through two workloads leaves a record at each, with one trace id.
pub(super) async fn run(mesh: &Bookshop, report: &mut Report) -> anyhow::Result<()> {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traceparent = format!("00-{trace}-00f067aa0ba902b7-01");
    let token = format!("Bearer {}", mesh.issuer.token("ada", &["customer"], 3600)?);
    let headers = [("traceparent", traceparent.as_str()), ("authorization", token.as_str())];
    let gateway = mesh.client("gateway")?;
    let url = format!("{FRONTEND}/?call=http://catalog.bookshop.mesh/books&call=http://catalog.bookshop.mesh/admin");
    gateway.send("GET", &url, &headers).await?;

    let frontend = record(mesh, "frontend", &[("trace_id", trace), ("direction", "inbound")]).await?;
    report.add(Row::same("access log: the call at frontend", "GET / 200 ALLOW from gateway", &words(&frontend)));
    let mut denied = None;
    for catalog in ["catalog-v1", "catalog-v2"] {
        let found = find(mesh, catalog, &[("trace_id", trace), ("path", "/admin"), ("direction", "inbound")])?;
        denied = denied.or(found);
    }
    let denied = match denied {
        Some(record) => words(&record),
        None => "no record with the same trace id".to_owned(),
    };
    report.add(Row::same("access log: what it called, found by the same trace id", "GET /admin 403 DENY from frontend", &denied));
    Ok(())
}

fn words(record: &Value) -> String {
    let text = |key: &str| record[key].as_str().unwrap_or("?").to_owned();
    let path = text("path");
    let path = path.split('?').next().unwrap_or_default();
    let principal = text("source_principal");
    let caller = principal.rsplit('/').next().unwrap_or_default();
    format!("{} {path} {} {} from {caller}", text("method"), record["status"], text("verdict"))
}

/// The record in `workload`'s access log with these fields, once it is written.
async fn record(mesh: &Bookshop, workload: &str, fields: &[(&str, &str)]) -> anyhow::Result<Value> {
    let waiting = async {
        loop {
            if let Some(record) = find(mesh, workload, fields)? {
                return anyhow::Ok(record);
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(WRITTEN, waiting).await.with_context(|| format!("{workload} wrote no record with {fields:?}"))?
}

fn find(mesh: &Bookshop, workload: &str, fields: &[(&str, &str)]) -> anyhow::Result<Option<Value>> {
    let log = mesh.workloads.get(workload).with_context(|| format!("no workload {workload}"))?.access_log();
    Ok(records(&log)?.into_iter().find(|record| fields.iter().all(|(key, value)| record[*key] == *value)))
}

/// Every whole record of an access log; a line that is still being written is left for the next read.
fn records(log: &Path) -> anyhow::Result<Vec<Value>> {
    let text = match std::fs::read_to_string(log) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))).collect()
}
