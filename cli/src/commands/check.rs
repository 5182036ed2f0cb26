mod gateway_files;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;

use self::gateway_files::GatewayFile;
use crate::output::{self, Format, counted};

/// Validate a directory of documents, print every error, and say of each rule what becomes of it on each port.
///
/// A rule is enforced on a port as it is written, can never match there, or, where that was accepted, matches more than it says
/// (docs/tcp-policy.md). A warning is about what holds as it is written and is not what was meant: a DestinationRule whose `tls` is not what the
/// service takes breaks calls, an entry of a deny list that names nobody denies nobody, a certificate should have been replaced. Certificates in
/// files that a Gateway names are looked at where this machine has them. Exit code 0 when there are no errors, 1 when there are.
///
/// Example: meshwright check mesh/
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The directory of YAML documents: `*.yaml` and `*.yml`.
    dir: PathBuf,
    /// The form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

impl Check {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let checked = meshwright_sources::load_once(&self.dir)?;
        let idle = checked.state().idle_denials();
        let files = gateway_files::look(&checked, SystemTime::now());
        match self.output {
            Format::Json => output::json(&json!({
                "documents": checked.documents(),
                "errors": checked.errors(),
                "warnings": checked.warnings(),
                "rules": checked.state().rule_statuses(),
                "idle_denials": idle,
                "gateway_files": files.iter().map(serde_json::Value::from).collect::<Vec<_>>(),
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
                for line in files.iter().flat_map(GatewayFile::lines) {
                    output::line(&line);
                }
                for line in checked.state().rule_lines() {
                    output::line(&line);
                }
                let of_files = files.iter().map(GatewayFile::warnings).sum::<usize>();
                let warnings = checked.warnings().len().saturating_add(idle.len()).saturating_add(of_files);
                let (documents, errors) = (checked.documents(), checked.errors().len());
                let counted = [counted(documents, "document"), counted(errors, "error"), counted(warnings, "warning")];
                output::progress(&counted.join(", "));
            }
        }
        Ok(if checked.errors().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
