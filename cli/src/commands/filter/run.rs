use std::path::PathBuf;
use std::process::ExitCode;

use meshwright_filter_test::{Compile, load, load_module};
use serde_json::json;

use crate::commands::deciding::Cache;
use crate::output;
use crate::progress::Progress;

/// Run one scenario and print everything that happened, whatever was expected.
///
/// What upstream and client saw, the filter's own reply, every callback and host call in order, log lines, metrics, calls, traps, misuse:
/// one JSON document, `{"case": …}` for each case of a matrix.
///
/// Exit codes: 0 it ran, whatever came of it; 2 the input is wrong.
///
/// Example: meshwright filter run examples/filters/hello/hello.wat examples/filters/hello/hello.yaml --case admin
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The module, as .wasm or in its text form .wat.
    module: PathBuf,
    /// The scenario file.
    scenario: PathBuf,
    /// Only this case of its matrix.
    #[arg(long, value_name = "CASE")]
    case: Option<String>,
    #[command(flatten)]
    cache: Cache,
    /// The form of the answer: JSON is the only one.
    #[arg(long, value_enum, default_value = "json")]
    output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For scripts.
    Json,
}

impl Run {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let scenarios = load(&[self.scenario])?;
        let progress = Progress::compiling();
        let host = load_module(&self.module, &Compile { metered: true, cache: self.cache.folder() })?;
        drop(progress);
        let Form::Json = self.output;
        if let Some(name) = &self.case {
            let all: Vec<&str> = scenarios.iter().filter_map(|scenario| scenario.case()).collect();
            let found = scenarios.iter().find(|scenario| scenario.case() == Some(name));
            let scenario = found.ok_or_else(|| anyhow::anyhow!("no case `{name}` (there are: {})", all.join(", ")))?;
            output::json(&scenario.answer(&host));
            return Ok(ExitCode::SUCCESS);
        }
        match scenarios.as_slice() {
            [only] if only.case().is_none() => output::json(&only.answer(&host)),
            cases => {
                let answers = cases.iter().filter_map(|scenario| Some((scenario.case()?.to_owned(), scenario.answer(&host))));
                output::json(&json!(answers.collect::<serde_json::Map<_, _>>()));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
