//! What tests of outages share: traffic that keeps account of every answer while things break, and the mesh that it goes through.

mod clock;
mod cutter;
mod small_disk;
mod traffic;

use std::path::Path;
use std::time::Duration;

use meshwright_demo::bookshop::Network;
use meshwright_demo::launcher::Environment;

pub use clock::Clock;
pub use cutter::Cutter;
pub use small_disk::SmallDisk;
pub use traffic::{Account, Traffic};

use crate::{file, pair};

/// How long everything may take to be in force once nothing breaks any more.
pub const CONVERGED: Duration = Duration::from_secs(60);

/// The mesh of two with the policy of one turn: the client may GET `/always` and `/turn/{turn}`, and nothing else.
#[must_use]
pub fn documents(network: Network, turn: u32) -> String {
    let policy = format!(
        "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: turn, namespace: test}}
spec:
  selector: {{matchLabels: {{app: server}}}}
  action: ALLOW
  rules:
  - from: [{{source: {{principals: [test.local/ns/test/sa/client]}}}}]
    to: [{{operation: {{methods: [GET], paths: [/always, /turn/{turn}]}}}}]
"
    );
    pair::documents(network, "", &policy)
}

/// Puts the policy of `turn` into force as a careful operator does.
///
/// # Errors
/// When the file cannot be written.
pub fn save(environment: &Environment, network: Network, turn: u32) -> anyhow::Result<()> {
    save_in(&environment.config_dir(), network, turn)
}

/// As [`save`], into `folder`.
///
/// # Errors
/// When the file cannot be written.
pub fn save_in(folder: &Path, network: Network, turn: u32) -> anyhow::Result<()> {
    file::put(folder, "mesh.yaml", &documents(network, turn))
}
