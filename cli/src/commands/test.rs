use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use meshwright_explain::{Engine, NativeEngine, WasmEngine};
use meshwright_policy_test::{Outcome, Suite, failed, github, human, json, junit, load, run, sarif};

use super::explain::EngineName;
use crate::output;

/// Run the tests of policies, and say which rules they leave open.
///
/// A test file, `*_test.yaml`, lies beside the policies: given this workload, these requests get these decisions (docs/policy-testing.md). The
/// filter module itself decides.
///
/// Exit codes: 0 all is as expected; 1 a test failed; 2 a file, a document or the module is wrong; 3 all passed, but the coverage is below
/// --coverage-threshold.
///
/// Example: meshwright test mesh/ --coverage-threshold 100
#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    /// Test files, or folders of them: every *_test.yaml and *_test.yml below.
    #[arg(default_value = ".", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Who decides: the module, or the library that it is made of.
    #[arg(long, value_enum, default_value = "wasm")]
    engine: EngineName,
    /// The filter module [default: meshwright_filters.wasm beside this binary].
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Only the tests whose name (FILE::TEST) contains this.
    #[arg(long, value_name = "NAME", conflicts_with = "coverage_threshold")]
    filter: Option<String>,
    /// The least part of the rules' ways to fare, matched and not matched, that the tests must show.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    coverage_threshold: Option<f64>,
    /// The form of the answer.
    #[arg(long, value_enum, default_value = "human")]
    output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For people.
    Human,
    /// For scripts.
    Json,
    /// For CI: JUnit XML.
    Junit,
    /// For code scanning: SARIF 2.1.0.
    Sarif,
    /// For GitHub Actions: workflow commands that show failures at their lines.
    Github,
}

/// How long nothing is said, and then how often something.
const PATIENCE: Duration = Duration::from_secs(1);
/// As for a wrong command line.
const BAD_INPUT: u8 = 2;
const LOW_COVERAGE: u8 = 3;

impl Test {
    pub(crate) fn run(self) -> ExitCode {
        self.answer().unwrap_or_else(|error| {
            output::error(&error);
            ExitCode::from(BAD_INPUT)
        })
    }

    fn answer(self) -> anyhow::Result<ExitCode> {
        let start = Instant::now();
        let mut suites = load(&self.paths)?;
        if let Some(part) = &self.filter {
            suites.iter_mut().for_each(|suite| suite.retain(part));
            suites.retain(|suite| !suite.is_empty());
            anyhow::ensure!(!suites.is_empty(), "no test has `{part}` in its name");
        }
        let all: usize = suites.iter().map(Suite::len).sum();
        let engine = self.engine()?;
        let said = RefCell::new(start);
        let outcome = run(&suites, &*engine, &|done| {
            let mut said = said.borrow_mut();
            if said.elapsed() >= PATIENCE && done < all {
                output::progress(&format!("{done} of {all} tests"));
                *said = Instant::now();
            }
        });
        self.print(&outcome, start.elapsed())?;
        Ok(self.code(&outcome))
    }

    fn engine(&self) -> anyhow::Result<Box<dyn Fn() -> Box<dyn Engine>>> {
        Ok(match self.engine {
            EngineName::Native => Box::new(|| Box::new(NativeEngine)),
            EngineName::Wasm => {
                let engine = WasmEngine::from_file(&super::control_plane::module_or_default(self.module.clone())?)?;
                Box::new(move || Box::new(engine.clone()))
            }
        })
    }

    fn print(&self, outcome: &Outcome, took: Duration) -> anyhow::Result<()> {
        match self.output {
            Form::Human => output::line(human(outcome, took).trim_end()),
            Form::Json => output::json(&json(outcome)),
            Form::Junit => output::line(junit(outcome)?.trim_end()),
            Form::Sarif => output::json(&sarif(outcome)),
            Form::Github => output::line(github(outcome, took).trim_end()),
        }
        Ok(())
    }

    fn code(&self, outcome: &Outcome) -> ExitCode {
        let percent = outcome.coverage.percent();
        match self.coverage_threshold {
            _ if failed(outcome) > 0 => ExitCode::FAILURE,
            Some(threshold) if percent < threshold => {
                output::progress(&format!("error: the coverage is {percent:.1} %, at least {threshold} % is asked for"));
                ExitCode::from(LOW_COVERAGE)
            }
            Some(_) | None => ExitCode::SUCCESS,
        }
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| "expected a number from 0 to 100".to_owned())
}
