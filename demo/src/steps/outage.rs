use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::bookshop::Bookshop;
use crate::client::Client;
use crate::launcher::ControlPlane;
use crate::report::{Report, Row};

use super::CATALOG;

const PACE: Duration = Duration::from_millis(20);
/// A bound on the background calls, should the outage last.
const MOST_CALLS: u32 = 3000;
const RECONNECTED: Duration = Duration::from_secs(40);

/// The control plane is killed under traffic and comes back.
pub(super) async fn run(mesh: &mut Bookshop, report: &mut Report) -> anyhow::Result<()> {
    let books = format!("{CATALOG}/books");
    let load = Load::start(mesh.client("frontend")?, books.clone());
    mesh.control_plane.process().kill().await?;

    let allowed = mesh.client("frontend")?.get(&books).await?;
    report.add(Row::same("control plane killed: frontend may still read books", "200", &allowed.summary()));
    let denied = mesh.client("payments")?.get(&books).await?;
    report.add(Row::same("control plane killed: payments still may not", "403 RBAC: access denied", &denied.summary()));

    mesh.control_plane = ControlPlane::start(&mesh.environment, Bookshop::control_plane_spec(mesh.network)).await?;
    let expected = mesh.workloads.len();
    let answer = mesh.control_plane.connected(expected, RECONNECTED).await?;
    let (sent, failed) = load.stop().await;
    let actual = format!("{} of {expected} proxies, {failed} of {sent} calls failed", answer["proxies"]);
    let ok = failed == 0 && sent > 0 && answer["proxies"] == expected;
    report.add(Row::checked("control plane back: proxies reconnect, no call dropped", "all proxies, 0 calls failed", actual, ok));
    Ok(())
}

/// Calls at a steady pace in the background until stopped.
struct Load {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicU32>,
    calls: tokio::task::JoinHandle<u32>,
}

impl Load {
    fn start(client: Client, url: String) -> Self {
        let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (ended, failures) = (Arc::clone(&stop), Arc::clone(&failed));
        let calls = tokio::spawn(async move {
            let mut pace = tokio::time::interval(PACE);
            let mut sent = 0;
            while sent < MOST_CALLS && !ended.load(Ordering::Relaxed) {
                pace.tick().await;
                sent += 1;
                if !matches!(client.get(&url).await, Ok(answer) if answer.status() == Some(200)) {
                    failures.fetch_add(1, Ordering::Relaxed);
                }
            }
            sent
        });
        Self { stop, failed, calls }
    }

    async fn stop(self) -> (u32, u32) {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.calls.await.unwrap_or(0);
        (sent, self.failed.load(Ordering::Relaxed))
    }
}
