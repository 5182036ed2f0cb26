//! The `meshwright` binary: reads the command line, calls the package that does the work, prints its answer.

mod commands;
mod output;
mod progress;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = commands::Arguments::parse();
    output::start_logging(arguments.log_level());
    // The one process-wide choice that rustls asks for; nobody has made another before.
    let _first = rustls::crypto::ring::default_provider().install_default();
    match commands::run(arguments) {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
