use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use meshwright_filter_test::{
    CaseResult, Compile, EnvoyOptions, LogLevel, Scenario, failed, find_envoy, human, json, junit, load, load_module, read_module,
    run_against, run_all,
};

use super::watch::Changes;
use crate::output;

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
    #[arg(long, value_enum, default_value = "human")]
    output: Form,
    /// Compile the module anew, and do not keep it below $XDG_CACHE_HOME/meshwright.
    #[arg(long)]
    no_cache: bool,
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
    Human,
    /// For scripts.
    Json,
    /// For CI: JUnit XML.
    Junit,
}

/// How far the pieces of a body are sent apart.
const PACE: Duration = Duration::from_millis(25);
/// How long nothing is said, and then how often something.
const PATIENCE: Duration = Duration::from_secs(1);

impl Test {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let module = super::super::control_plane::module_or_default(self.module.clone())?;
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
        let progress = Progress::start(scenarios.len());
        let compile = Compile { metered: scenarios.iter().any(Scenario::needs_fuel), cache: super::cache(!self.no_cache) };
        let host = load_module(module, &compile)?;
        progress.compiled.store(true, Ordering::Relaxed);
        let tell = |done| progress.done.store(done, Ordering::Relaxed);
        let results = if self.against_envoy {
            let envoy = find_envoy(self.envoy.as_deref())?;
            let options = EnvoyOptions { envoy, log_level: LogLevel::Info, pace: PACE };
            run_against(&host, &read_module(module)?, &scenarios, &options, &tell)?
        } else {
            run_all(&host, &scenarios, self.update, &tell)
        };
        drop(progress);
        self.print(&results, start.elapsed())?;
        Ok(if failed(&results) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn print(&self, results: &[CaseResult], took: Duration) -> anyhow::Result<()> {
        match self.output {
            Form::Human => output::line(human(results, took).trim_end()),
            Form::Json => output::json(&json(results)),
            Form::Junit => output::line(junit(results)?.trim_end()),
        }
        Ok(())
    }
}

/// Says on standard error how far it is, once a second, and nothing at all if all is over before.
struct Progress {
    compiled: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    /// Ends the thread when it is dropped.
    _going_on: Sender<()>,
}

impl Progress {
    fn start(all: usize) -> Self {
        let (going_on, ended) = channel::<()>();
        let (compiled, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let seen = (Arc::clone(&compiled), Arc::clone(&done));
        std::thread::spawn(move || {
            while ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let (compiled, done) = (seen.0.load(Ordering::Relaxed), seen.1.load(Ordering::Relaxed));
                output::progress(&if compiled { format!("{done} of {all} scenarios") } else { "compiling the module".to_owned() });
            }
        });
        Self { compiled, done, _going_on: going_on }
    }
}
