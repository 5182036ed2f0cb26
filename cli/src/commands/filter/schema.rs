use std::process::ExitCode;

use crate::output;

/// Print the JSON Schema of scenario files, by which editors complete and check them.
///
/// A scenario's first line tells the editor: `# yaml-language-server: $schema=FILE`.
///
/// Exit codes: 0 always.
///
/// Example: meshwright filter schema > scenario.schema.json
#[derive(Debug, clap::Args)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self) -> ExitCode {
        let Self {} = self;
        output::json(&meshwright_filter_test::schema());
        ExitCode::SUCCESS
    }
}
