mod join;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Subcommand;
use meshwright_ca::ChainReport;
use meshwright_identity::{SpiffeId, TrustDomain};

use crate::output::{self, Format};

/// Look at a workload's certificate, and why a peer would refuse it; or get one.
#[derive(Debug, clap::Args)]
pub(crate) struct Cert {
    #[command(subcommand)]
    command: CertCommand,
}

#[derive(Debug, Subcommand)]
enum CertCommand {
    Show(Look),
    Verify(Look),
    Join(join::Join),
}

/// Show what a workload holds: its chain, until when, and what is wrong with it. `verify` is the same with exit code 1 when a peer would
/// refuse it; `show` ends with 0.
///
/// Example: meshwright cert verify --state-dir run/orders
#[derive(Debug, clap::Args)]
struct Look {
    /// A running sidecar's state directory: what its Envoy holds now, and the trust bundle that it has.
    #[arg(long, value_name = "DIR", required_unless_present = "file")]
    state_dir: Option<PathBuf>,
    /// A PEM file, leaf first.
    #[arg(long, value_name = "FILE", conflicts_with = "state_dir")]
    file: Option<PathBuf>,
    /// The peer's trust bundle, PEM [default: with --state-dir the workload's own; else none, and only the chain itself is looked at].
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// The peer's trust domain.
    #[arg(long, value_name = "DOMAIN")]
    trust_domain: Option<TrustDomain>,
    /// The form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

impl Cert {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let (look, verify) = match self.command {
            CertCommand::Show(look) => (look, false),
            CertCommand::Verify(look) => (look, true),
            CertCommand::Join(join) => return join.run().await,
        };
        let report = look.report().await?;
        match look.output {
            Format::Json => output::json(&serde_json::to_value(&report)?),
            Format::Text => print(&report),
        }
        Ok(if verify && !report.problems.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

impl Look {
    async fn report(&self) -> anyhow::Result<ChainReport> {
        let (chain, mut bundle) = match (&self.state_dir, &self.file) {
            (Some(dir), _) => held(dir).await?,
            (None, Some(file)) => (read(file)?, None),
            (None, None) => anyhow::bail!("give --state-dir or --file"),
        };
        if let Some(file) = &self.bundle {
            bundle = Some(read(file)?);
        }
        let report = meshwright_ca::inspect(&chain, bundle.as_deref(), self.trust_domain.as_ref(), SystemTime::now());
        report.with_context(|| {
            format!("`{}`", self.file.as_ref().or(self.state_dir.as_ref()).map(|path| path.display().to_string()).unwrap_or_default())
        })
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("`{}` cannot be read", file.display()))
}

/// Chain and trust bundle of the Envoy of a sidecar. Envoy shows no private key.
async fn held(state_dir: &Path) -> anyhow::Result<(Vec<u8>, Option<Vec<u8>>)> {
    let socket = state_dir.join("admin.sock");
    let hint = || format!("no answer from Envoy at `{}`; is the sidecar of this state directory running?", socket.display());
    let client = reqwest::Client::builder().no_proxy().unix_socket(socket.clone()).timeout(Duration::from_secs(10)).build()?;
    let response = client.get("http://envoy/config_dump?resource=dynamic_active_secrets").send().await.with_context(hint)?;
    let dump: serde_json::Value = response.error_for_status().with_context(hint)?.json().await.with_context(hint)?;
    let held = meshwright_sidecar::held_secrets(&dump).context("Envoy holds no certificate of a workload yet")?;
    let leaf = meshwright_ca::inspect(&held.chain, None, None, SystemTime::now())?;
    let identity = leaf.certificates.first().and_then(|leaf| leaf.spiffe_ids.first()).context("the workload's certificate names nobody")?;
    let bundle = held.bundle(SpiffeId::parse(identity)?.trust_domain().as_str()).map(<[u8]>::to_vec);
    Ok((held.chain, bundle))
}

fn print(report: &ChainReport) {
    for (at, certificate) in report.certificates.iter().enumerate() {
        let name = if certificate.spiffe_ids.is_empty() { certificate.subject.clone() } else { certificate.spiffe_ids.join(", ") };
        output::line(&format!("{} {} {name}", at + 1, certificate.role));
        output::line(&format!("  valid from {} until {}", certificate.not_before, certificate.not_after));
        output::line(&format!("  serial {}, key {}, SHA-256 {}", certificate.serial, certificate.key, certificate.fingerprint));
    }
    for warning in &report.warnings {
        output::line(&format!("warning: {warning}"));
    }
    for problem in &report.problems {
        output::line(&format!("refused: {problem}"));
    }
    if report.problems.is_empty() {
        output::line("a peer would accept it");
    }
}
