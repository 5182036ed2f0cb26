use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::process::{Child, Command};

use crate::envoy::{away_from_the_terminal, terminate};
use crate::options::JOIN_TOKEN_VARIABLE;
use crate::signals::Signals;
use crate::workload_api::{ENDPOINT_VARIABLE, WorkloadApiOptions};

/// Added to a signal's number when a process ends by it, as shells do.
const BY_SIGNAL: i32 = 128;

/// The app that the sidecar runs, if it runs one. Dropping it kills the app.
#[derive(Debug)]
pub(crate) struct App {
    child: Option<Child>,
}

impl App {
    /// Nothing is started when `command` is empty. It is told where the workload API is, if it is served.
    pub(crate) fn start(command: &[OsString], workload_api: Option<&WorkloadApiOptions>) -> anyhow::Result<Self> {
        let Some((program, arguments)) = command.split_first() else { return Ok(Self { child: None }) };
        let mut command = Command::new(program);
        command.args(arguments).env_remove(JOIN_TOKEN_VARIABLE).stdin(Stdio::null()).kill_on_drop(true);
        if let Some(options) = workload_api {
            command.env(ENDPOINT_VARIABLE, options.endpoint()?);
        }
        away_from_the_terminal(&mut command);
        let child = command.spawn().with_context(|| format!("the app `{}` cannot be run", program.display()))?;
        Ok(Self { child: Some(child) })
    }

    /// The code that the app ends with; never, when there is no app. May be dropped and called again.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<u8> {
        match &mut self.child {
            Some(child) => Ok(code(child.wait().await.context("the app cannot be waited for")?)),
            None => std::future::pending().await,
        }
    }

    /// Passes `signal` on and waits, at most `timeout` or until another signal comes; then the app is killed.
    pub(crate) async fn stop(&mut self, signal: Signal, signals: &mut Signals, timeout: Duration) {
        let Some(child) = &mut self.child else { return };
        terminate(child, signal);
        let ended = tokio::select! {
            ended = tokio::time::timeout(timeout, child.wait()) => ended.is_ok(),
            _another = signals.next() => false,
        };
        if !ended {
            tracing::warn!("the app does not end by itself and is killed");
            if let Err(error) = child.kill().await {
                tracing::error!(%error, "the app cannot be killed");
            }
        }
    }

    /// The code that the app ended with after [`App::stop`]; none when there is no app.
    pub(crate) async fn code(&mut self) -> anyhow::Result<Option<u8>> {
        if self.child.is_none() {
            return Ok(None);
        }
        self.ended().await.map(Some)
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(status.signal()?.saturating_add(BY_SIGNAL)));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> App {
        App::start(&["sh".into(), "-c".into(), script.into()], None).unwrap()
    }

    #[tokio::test]
    async fn its_code_is_the_apps_or_128_and_the_signal() {
        assert_eq!(shell("exit 7").ended().await.unwrap(), 7);
        assert_eq!(shell("kill -KILL $$").ended().await.unwrap(), 137);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let error = App::start(&["/nowhere/app".into()], None).unwrap_err();
        assert!(error.to_string().contains("`/nowhere/app`"), "{error}");
    }

    #[tokio::test]
    async fn it_finds_the_workload_api() {
        let options = WorkloadApiOptions { socket: "/run/orders/workload.sock".into(), uids: Vec::new() };
        let script = "test \"$SPIFFE_ENDPOINT_SOCKET\" = unix:///run/orders/workload.sock";
        let mut app = App::start(&["sh".into(), "-c".into(), script.into()], Some(&options)).unwrap();
        assert_eq!(app.ended().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_signal_is_passed_on() {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready");
        let mut app = shell(&format!("trap 'exit 5' USR1; : > {}; while :; do sleep 0.02; done", ready.display()));
        while !ready.exists() {
            tokio::task::yield_now().await;
        }
        let (_sender, mut signals) = Signals::by_hand();
        app.stop(Signal::SIGUSR1, &mut signals, LONG).await;
        assert_eq!(app.ended().await.unwrap(), 5);
    }

    #[tokio::test]
    async fn an_app_that_ignores_the_signal_is_killed_by_the_deadline_or_the_next_signal() {
        for hastened in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let ready = folder.path().join("ready");
            let mut app = shell(&format!("trap '' TERM; : > {}; while :; do sleep 1; done", ready.display()));
            while !ready.exists() {
                tokio::task::yield_now().await;
            }
            let (sender, mut signals) = Signals::by_hand();
            if hastened {
                sender.send(Signal::SIGTERM).await.unwrap();
            }
            let timeout = if hastened { LONG } else { Duration::from_millis(50) };
            app.stop(Signal::SIGTERM, &mut signals, timeout).await;
            assert_eq!(app.ended().await.unwrap(), 137);
        }
    }
}
