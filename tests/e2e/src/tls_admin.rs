//! A control plane whose admin API is served over TLS, and commands that ask there.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use meshwright_demo::launcher::{Environment, Process, STARTUP};

use crate::refusal;

/// A running control plane.
#[derive(Debug)]
pub struct TlsAdmin<'a> {
    pub process: Process,
    environment: &'a Environment,
    xds: SocketAddr,
    admin: SocketAddr,
    fingerprint: String,
}

impl<'a> TlsAdmin<'a> {
    /// Starts it with its admin API at `admin`, and with `options`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(environment: &'a Environment, admin: &str, options: &[&str]) -> anyhow::Result<Self> {
        let mut process = spawn(environment, admin, options).await?;
        let line = process.line_with("control plane ready", STARTUP).await?;
        let address = |key: &str| -> anyhow::Result<SocketAddr> {
            let word = line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            Ok(word.with_context(|| format!("no `{key}=` in `{line}`"))?.parse()?)
        };
        let (xds, admin) = (address("xds")?, address("admin")?);
        // The fingerprint is what the authority says when it is made.
        let made = process.line_with("a new root certificate", STARTUP).await?;
        let found = made.split("fingerprint=").nth(1).and_then(|rest| rest.split_whitespace().next());
        let fingerprint = found.context("it is in the log")?.to_owned();
        Ok(Self { process, environment, xds, admin: SocketAddr::from(([127, 0, 0, 1], admin.port())), fingerprint })
    }

    /// The line in which it says why it does not start so.
    ///
    /// # Errors
    /// When it comes up.
    pub async fn refusal(environment: &Environment, admin: &str, options: &[&str]) -> anyhow::Result<String> {
        refusal(spawn(environment, admin, options).await?).await
    }

    /// Of its root.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What a command prints that asks there and knows the control plane by this fingerprint.
    ///
    /// # Errors
    /// What it answers otherwise.
    pub async fn ask_by(&self, fingerprint: &str, command: &[&str], options: &[&str]) -> anyhow::Result<String> {
        let url = format!("https://{}", self.admin);
        let admin = ["--output", "json", "--admin", &url, "--admin-fingerprint", fingerprint];
        self.environment.command(&[command, &admin, options].concat()).await
    }

    /// What `meshwright status` prints, by the right fingerprint.
    ///
    /// # Errors
    /// What it answers otherwise.
    pub async fn status(&self, options: &[&str]) -> anyhow::Result<String> {
        self.ask_by(&self.fingerprint, &["status"], options).await
    }

    /// A certificate for `ops/<account>` by `meshwright cert join`: the options that show it.
    ///
    /// # Errors
    /// When the account gets none.
    pub async fn certificate(&self, folder: &Path, account: &str) -> anyhow::Result<[String; 4]> {
        let token = folder.join(format!("{account}.token"));
        self.environment.join_token("ops", account, &token).await?;
        let out = folder.join(account);
        let (token, dir, xds) = (token.to_string_lossy(), out.to_string_lossy(), self.xds.to_string());
        self.environment.command(&["cert", "join", "--control-plane", &xds, "--token-file", &token, "--out-dir", &dir]).await?;
        let file = |name: &str| out.join(name).to_string_lossy().into_owned();
        Ok(["--admin-certificate".to_owned(), file("certificate.pem"), "--admin-key".to_owned(), file("key.pem")])
    }
}

async fn spawn(environment: &Environment, admin: &str, options: &[&str]) -> anyhow::Result<Process> {
    let mut command = tokio::process::Command::new(&environment.binary);
    command.arg("control-plane").arg("--config-dir").arg(environment.config_dir()).arg("--data-dir").arg(environment.data_dir());
    command.arg("--module").arg(&environment.module).args(["--listen", "127.0.0.1:0", "--admin", admin]).args(options);
    Process::start("control-plane", &mut command, &environment.log("control-plane")).await
}
