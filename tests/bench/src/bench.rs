//! What every case needs: the Envoy, the module, a folder, and how long to measure.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use meshwright_test_support as support;
use serde_json::Value;
use tempfile::TempDir;

use crate::bootstrap::Content;
use crate::envoy::Envoy;
use crate::filters::{self, Filter};
use crate::rounds::Contender;

/// Kept-alive connections of the load.
pub(crate) const CONNECTIONS: usize = 16;

#[derive(Debug)]
pub(crate) struct Bench {
    binary: PathBuf,
    module: PathBuf,
    folder: TempDir,
    envoys: AtomicUsize,
    quick: bool,
    /// Whether this Envoy has the event at which a sidecar's listener notes the peer of a connection (1.37).
    is_told_handshakes: bool,
}

impl Bench {
    /// # Errors
    /// When Envoy or the module is missing, or no folder can be made.
    pub(crate) fn new(quick: bool) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("mw-bench-").tempdir()?;
        let binary = support::envoy()?;
        let is_told_handshakes = !crate::envoy::version(&binary)?.starts_with("1.36.");
        Ok(Self { binary, module: support::module()?, folder, envoys: AtomicUsize::new(0), quick, is_told_handshakes })
    }

    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    pub(crate) fn module(&self) -> &Path {
        &self.module
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Many short ones: what else the machine does touches one round, seldom both sides of it alike. Odd, so that one is in the middle.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 3 } else { 15 }
    }

    pub(crate) fn warm_up(&self) -> Duration {
        self.shortened(Duration::from_secs(1))
    }

    /// One of the times that a full run takes.
    pub(crate) fn shortened(&self, time: Duration) -> Duration {
        if self.quick { time / 5 } else { time }
    }

    /// One of the numbers that a full run takes.
    pub(crate) fn fewer(&self, count: usize) -> usize {
        if self.quick { count / 5 } else { count }
    }

    pub(crate) async fn start(&self, name: &'static str, content: &Content) -> anyhow::Result<Contender> {
        eprintln!("bench: starting Envoy: {name}");
        let home = self.folder.path().join(self.envoys.fetch_add(1, Ordering::Relaxed).to_string());
        Ok(Contender { name, envoy: Envoy::start(&self.binary, name, content, &home).await? })
    }

    pub(crate) async fn start_filters(&self, name: &'static str, filters: &[Filter]) -> anyhow::Result<Contender> {
        let filters = filters.iter().map(Filter::in_listener).collect();
        self.start(name, &Content { filters, ..Content::default() }).await
    }

    /// Our filters, as a sidecar has them.
    pub(crate) async fn start_ours(&self, config: &Value) -> anyhow::Result<Contender> {
        self.start("meshwright", &self.ours(&self.module, vec![filters::authz(&self.module, config).in_listener()])).await
    }

    /// A module in place of ours, with all that a sidecar has around it.
    pub(crate) async fn start_module(&self, name: &'static str, module: &[u8]) -> anyhow::Result<Contender> {
        let file = self.folder().join(format!("{name}.wasm"));
        std::fs::write(&file, module)?;
        self.start(name, &self.ours(&file, vec![filters::authz(&file, &Value::Null).in_listener()])).await
    }

    /// What a sidecar has before the policy filter, and it; and the log, which is not asked.
    pub(crate) fn ours(&self, module: &Path, policy: Vec<Value>) -> Content {
        let (network_filters, before) = if self.is_told_handshakes {
            (vec![filters::peer_of_connection()], Vec::new())
        } else {
            (Vec::new(), vec![filters::peer_of_request().in_listener()])
        };
        Content {
            network_filters,
            filters: before.into_iter().chain(policy).collect(),
            access_log: vec![filters::silent_access_log(module)],
        }
    }
}
