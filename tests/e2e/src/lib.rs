//! End-to-end tests: whole meshes of real processes and the real Envoy. The tests are in `tests/`; here is what they share.

pub mod asking;
pub mod authorizer;
pub mod cases;
pub mod certificates;
pub mod chaos;
pub mod edge;
pub mod file;
pub mod key_search;
pub mod load;
pub mod pair;
pub mod secrets;
pub mod spiffe_app;
pub mod stats;
pub mod tls_admin;

use std::path::Path;
use std::time::Duration;

use meshwright_demo::launcher::{ControlPlane, ControlPlaneSpec, Environment, Process};

/// How long a process that cannot start may take to say so.
pub const REFUSED: Duration = Duration::from_secs(30);

/// The smallest mesh: a trust domain and one workload, `test/one`, at `address:port`.
#[must_use]
pub fn smallest_mesh(trust_domain: &str, address: &str, port: u16) -> String {
    format!(
        "apiVersion: meshwright.dev/v1alpha1
kind: Mesh
metadata:
  name: mesh
spec:
  trustDomain: {trust_domain}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: one
  namespace: test
spec:
  hosts: [one.test.mesh]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - number: {port}
    name: http
    protocol: HTTP
  workloadSelector:
    labels:
      app: one
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: one
  namespace: test
spec:
  address: {address}
  ports:
    http: {port}
  serviceAccount: one
  labels:
    app: one
"
    )
}

/// Writes `text` as the only configuration file.
///
/// # Errors
/// When the file cannot be written.
pub fn configure(environment: &Environment, text: &str) -> anyhow::Result<()> {
    file::put(&environment.config_dir(), "mesh.yaml", text)
}

/// Any free ports of the loopback address.
#[must_use]
pub fn any_ports() -> ControlPlaneSpec {
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    ControlPlaneSpec { xds: any, admin: any, certificate_ttl: None, bundle_endpoint: None }
}

/// Starts a control plane that must not come up, and returns the one line in which it says why.
///
/// # Errors
/// When it comes up, or ends without an error line.
pub async fn refused_control_plane(environment: &Environment, spec: ControlPlaneSpec) -> anyhow::Result<String> {
    refusal(ControlPlane::spawn(environment, spec).await?).await
}

/// Waits for a process to end unsuccessfully, and returns its `error:` line.
///
/// # Errors
/// When it succeeds, goes on, or ends without an error line.
pub async fn refusal(mut process: Process) -> anyhow::Result<String> {
    let line = process.line_with("error: ", REFUSED).await?;
    let status = process.wait(REFUSED).await?;
    anyhow::ensure!(!status.success(), "it ended with success after `{line}`");
    Ok(line)
}

/// Whether some file below `folder` contains `needle`: for secrets, which must be nowhere.
///
/// # Errors
/// When a file cannot be read.
pub fn contained_below(folder: &Path, needle: &str) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(&next)? {
            let path = entry?.path();
            let kind = std::fs::symlink_metadata(&path)?.file_type();
            if kind.is_dir() {
                todo.push(path);
            } else if kind.is_file() && String::from_utf8_lossy(&std::fs::read(&path)?).contains(needle) {
                found.push(path.display().to_string());
            }
        }
    }
    Ok(found)
}
