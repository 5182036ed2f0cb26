mod admin;
mod bench;
mod ca;
mod cert;
mod check;
mod completions;
mod control_plane;
mod deciding;
mod demo;
mod echo;
mod explain;
mod filter;
mod receipt;
mod release;
mod replay;
mod sidecar;
mod status;
mod test;
mod token;
mod wait;

use std::future::Future;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Meshwright: a service mesh whose policies are portable WebAssembly.
///
/// Exit codes: 0 success; 1 the command failed, or `check` found errors, or `cert verify` a reason to refuse, or `demo` had a step that went
/// otherwise than expected; 2 the command line is wrong, or what `filter`, `test`, `replay` or `explain` was given; 3 `explain` found a denial,
/// `test` less coverage than asked for, `replay` a decision that flips; 4 a document is not enforced everywhere yet, 5 and will not be as it is
/// (`wait`, `status DOCUMENT`); 4 `replay` could not decide all. `sidecar … -- COMMAND` ends with COMMAND's code.
#[derive(Debug, Parser)]
#[command(name = "meshwright", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// What to log: error, warn, info, debug, trace, or per-module directives.
    #[arg(long, global = true, env = "MESHWRIGHT_LOG", default_value = "info", value_name = "LEVEL")]
    log_level: String,
    /// The same, in front of the command: behind it, `replay` has a log of its own.
    #[arg(long, hide = true, value_name = "LEVEL", conflicts_with = "log_level")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

impl Arguments {
    pub(crate) fn log_level(&self) -> &str {
        self.log.as_deref().unwrap_or(&self.log_level)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    ControlPlane(control_plane::ControlPlane),
    Sidecar(sidecar::Sidecar),
    Token(token::Token),
    Status(Box<status::Status>),
    Wait(wait::Wait),
    Release(release::Release),
    Ca(ca::Ca),
    Cert(cert::Cert),
    Check(check::Check),
    Explain(Box<explain::Explain>),
    Demo(demo::Demo),
    Echo(echo::Echo),
    Filter(filter::Filter),
    Test(test::Test),
    Bench(bench::Bench),
    Replay(replay::Replay),
    Completions(completions::Completions),
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::ControlPlane(command) => on_all_cores(command.run()),
        Command::Sidecar(command) => on_one_core(command.run()),
        Command::Token(command) => command.run(),
        Command::Status(command) => on_one_core(command.run()),
        Command::Wait(command) => on_one_core(command.run()),
        Command::Release(command) => on_one_core(command.run()),
        Command::Ca(command) => on_one_core(command.run()),
        Command::Cert(command) => on_one_core(command.run()),
        Command::Check(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Demo(command) => on_all_cores(command.run()),
        Command::Echo(command) => on_one_core(command.run()),
        Command::Filter(command) => Ok(command.run()),
        Command::Test(command) => Ok(command.run()),
        Command::Bench(command) => command.run(),
        Command::Replay(command) => Ok(command.run()),
        Command::Completions(command) => Ok(command.run()),
    }
}

fn on_all_cores(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime does not start")?.block_on(work)
}

/// For what runs beside every workload: one thread is less memory.
fn on_one_core(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime does not start")?.block_on(work)
}

/// What a command was given is wrong: as for a wrong command line.
const BAD_INPUT: u8 = 2;

/// Completes on SIGTERM or SIGINT.
fn termination() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
