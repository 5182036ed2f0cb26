use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::task::JoinSet;

use crate::admin::Admin;
use crate::app::App;
use crate::drain::drain;
use crate::envoy::Envoy;
use crate::envoy_binary::EnvoyBinary;
use crate::options::SidecarOptions;
use crate::output::{AccessLog, Output, Queue, Tail};
use crate::ports;
use crate::readiness::{self, Expected, Listener};
use crate::run::Ended;
use crate::signals::Signals;
use crate::state_dir::StateDir;
use crate::unknown_keys::UnknownKeys;

/// Records waiting for the disk: a second of them at a rate that one core reaches.
const RECORDS: usize = 32 * 1024;
/// Lines waiting for whoever reads the sidecar's own output.
const CONSOLE: usize = 4 * 1024;
const WRITE_THE_REST: Duration = Duration::from_secs(2);

/// The work beside the proxy: certificates, the SDS socket. None of it ends while all is well.
pub(crate) type Tasks = JoinSet<anyhow::Result<()>>;

/// Why the proxy is to be ended.
enum Cause {
    Signal(Signal),
    App(u8),
}

/// Runs Envoy and the app until a signal or the app's own end; ends both, the proxy drained first.
pub(crate) async fn supervise(
    options: &SidecarOptions,
    state: &StateDir,
    binary: &EnvoyBinary,
    bootstrap: &Path,
    tasks: &mut Tasks,
    unknown_keys: UnknownKeys,
    signals: &mut Signals,
) -> anyhow::Result<Ended> {
    let output = output(state, unknown_keys)?;
    let mut envoy = Envoy::start(binary, bootstrap, options, &output)?;
    let admin = Admin::new(state.admin_socket());
    let ended = serve(options, &admin, &mut envoy, tasks, signals).await;
    envoy.stop(signals).await;
    let Output { records, console, tail: _, unknown_keys: _ } = output;
    if records.dropped() > 0 {
        tracing::warn!(dropped = records.dropped(), "access log records were dropped");
    }
    records.finish(WRITE_THE_REST).await;
    console.finish(WRITE_THE_REST).await;
    ended
}

fn output(state: &StateDir, unknown_keys: UnknownKeys) -> anyhow::Result<Output> {
    let path = state.access_log();
    let mut log = AccessLog::open(&path, AccessLog::LIMIT, AccessLog::KEPT)
        .with_context(|| format!("the access log `{}` cannot be written", path.display()))?;
    let records = Queue::start("the access log", RECORDS, move |lines| log.append(lines))?;
    let console = Queue::start("Envoy's output", CONSOLE, |lines| std::io::stderr().write_all(lines))?;
    Ok(Output { records, console, tail: Tail::default(), unknown_keys })
}

async fn serve(
    options: &SidecarOptions,
    admin: &Admin,
    envoy: &mut Envoy,
    tasks: &mut Tasks,
    signals: &mut Signals,
) -> anyhow::Result<Ended> {
    let expected: Vec<Expected> =
        ports::own_addresses(options).into_iter().map(|(address, what, _option)| Expected { address, what }).collect();
    let listeners = tokio::select! {
        ready = readiness::wait(admin, &expected, options.startup_timeout) => match ready {
            Ok(listeners) => listeners,
            Err(why) => anyhow::bail!("{why}; Envoy's last words:{}", envoy.last_words()),
        },
        status = envoy.ended() => return Err(envoy.unexpected_end(status).await),
        ended = tasks.join_next() => return Err(early_end(ended)),
        _signal = signals.next() => return Ok(Ended::Stopped),
    };
    tracing::info!("sidecar ready listeners={}", shown(&listeners));
    let mut app = App::start(&options.command, options.workload_api.as_ref())?;
    match until_the_end(&mut app, envoy, tasks, signals).await {
        Ok(Cause::App(code)) => {
            tracing::info!(code, "the app ended; draining");
            drain_unless_hastened(options, admin, envoy, signals).await;
            Ok(Ended::App(code))
        }
        Ok(Cause::Signal(signal)) => {
            tracing::info!(%signal, "draining");
            drain_unless_hastened(options, admin, envoy, signals).await;
            // After the drain: until now there may have been requests for the app to answer.
            app.stop(signal, signals, options.drain_timeout).await;
            app.code().await.map(|code| code.map_or(Ended::Stopped, Ended::App))
        }
        Err(error) => {
            tracing::error!("the proxy is gone; ending the app");
            app.stop(Signal::SIGTERM, signals, options.drain_timeout).await;
            Err(error)
        }
    }
}

async fn until_the_end(app: &mut App, envoy: &mut Envoy, tasks: &mut Tasks, signals: &mut Signals) -> anyhow::Result<Cause> {
    tokio::select! {
        code = app.ended() => Ok(Cause::App(code?)),
        status = envoy.ended() => Err(envoy.unexpected_end(status).await),
        ended = tasks.join_next() => Err(early_end(ended)),
        signal = signals.next() => Ok(Cause::Signal(signal)),
    }
}

async fn drain_unless_hastened(options: &SidecarOptions, admin: &Admin, envoy: &mut Envoy, signals: &mut Signals) {
    tokio::select! {
        () = drain(admin, options.drain_timeout) => {}
        _ended = envoy.ended() => {}
        signal = signals.next() => tracing::warn!(%signal, "again: not waiting for running requests"),
    }
}

fn early_end(ended: Option<Result<anyhow::Result<()>, tokio::task::JoinError>>) -> anyhow::Error {
    match ended {
        Some(Ok(Err(error))) => error,
        Some(Err(error)) => anyhow::Error::new(error).context("a part of the sidecar failed"),
        Some(Ok(Ok(()))) | None => anyhow::anyhow!("a part of the sidecar ended early"),
    }
}

/// `inbound|8080@127.0.0.2:8080,outbound@127.0.0.1:15001`.
fn shown(listeners: &[Listener]) -> String {
    let each: Vec<String> = listeners.iter().map(|Listener { name, address }| format!("{name}@{address}")).collect();
    each.join(",")
}

#[cfg(test)]
mod tests;
