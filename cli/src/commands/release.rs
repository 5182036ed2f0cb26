use std::process::ExitCode;

use super::admin::Admin;
use crate::output;

/// Let a removal pass that is held back, because one change would take away more than half of the mesh's endpoints, services or policies.
///
/// `meshwright status` shows what is held, and its name. Nothing else is released: a removal of other documents has another name.
/// Exit code 0 when it was released, 1 when no removal of this name is held.
///
/// Example: meshwright release 3f2a90cc
#[derive(Debug, clap::Args)]
pub(crate) struct Release {
    /// The name of the removal.
    #[arg(value_parser = name)]
    name: String,
    #[command(flatten)]
    admin: Admin,
}

impl Release {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        self.admin.post(&format!("/v1/held/{}/release", self.name)).await?;
        output::line(&format!("released: {}", self.name));
        Ok(ExitCode::SUCCESS)
    }
}

fn name(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    if good { Ok(text.to_owned()) } else { Err("a name is what `meshwright status` shows, as in `3f2a90cc`".to_owned()) }
}
