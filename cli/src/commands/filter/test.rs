use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use meshwright_filter_test::{
    CaseResult, Compile, EnvoyOptions, LogLevel, Scenario, failed, find_envoy, human, json, junit, load, load_module, read_module,
    run_against, run_all,
};

use super::watch::Changes;
use crate::commands::deciding::Cache;
use crate::output;
use crate::progress::Progress;

/// Run scenario files against a module and say what is not as expected.
///
/// Exit codes: 0 all passed; 1 an expectation failed, or Envoy did something else; 2 the input is wrong, or there is no Envoy.
///
/// Example: meshwright filter test examples/filters/hello --module examples/filters/hello/hello.wat
#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    /// Scenario files, or folders of them: every *.yaml and *.yml below.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The module, as .wasm or in its text form .wat [default: meshwright_filters.wasm beside this binary].
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Only the scenarios whose name (FILE or FILE::CASE) contains this.
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// Write snapshots that are missing or different instead of failing.
    #[arg(long)]
    update: bool,
    /// The form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    output: Form,
    #[command(flatten)]
    cache: Cache,
    /// Also run what can be expressed in a real Envoy, and say where it does something else; expectations and snapshots are left alone.
    #[arg(long, conflicts_with_all = ["update", "watch"])]
    against_envoy: bool,
    /// The Envoy for --against-envoy [default: `envoy` on PATH].
    #[arg(long, env = "ENVOY", value_name = "FILE")]
    envoy: Option<PathBuf>,
    /// Run again whenever a scenario or the module changes, until Ctrl-C.
    #[arg(long, conflicts_with = "update")]
    watch: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For people.
    #[value(alias = "human")]
    Text,
    /// For scripts.
    Json,
    /// For CI: JUnit XML.
    Junit,
}

/// How far the pieces of a body are sent apart.
const PACE: Duration = Duration::from_millis(25);

impl Test {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let module = crate::commands::control_plane::module_or_default(self.module.clone())?;
        if !self.watch {
            return self.once(&module);
        }
        let changes = Changes::of(self.paths.iter().map(PathBuf::as_path).chain([module.as_path()]))?;
        loop {
            if let Err(error) = self.once(&module) {
                output::error(&error);
            }
            output::progress("waiting for a change; Ctrl-C ends");
            changes.next()?;
        }
    }

    fn once(&self, module: &Path) -> anyhow::Result<ExitCode> {
        let mut scenarios = load(&self.paths)?;
        if let Some(part) = &self.filter {
            scenarios.retain(|scenario| scenario.name().contains(part));
            anyhow::ensure!(!scenarios.is_empty(), "no scenario has `{part}` in its name");
        }
        let start = Instant::now();
        let progress = Progress::start(scenarios.len(), "scenarios");
        let compile = Compile { metered: scenarios.iter().any(Scenario::needs_fuel), cache: self.cache.folder() };
        let host = load_module(module, &compile)?;
        progress.compiled();
        let tell = |done| progress.done(done);
        let results = if self.against_envoy {
            let envoy = find_envoy(self.envoy.as_deref())?;
            let options = EnvoyOptions { envoy, log_level: LogLevel::Info, pace: PACE };
            run_against(&host, &read_module(module)?, &scenarios, &options, &tell)?
        } else {
            run_all(&host, &scenarios, self.update, &tell)
        };
        drop(progress);
        self.print(&results, start.elapsed())?;
        anyhow::ensure!(results.iter().any(|result| result.skipped.is_none()), "nothing was compared: no scenario can be made in Envoy");
        Ok(if failed(&results) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn print(&self, results: &[CaseResult], took: Duration) -> anyhow::Result<()> {
        match self.output {
            Form::Text => output::line(human(results, took).trim_end()),
            Form::Json => output::json(&json(results)),
            Form::Junit => output::line(junit(results)?.trim_end()),
        }
        Ok(())
    }
}
