use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::output::{self, Format};

/// Validate a directory of documents, print every error, and say of each rule what becomes of it on each port.
///
/// A rule is enforced on a port as it is written, can never match there, or, where that was accepted, matches more than it says
/// (docs/tcp-policy.md). A warning is about what holds as it is written and is not what was meant: a DestinationRule whose `tls` is not what the
/// service takes breaks calls, an entry of a deny list that names nobody denies nobody. Exit code 0 when there are no errors, 1 when there are.
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
        let idle = checked.state().idle_denials();
        match self.output {
            Format::Json => output::json(&json!({
                "documents": checked.documents(),
                "errors": checked.errors(),
                "warnings": checked.warnings(),
                "rules": checked.state().rule_statuses(),
                "idle_denials": idle,
            })),
            Format::Text => {
                for error in checked.errors() {
                    output::line(&error.to_string());
                }
                for warning in &idle {
                    output::line(&format!("warning: {warning}"));
                }
                for warning in checked.warnings() {
                    output::line(&format!("warning: {warning}"));
                }
                for line in checked.state().rule_lines() {
                    output::line(&line);
                }
                let (documents, errors, warnings) = (checked.documents(), checked.errors().len(), checked.warnings().len());
                let counted = [count(documents, "document"), count(errors, "error"), count(warnings, "warning")];
                output::progress(&counted.join(", "));
            }
        }
        Ok(if checked.errors().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
