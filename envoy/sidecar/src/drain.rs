use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::admin::Admin;

const POLL: Duration = Duration::from_millis(50);
/// Envoy tells a peer to go with the response to its next request; a peer that sends none keeps its connection, idle. After this long
/// without a request, what is left is idle.
const QUIET: Duration = Duration::from_millis(500);
/// Requests over HTTP and connections over TCP. A pattern in RE2, which Envoy matches anywhere in the name.
const ACTIVE: &str = "/stats?format=json&filter=%5E(http%5C..*downstream_rq_active%7Ctcp%5C..*downstream_cx_active)$";
/// Listeners of the app's own calls, and this interface itself: they end with the app.
const NOT_COUNTED: &[&str] = &["http.admin.", "http.outbound", "tcp.outbound"];

/// `GET /stats?format=json`.
#[derive(Debug, Deserialize)]
struct Stats {
    stats: Vec<Stat>,
}

#[derive(Debug, Deserialize)]
struct Stat {
    name: Option<String>,
    #[serde(default)]
    value: u64,
}

impl Stats {
    fn active(&self) -> u64 {
        let counted = |name: &str| !NOT_COUNTED.iter().any(|prefix| name.starts_with(prefix));
        self.stats.iter().filter(|stat| stat.name.as_deref().is_some_and(counted)).map(|stat| stat.value).sum()
    }
}

/// Tells load balancers and peers to go elsewhere, and waits until no request of theirs is running, at most `timeout`.
pub(crate) async fn drain(admin: &Admin, timeout: Duration) {
    for step in ["/healthcheck/fail", "/drain_listeners?graceful&inboundonly"] {
        if let Err(error) = admin.post(step).await {
            tracing::warn!(error = %format!("{error:#}"), "the proxy is not drained");
            return;
        }
    }
    match tokio::time::timeout(timeout, quiet(admin)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = %format!("{error:#}"), "the drain cannot be followed"),
        Err(_) => tracing::warn!("requests still running after {timeout:?} are cut off"),
    }
}

async fn quiet(admin: &Admin) -> anyhow::Result<()> {
    let mut since: Option<Instant> = None;
    loop {
        let active = admin.json::<Stats>(ACTIVE).await?.active();
        since = if active == 0 { since.or_else(|| Some(Instant::now())) } else { None };
        if since.is_some_and(|since| since.elapsed() >= QUIET) {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_others_wait_for_counts() {
        let stats: Stats = serde_json::from_value(json!({"stats": [
            {"name": "http.admin.downstream_rq_active", "value": 1},
            {"name": "http.outbound.downstream_rq_active", "value": 2},
            {"name": "tcp.outbound|9000||ledger.mesh.downstream_cx_active", "value": 4},
            {"name": "http.inbound|8080.downstream_rq_active", "value": 8},
            {"name": "tcp.inbound|9000.downstream_cx_active", "value": 16},
            {"name": "http.gateway|8443.downstream_rq_active", "value": 32},
            {"histograms": {}},
        ]}))
        .unwrap();
        assert_eq!(stats.active(), 8 + 16 + 32);
    }
}
