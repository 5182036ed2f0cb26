use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use meshwright_ca::{JoinToken, client};
use meshwright_sidecar::ControlPlaneAddress;

use crate::commands::token::write_secret;
use crate::output;

/// Get a certificate for somebody without a sidecar, such as an operator who asks the admin API. The private key is made here.
///
/// Writes `certificate.pem` (leaf first), `key.pem` (readable only by its owner) and `roots.pem` into a folder. Nothing renews them: before
/// the certificate ends, join again with a new token.
///
/// Example: meshwright cert join --control-plane mesh.example:15012 --token-file operator.token --out-dir operator/
#[derive(Debug, clap::Args)]
pub(super) struct Join {
    /// The control plane.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:15012")]
    control_plane: ControlPlaneAddress,
    /// A file that holds the join token.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// The folder that they are written to; made if missing. What is there of an earlier time is replaced.
    #[arg(long, value_name = "DIR")]
    out_dir: PathBuf,
}

impl Join {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let shown = self.token_file.display();
        let text = std::fs::read_to_string(&self.token_file).with_context(|| format!("the join token `{shown}` cannot be read"))?;
        let token = JoinToken::parse(&text).with_context(|| format!("there is no join token in `{shown}`"))?;
        // Before the token is used up.
        std::fs::create_dir_all(&self.out_dir).with_context(|| format!("`{}` cannot be made", self.out_dir.display()))?;
        let credentials = client::join(&self.control_plane.to_string(), &token, SystemTime::now()).await?;
        self.write("key.pem", credentials.key().pem())?;
        self.write("certificate.pem", credentials.chain_pem())?;
        self.write("roots.pem", credentials.trust_bundle_pem())?;
        let (identity, until) = (credentials.identity(), meshwright_ca::utc(credentials.not_after()));
        output::line(&format!("{identity} until {until}, in {}", self.out_dir.display()));
        Ok(ExitCode::SUCCESS)
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let file: &Path = &self.out_dir.join(name);
        write_secret(file, text.trim_end()).with_context(|| format!("`{}` cannot be written", file.display()))
    }
}
