use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use meshwright_demo::DemoOptions;

use crate::output;

/// Run the bookshop mesh on this machine, try what it promises, and print expected beside actual.
///
/// Starts a control plane and seven sidecars, each with its own Envoy, on loopback addresses 127.0.10.x. Ends with 0 only if every step
/// went as expected.
///
/// Example: meshwright demo --keep
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Leave the mesh running until Ctrl-C, and say how to reach it.
    #[arg(long)]
    keep: bool,
    /// The Envoy to run [default: $ENVOY, else `envoy` on PATH].
    #[arg(long, env = "ENVOY", value_name = "FILE")]
    envoy: Option<PathBuf>,
    /// The filter module [default: meshwright_filters.wasm beside this binary].
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// The form of the report.
    #[arg(long, value_enum, default_value = "text")]
    output: output::Format,
}

const WIDTH: u16 = 150;

impl Demo {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let folder = tempfile::Builder::new().prefix("mw-").tempdir().context("no temporary folder can be made")?;
        let options = DemoOptions {
            binary: std::env::current_exe().context("this binary's own path is unknown")?,
            envoy: self.envoy,
            module: super::control_plane::module_or_default(self.module)?,
            folder: folder.path().to_owned(),
            width: WIDTH,
        };
        let outcome = match meshwright_demo::run(options, &output::progress).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let kept = folder.keep();
                return Err(error.context(format!("the demo stopped; its logs are in {}", kept.display())));
            }
        };
        match self.output {
            output::Format::Text => output::line(&outcome.report.table(WIDTH)),
            output::Format::Json => output::json(&serde_json::to_value(outcome.report.rows())?),
        }
        let failures = outcome.report.failures();
        output::progress(&format!("{} steps, {failures} otherwise than expected", outcome.report.rows().len()));
        if self.keep {
            output::progress(&outcome.mesh.how_to_reach());
            tokio::signal::ctrl_c().await?;
        }
        outcome.mesh.stop().await?;
        if failures > 0 {
            output::progress(&format!("logs: {}", folder.keep().display()));
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}
