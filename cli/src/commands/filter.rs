mod inspect;
mod run;
mod schema;
mod test;
mod watch;

use std::process::ExitCode;

use clap::Subcommand;

use super::BAD_INPUT;

/// Test any proxy-wasm filter without Envoy, as Envoy would run it.
///
/// Scenario files and answers are described in docs/filter-testing.md.
///
/// Exit codes: 0 all is as expected; 1 an expectation failed, or Envoy would refuse the inspected module; 2 the input is wrong: a file
/// cannot be read, a scenario is not valid, the module cannot be loaded.
#[derive(Debug, clap::Args)]
pub(crate) struct Filter {
    #[command(subcommand)]
    command: FilterCommand,
}

#[derive(Debug, Subcommand)]
enum FilterCommand {
    Test(test::Test),
    Run(run::Run),
    Inspect(inspect::Inspect),
    Schema(schema::Schema),
}

impl Filter {
    pub(crate) fn run(self) -> ExitCode {
        let answered = match self.command {
            FilterCommand::Test(command) => command.run(),
            FilterCommand::Run(command) => command.run(),
            FilterCommand::Inspect(command) => command.run(),
            FilterCommand::Schema(command) => Ok(command.run()),
        };
        answered.unwrap_or_else(|error| {
            crate::output::error(&error);
            ExitCode::from(BAD_INPUT)
        })
    }
}
