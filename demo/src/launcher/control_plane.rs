use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::process::Command;

use super::{Environment, Process, STARTUP};

/// Where a control plane listens.
#[derive(Debug, Clone, Copy)]
pub struct ControlPlaneSpec {
    pub xds: SocketAddr,
    pub admin: SocketAddr,
    /// Life of the certificates that it issues, in seconds; none: as it is by default.
    pub certificate_ttl: Option<u64>,
    /// Where it serves its trust bundle to other trust domains.
    pub bundle_endpoint: Option<SocketAddr>,
}

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    process: Process,
    xds: SocketAddr,
    admin: SocketAddr,
    bundle_endpoint: Option<SocketAddr>,
    client: reqwest::Client,
}

impl ControlPlane {
    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// When it ends before it serves; the error shows what it printed.
    pub async fn start(environment: &Environment, spec: ControlPlaneSpec) -> anyhow::Result<Self> {
        let mut process = Self::spawn(environment, spec).await?;
        let line = process.line_with("control plane ready", STARTUP).await?;
        // With port 0 the line says which ports were taken.
        let address = |key: &str| -> anyhow::Result<SocketAddr> {
            let word = line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            word.and_then(|text| text.parse().ok()).with_context(|| format!("no `{key}=` in `{line}`"))
        };
        let (xds, admin) = (address("xds")?, address("admin")?);
        let bundle_endpoint = spec.bundle_endpoint.map(|_| address("bundle")).transpose()?;
        Ok(Self { process, xds, admin, bundle_endpoint, client: reqwest::Client::builder().no_proxy().build()? })
    }

    /// Starts it and does not wait.
    ///
    /// # Errors
    /// When the binary cannot be run.
    pub async fn spawn(environment: &Environment, spec: ControlPlaneSpec) -> anyhow::Result<Process> {
        let mut command = Command::new(&environment.binary);
        command
            .arg("control-plane")
            .arg("--config-dir")
            .arg(environment.config_dir())
            .arg("--data-dir")
            .arg(environment.data_dir())
            .arg("--module")
            .arg(&environment.module)
            .args(["--listen", &spec.xds.to_string(), "--admin", &spec.admin.to_string()]);
        if let Some(ttl) = spec.certificate_ttl {
            command.args(["--certificate-ttl", &ttl.to_string()]);
        }
        if let Some(address) = spec.bundle_endpoint {
            command.args(["--bundle-endpoint", &address.to_string()]);
        }
        Process::start("control-plane", &mut command, &environment.log("control-plane")).await
    }

    #[must_use]
    pub fn xds(&self) -> SocketAddr {
        self.xds
    }

    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    #[must_use]
    pub fn bundle_endpoint(&self) -> Option<SocketAddr> {
        self.bundle_endpoint
    }

    /// Everything it printed so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.process.lines()
    }

    #[must_use]
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    #[must_use]
    pub fn into_process(self) -> Process {
        self.process
    }

    /// What `GET /v1/status` answers.
    ///
    /// # Errors
    /// When the admin API does not answer with JSON.
    pub async fn status(&self) -> anyhow::Result<Value> {
        self.get("/v1/status").await
    }

    /// Waits until every connected proxy has acknowledged all of the revision `revision`, or a later one.
    ///
    /// # Errors
    /// When `timeout` passes first.
    pub async fn enforced(&self, revision: u64, timeout: Duration) -> anyhow::Result<Value> {
        let answer = self.get(&format!("/v1/enforced?revision={revision}&timeout_ms={}", timeout.as_millis())).await?;
        anyhow::ensure!(answer["enforced"] == true, "revision {revision} is not enforced after {timeout:?}: {answer}");
        Ok(answer)
    }

    /// Waits until `proxies` proxies are connected and each has acknowledged all that it was sent.
    ///
    /// # Errors
    /// When the admin API does not answer; what it says after `timeout` is returned as it is.
    pub async fn connected(&self, proxies: usize, timeout: Duration) -> anyhow::Result<Value> {
        self.get(&format!("/v1/enforced?proxies={proxies}&timeout_ms={}", timeout.as_millis())).await
    }

    /// The number of the newest revision of the configuration.
    ///
    /// # Errors
    /// When the admin API does not answer with JSON.
    pub async fn revision(&self) -> anyhow::Result<u64> {
        self.status().await?["revision"].as_u64().context("the status has no revision")
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let response = self.client.get(format!("http://{}{path}", self.admin)).send().await?;
        let status = response.status();
        let text = response.text().await?;
        serde_json::from_str(&text).with_context(|| format!("GET {path} answered {status}: {text}"))
    }
}
