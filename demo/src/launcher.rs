//! Starts a mesh on one machine as an operator would: the control plane, a sidecar beside each app, the apps; all as processes of the
//! `meshwright` binary, on loopback addresses. It waits for what the processes say, never for time to pass.

mod control_plane;
mod process;
mod workload;

use std::path::{Path, PathBuf};

pub use control_plane::{ControlPlane, ControlPlaneSpec};
pub use process::{Process, STARTUP};
pub use workload::{Workload, WorkloadSpec};

/// What every process of one mesh shares.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The `meshwright` binary.
    pub binary: PathBuf,
    /// The Envoy that sidecars run; none: the sidecar looks for one itself.
    pub envoy: Option<PathBuf>,
    /// The filter module that the control plane serves.
    pub module: PathBuf,
    /// Holds everything that the mesh writes: configuration, data, sidecar state, logs.
    pub folder: PathBuf,
}

impl Environment {
    #[must_use]
    pub fn config_dir(&self) -> PathBuf {
        self.folder.join("config")
    }

    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    /// A fresh sidecar's state directory. Short, because a Unix socket's path has at most 107 bytes.
    #[must_use]
    pub fn state_dir(&self, workload: &str) -> PathBuf {
        self.folder.join("s").join(workload)
    }

    /// Runs one short `meshwright` command to its end.
    ///
    /// # Errors
    /// When it cannot be started or ends with a code other than 0; the error holds what it printed.
    pub async fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = tokio::process::Command::new(&self.binary).args(arguments).output().await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        anyhow::ensure!(
            output.status.success(),
            "`meshwright {}` failed: {}{text}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }

    /// Creates a join token for `namespace/service_account` and keeps it in a file that only the owner can read.
    ///
    /// # Errors
    /// What `meshwright token create` answers, or that the file cannot be written.
    pub async fn join_token(&self, namespace: &str, service_account: &str, file: &Path) -> anyhow::Result<()> {
        let data = self.data_dir();
        let identity = format!("{namespace}/{service_account}");
        let out = file.to_string_lossy();
        self.command(&["token", "create", "--data-dir", &data.to_string_lossy(), "--service-account", &identity, "--out", &out]).await?;
        Ok(())
    }
}
