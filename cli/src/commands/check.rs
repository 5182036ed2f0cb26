use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::output::{self, Format};

/// Validate a directory of documents, print every error, and say of each rule what becomes of it on each port.
///
/// A rule is enforced on a port as it is written, can never match there, or, where that was accepted, matches more than it says
/// (docs/tcp-policy.md). A warning is about what holds as it is written and breaks calls: a DestinationRule whose `tls` is not what the service
/// takes. Exit code 0 when there are no errors, 1 when there are.
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
                "warnings": checked.warnings(),
                "rules": checked.state().rule_statuses(),
            })),
            Format::Text => {
                for error in checked.errors() {
                    output::line(&error.to_string());
                }
                for warning in checked.warnings() {
                    output::line(&format!("warning: {warning}"));
                }
                for line in checked.state().rule_lines() {
                    output::line(&line);
                }
                let (documents, errors, warnings) = (checked.documents(), checked.errors().len(), checked.warnings().len());
                output::progress(&format!("{documents} documents, {errors} errors, {warnings} warnings"));
            }
        }
        Ok(if checked.errors().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
