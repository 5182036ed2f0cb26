use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::output::{self, Format};

/// Validate a directory of documents, print every error, and say of each rule what becomes of it on each port.
///
/// A rule is enforced on a port as it is written, can never match there, or, where that was accepted, matches more than it says
/// (docs/tcp-policy.md). An entry of a deny list that names nobody is a warning. Exit code 0 when all is well, 1 when there are errors.
///
/// Example: meshwright check mesh/
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The directory of YAML documents.
    dir: PathBuf,
    /// The form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

impl Check {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let checked = meshwright_sources::load_once(&self.dir)?;
        match self.output {
            Format::Json => output::json(&json!({
                "documents": checked.documents(),
                "errors": checked.errors(),
                "rules": checked.state().rule_statuses(),
                "warnings": checked.state().idle_denials(),
            })),
            Format::Text => {
                for error in checked.errors() {
                    output::line(&error.to_string());
                }
                for warning in checked.state().idle_denials() {
                    output::line(&format!("warning: {warning}"));
                }
                for line in checked.state().rule_lines() {
                    output::line(&line);
                }
                output::progress(&format!("{} documents, {} errors", checked.documents(), checked.errors().len()));
            }
        }
        Ok(if checked.errors().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
