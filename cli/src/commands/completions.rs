use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

/// Print a completion script for a shell.
///
/// Example: meshwright completions bash > /etc/bash_completion.d/meshwright
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> ExitCode {
        clap_complete::generate(self.shell, &mut super::Arguments::command(), "meshwright", &mut std::io::stdout());
        ExitCode::SUCCESS
    }
}
