use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use meshwright_policy_test::{Outcome, Suite, failed, github, human, json, junit, load, run, sarif, schema};

use super::BAD_INPUT;
use super::deciding::Deciding;
use crate::output;
use crate::progress::Progress;

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
    #[command(flatten)]
    deciding: Deciding,
    /// Only the tests whose name (FILE::TEST) contains this.
    #[arg(long, value_name = "NAME", conflicts_with = "coverage_threshold")]
    filter: Option<String>,
    /// The least part of the rules' ways to fare, matched and not matched, that the tests must show.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    coverage_threshold: Option<f64>,
    /// The form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    output: Form,
    /// Print the JSON Schema of test files, by which editors complete and check them, and run nothing.
    #[arg(long, exclusive = true)]
    schema: bool,
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
    /// For code scanning: SARIF 2.1.0.
    Sarif,
    /// For GitHub Actions: workflow commands that show failures at their lines.
    Github,
}

const LOW_COVERAGE: u8 = 3;

impl Test {
    pub(crate) fn run(self) -> ExitCode {
        self.answer().unwrap_or_else(|error| {
            output::error(&error);
            ExitCode::from(BAD_INPUT)
        })
    }

    fn answer(self) -> anyhow::Result<ExitCode> {
        if self.schema {
            output::json(&schema());
            return Ok(ExitCode::SUCCESS);
        }
        let start = Instant::now();
        let mut suites = load(&self.paths)?;
        if let Some(part) = &self.filter {
            suites.iter_mut().for_each(|suite| suite.retain(part));
            suites.retain(|suite| !suite.is_empty());
            anyhow::ensure!(!suites.is_empty(), "no test has `{part}` in its name");
        }
        let progress = Progress::start(suites.iter().map(Suite::len).sum(), "tests");
        let engines = self.deciding.engines()?;
        progress.compiled();
        let outcome = run(&suites, &*engines, &|done| progress.done(done));
        drop(progress);
        self.print(&outcome, start.elapsed())?;
        Ok(self.code(&outcome))
    }

    fn print(&self, outcome: &Outcome, took: Duration) -> anyhow::Result<()> {
        match self.output {
            Form::Text => output::line(human(outcome, took).trim_end()),
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
