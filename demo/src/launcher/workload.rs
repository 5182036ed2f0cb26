use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::process::Command;

use super::{Environment, Process, STARTUP};

/// A workload to start: a sidecar and, as its app, the echo server.
#[derive(Debug, Clone)]
pub struct WorkloadSpec {
    pub namespace: String,
    pub name: String,
    pub service_account: String,
    /// Where the app sends what it wants to call.
    pub outbound: SocketAddr,
    /// Workload port and the app's own address behind it.
    pub apps: Vec<(u16, SocketAddr)>,
    /// `host:port` of a TCP service and the loopback address on which the app reaches it.
    pub tcp: Vec<(String, SocketAddr)>,
    /// Arguments of `meshwright echo`, the app; none for a gateway.
    pub echo: Option<Vec<String>>,
    /// Arguments for `meshwright sidecar` beyond those above.
    pub extra: Vec<String>,
}

/// A running workload.
#[derive(Debug)]
pub struct Workload {
    process: Process,
    spec: WorkloadSpec,
    state_dir: PathBuf,
}

impl Workload {
    /// Starts it with a fresh join token and waits until its proxy takes traffic (and its app runs).
    ///
    /// # Errors
    /// When it ends before that; the error shows what it printed.
    pub async fn start(environment: &Environment, control_plane: SocketAddr, spec: WorkloadSpec) -> anyhow::Result<Self> {
        let token = environment.folder.join(format!("{}.token", spec.name));
        environment.join_token(&spec.namespace, &spec.service_account, &token).await?;
        let mut process = Self::spawn(environment, control_plane, &spec, &token).await?;
        process.line_with("sidecar ready", STARTUP).await?;
        if spec.echo.is_some() {
            process.line_with("echo ready", STARTUP).await?;
        }
        let state_dir = environment.state_dir(&spec.name);
        Ok(Self { process, spec, state_dir })
    }

    /// Starts it with the token in `token` and does not wait.
    ///
    /// # Errors
    /// When the binary cannot be run.
    pub async fn spawn(
        environment: &Environment,
        control_plane: SocketAddr,
        spec: &WorkloadSpec,
        token: &std::path::Path,
    ) -> anyhow::Result<Process> {
        let mut command = Command::new(&environment.binary);
        command
            .arg("sidecar")
            .args(["--control-plane", &control_plane.to_string()])
            .args(["--workload", &format!("{}/{}", spec.namespace, spec.name)])
            .args(["--service-account", &spec.service_account])
            .args(["--outbound", &spec.outbound.to_string()])
            .arg("--token-file")
            .arg(token)
            .arg("--state-dir")
            .arg(environment.state_dir(&spec.name));
        if let Some(envoy) = &environment.envoy {
            command.arg("--envoy").arg(envoy);
        }
        for (port, app) in &spec.apps {
            command.args(["--app", &format!("{port}={app}")]);
        }
        for (service, local) in &spec.tcp {
            command.args(["--tcp", &format!("{service}={local}")]);
        }
        command.args(&spec.extra);
        if let Some(echo) = &spec.echo {
            command.arg("--").arg(&environment.binary).arg("echo").args(echo);
        }
        Process::start(&spec.name, &mut command, &environment.log(&spec.name)).await
    }

    #[must_use]
    pub fn spec(&self) -> &WorkloadSpec {
        &self.spec
    }

    #[must_use]
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    #[must_use]
    pub fn into_process(self) -> Process {
        self.process
    }

    /// The file to which the sidecar appends one JSON record per request.
    #[must_use]
    pub fn access_log(&self) -> PathBuf {
        self.state_dir.join("access.log")
    }
}
