//! The `meshwright` binary: reads the command line, calls the package that does the work, prints its answer.

mod commands;
mod output;
mod progress;

use std::process::ExitCode;

use clap::Parser as _;

/// The control plane makes and drops small things for each proxy and each document, on all cores: with the system's allocator the start of a large
/// mesh takes a third longer. Without huge pages, which are quicker and cost memory for each proxy.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
