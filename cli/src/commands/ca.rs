#![expect(clippy::indexing_slicing, reason = "to index a JSON value gives null, never a panic")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use meshwright_ca::{AuthorityOptions, Imported, KeyAlgorithm, NewRoot, Passphrase, Phase, TakenRoot};
use serde_json::{Value, json};

use crate::output::{self, Format};

/// The environment variable that may hold the passphrase of the authority's keys.
const PASSPHRASE_VARIABLE: &str = "MESHWRIGHT_CA_PASSPHRASE";

/// Look at the certificate authority, replace its root, plug in another.
#[derive(Debug, clap::Args)]
pub(crate) struct Ca {
    #[command(subcommand)]
    command: CaCommand,
}

#[derive(Debug, Subcommand)]
enum CaCommand {
    Status(Status),
    Rotate(Box<Rotate>),
    Import(Box<Import>),
}

/// Show where a rollover of the root stands: its phase, who has not acknowledged, and when the next step is safe.
///
/// Example: meshwright ca status --output json
#[derive(Debug, clap::Args)]
struct Status {
    #[command(flatten)]
    admin: super::admin::Admin,
    /// The form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

/// Replace the root: publish the new one, sign with it, retire the old one.
///
/// Works on the control plane's data directory. The running control plane then takes each step when it is safe: when every proxy has
/// acknowledged the trust bundle, and no certificate lives that somebody would refuse. `meshwright ca status` shows what it waits for.
/// What was begun survives restarts. Exit code 1 when the step is not allowed now.
///
/// Example: meshwright ca rotate --data-dir /var/lib/meshwright
#[derive(Debug, clap::Args)]
struct Rotate {
    /// The control plane's data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Turn the rollover round: a new root that has signed nothing is dropped, one that has is retired as any other.
    #[arg(long, conflicts_with_all = ["confirm", "root"])]
    abort: bool,
    /// While publishing: no proxy lives that is not connected, so wait for acknowledgements alone.
    #[arg(long, conflicts_with = "root")]
    confirm: bool,
    /// A root made elsewhere: one PEM file with its certificate and its key (PKCS #8) [default: a new one is made].
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    #[command(flatten)]
    keys: Keys,
    /// The form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

/// Plug in a root, or an intermediate, that was made elsewhere.
///
/// The chain is checked and tried out before anything is kept. With the root's certificate alone an intermediate with its key is needed:
/// then the root's key stays where it is, and another intermediate must be plugged in before that one ends.
///
/// Example: meshwright ca import --data-dir /var/lib/meshwright --trust-domain bookshop.example --root root.pem --intermediate mesh.pem
#[derive(Debug, clap::Args)]
struct Import {
    /// The control plane's data directory; made when it is missing.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The mesh's trust domain.
    #[arg(long, value_name = "DOMAIN")]
    trust_domain: meshwright_identity::TrustDomain,
    /// PEM: the root's certificate and, when it is to be kept here, its key (PKCS #8).
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// PEM: the intermediate's certificate, those between it and the root, and its key (PKCS #8).
    #[arg(long, value_name = "FILE")]
    intermediate: Option<PathBuf>,
    #[command(flatten)]
    keys: Keys,
}

/// How the authority's keys are made and kept. The passphrase may also be in the environment variable MESHWRIGHT_CA_PASSPHRASE.
#[derive(Debug, clap::Args)]
pub(crate) struct Keys {
    /// A file with the passphrase, or random bytes, that encrypts the authority's keys on disk; readable only by its owner.
    #[arg(long, value_name = "FILE")]
    ca_passphrase_file: Option<PathBuf>,
    /// What new roots and intermediates are made with.
    #[arg(long, value_name = "ALGORITHM", default_value = "p256", value_parser = algorithm())]
    ca_key_algorithm: KeyAlgorithm,
}

/// Only names of algorithms.
fn algorithm() -> impl TypedValueParser<Value = KeyAlgorithm> {
    PossibleValuesParser::new(KeyAlgorithm::NAMES).try_map(|name| KeyAlgorithm::named(&name).ok_or("no such algorithm"))
}

impl Keys {
    pub(crate) fn passphrase(&self) -> anyhow::Result<Option<Passphrase>> {
        let variable = std::env::var(PASSPHRASE_VARIABLE).ok();
        match (&self.ca_passphrase_file, variable) {
            (Some(_), Some(_)) => anyhow::bail!("two passphrases: --ca-passphrase-file and {PASSPHRASE_VARIABLE}; give one"),
            (Some(file), None) => Ok(Some(Passphrase::from_file(file)?)),
            (None, Some(text)) => Ok(Some(Passphrase::new(text.into_bytes().into()).context(PASSPHRASE_VARIABLE)?)),
            (None, None) => Ok(None),
        }
    }

    pub(crate) fn algorithm(&self) -> KeyAlgorithm {
        self.ca_key_algorithm
    }

    fn options(&self) -> anyhow::Result<AuthorityOptions> {
        Ok(AuthorityOptions { passphrase: self.passphrase()?, algorithm: self.algorithm(), ..AuthorityOptions::default() })
    }
}

impl Ca {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            CaCommand::Status(status) => status.run().await?,
            CaCommand::Rotate(rotate) => rotate.run()?,
            CaCommand::Import(import) => import.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Status {
    async fn run(self) -> anyhow::Result<()> {
        let status = self.admin.get("/v1/ca").await?;
        match self.output {
            Format::Json => output::json(&status),
            Format::Text => print(&status),
        }
        Ok(())
    }
}

impl Rotate {
    fn run(self) -> anyhow::Result<()> {
        let now = SystemTime::now();
        let options = self.keys.options()?;
        let phase = if self.abort {
            meshwright_ca::abort_rollover(&self.data_dir, now)?
        } else if self.confirm {
            meshwright_ca::confirm_rollover(&self.data_dir)?
        } else {
            let new = match &self.root {
                None => NewRoot::Make,
                Some(file) => NewRoot::Take(Box::new(TakenRoot { pem: read(file)?, passphrase: options.passphrase.clone() })),
            };
            meshwright_ca::rotate(&self.data_dir, new, &options, now)?
        };
        match self.output {
            Format::Json => output::json(&json!({"phase": phase.name(), "signs": phase.signer().to_string()})),
            Format::Text => output::line(&said(&phase)),
        }
        Ok(())
    }
}

fn said(phase: &Phase) -> String {
    let next = if phase.roles().is_some() { "; the control plane goes on by itself, see `meshwright ca status`" } else { "" };
    format!("phase {}, the root {} signs{next}", phase.name(), phase.signer())
}

impl Import {
    fn run(self) -> anyhow::Result<()> {
        let options = self.keys.options()?;
        let intermediate = self.intermediate.as_ref().map(read).transpose()?;
        let imported = Imported { root: read(&self.root)?, intermediate, passphrase: options.passphrase.clone() };
        let root = meshwright_ca::import(&self.data_dir, &self.trust_domain, &imported, &options, SystemTime::now())?;
        output::line(&format!("the authority of `{}` has the root {root}", self.trust_domain));
        Ok(())
    }
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("`{}` cannot be read", file.display()))
}

fn print(status: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let list = |value: &Value| value.as_array().map(Vec::as_slice).unwrap_or_default().to_vec();
    let back = if status["reverting"].as_bool() == Some(true) { ", on its way back after an abort" } else { "" };
    let since = status["since"].as_str().map(|since| format!(" since {since}")).unwrap_or_default();
    output::line(&format!("phase {}{since}{back}", text(&status["phase"])));
    for root in list(&status["roots"]) {
        let signs = if root["signs"].as_bool() == Some(true) { ", signs" } else { "" };
        output::line(&format!("root {} until {}{signs}", text(&root["fingerprint"]), text(&root["not_after"])));
    }
    output::line(&format!("intermediate until {}", text(&status["intermediate_not_after"])));
    output::line(&format!("workload certificates live until {} at the latest", text(&status["leaves_until"])));
    for blocker in list(&status["blockers"]) {
        output::line(&format!("waits: {}", text(&blocker)));
    }
    if let Some(at) = status["next_step_at"].as_str() {
        output::line(&format!("the next step is safe at {at}"));
    }
}
