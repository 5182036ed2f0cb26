use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Subcommand;

use crate::output;

/// Make the join tokens with which sidecars prove who they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    Create(Create),
}

/// Make a join token: it is good for one sidecar, once, for a short time.
///
/// Works on the control plane's data directory, so whoever may write there may make tokens. The token also carries the root
/// certificate's fingerprint, by which the sidecar knows the control plane.
///
/// Example: meshwright token create --data-dir /var/lib/meshwright --service-account bookshop/orders --out orders.token
#[derive(Debug, clap::Args)]
struct Create {
    /// The control plane's data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Whom the token makes its bearer: NAMESPACE/SERVICE-ACCOUNT.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = namespaced)]
    service_account: (String, String),
    /// For how long it can be used, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    ttl: u64,
    /// Write it to this new file, readable only by its owner, instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Token {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let TokenCommand::Create(create) = self.command;
        let (namespace, name) = &create.service_account;
        let token =
            meshwright_ca::create_join_token(&create.data_dir, namespace, name, Duration::from_secs(create.ttl), SystemTime::now())?;
        match &create.out {
            None => output::line(token.reveal()),
            Some(file) => write_secret(file, token.reveal()).with_context(|| format!("`{}` cannot be written", file.display()))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A new file with this line, for its owner alone.
pub(crate) fn write_secret(file: &Path, secret: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    // A leftover of an earlier token may be replaced; a file of somebody else's keeps its own mode, so it is made anew.
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{secret}")
}

/// `NAMESPACE/NAME` in two.
pub(crate) fn namespaced(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("expected NAMESPACE/NAME".to_owned()),
    }
}
