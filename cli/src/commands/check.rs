use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::output::{self, Format};

/// Validate a directory of documents and print every error.
///
/// Exit code 0 when all is well, 1 when there are errors.
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
            Format::Json => output::json(&json!({"documents": checked.documents(), "errors": checked.errors()})),
            Format::Text => {
                for error in checked.errors() {
                    output::line(&error.to_string());
                }
                output::progress(&format!("{} documents, {} errors", checked.documents(), checked.errors().len()));
            }
        }
        Ok(if checked.errors().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
