use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use meshwright_envoy_config::allocator;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::envoy_binary::EnvoyBinary;
use crate::options::{JOIN_TOKEN_VARIABLE, SidecarOptions};
use crate::output::{LOG_FORMAT, Output, Tail};
use crate::signals::Signals;

/// How long Envoy may take to end by itself after a SIGTERM, its connections being drained already.
const END: Duration = Duration::from_secs(5);
/// How long the rest of an ended process's output may take.
const REST: Duration = Duration::from_secs(1);

/// A running Envoy. Dropping it kills Envoy; killing the sidecar itself (SIGKILL) leaves Envoy serving, with the certificate that it has.
#[derive(Debug)]
pub(crate) struct Envoy {
    child: Child,
    tail: Tail,
    readers: JoinSet<()>,
}

impl Envoy {
    /// Starts Envoy with the bootstrap in `bootstrap`.
    pub(crate) fn start(binary: &EnvoyBinary, bootstrap: &Path, options: &SidecarOptions, output: &Output) -> anyhow::Result<Self> {
        let mut command = Command::new(&binary.path);
        command
            .arg("--config-path")
            .arg(bootstrap)
            .args(arguments(options))
            .env_remove(JOIN_TOKEN_VARIABLE)
            .env(allocator::ENVIRONMENT.0, allocator::environment(std::env::var(allocator::ENVIRONMENT.0).ok().as_deref()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        away_from_the_terminal(&mut command);
        let mut child = command.spawn().with_context(|| format!("`{}` cannot be run", binary.path.display()))?;
        let mut readers = JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            readers.spawn(output.clone().follow(stdout));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.spawn(output.clone().follow(stderr));
        }
        Ok(Self { child, tail: output.tail.clone(), readers })
    }

    /// Waits for Envoy to end. May be dropped and called again.
    pub(crate) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// What to say of an end that nobody asked for.
    pub(crate) async fn unexpected_end(&mut self, status: std::io::Result<ExitStatus>) -> anyhow::Error {
        self.read_the_rest().await;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        anyhow::anyhow!("Envoy ended by itself ({status}); its last words:{}", self.tail.shown())
    }

    /// The last lines of its log.
    pub(crate) fn last_words(&self) -> String {
        self.tail.shown()
    }

    /// Asks Envoy to end, and kills it when it does not or when another signal comes.
    pub(crate) async fn stop(mut self, signals: &mut Signals) {
        terminate(&self.child, Signal::SIGTERM);
        let ended = tokio::select! {
            ended = tokio::time::timeout(END, self.child.wait()) => ended.is_ok(),
            _another = signals.next() => false,
        };
        if !ended {
            tracing::warn!("Envoy does not end by itself and is killed");
            if let Err(error) = self.child.kill().await {
                tracing::error!(%error, "Envoy cannot be killed");
            }
        }
        self.read_the_rest().await;
    }

    /// Its pipes close with it, unless it left a child behind that holds them.
    async fn read_the_rest(&mut self) {
        let all = async { while self.readers.join_next().await.is_some() {} };
        let _open = tokio::time::timeout(REST, all).await;
        self.readers.abort_all();
    }
}

/// Everything of Envoy's command line but the bootstrap.
fn arguments(options: &SidecarOptions) -> Vec<String> {
    let drain = options.drain_timeout.as_secs().max(1).to_string();
    let concurrency = options.concurrency.to_string();
    [
        "--disable-hot-restart",
        "--concurrency",
        &concurrency,
        "--log-level",
        &options.envoy_log_level,
        // The access log is what a filter logs at this level, whatever else the operator wants to see.
        "--component-log-level",
        "wasm:info",
        "--log-format",
        LOG_FORMAT,
        // Tell peers at their next response, not with a probability that grows over the drain time.
        "--drain-strategy",
        "immediate",
        "--drain-time-s",
        &drain,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Ctrl-C reaches every process of the terminal's foreground group at once; who is to end after a drain must not be in it. Elsewhere the
/// group stays shared, so that whoever started the sidecar can end all of it.
pub(crate) fn away_from_the_terminal(command: &mut Command) {
    use std::io::IsTerminal as _;
    if std::io::stdin().is_terminal() {
        command.process_group(0);
    }
}

/// Sends a signal, unless the process is gone.
pub(crate) fn terminate(child: &Child, signal: Signal) {
    let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) else { return };
    if let Err(error) = kill(Pid::from_raw(id), signal) {
        tracing::warn!(%error, %signal, id, "a process cannot be signalled");
    }
}
