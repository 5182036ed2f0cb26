//! One Envoy process: its start, its listeners, its log, its end.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use meshwright_wasm_host::LogLevel;
use serde_json::Value;

use crate::case::Exchange;
use crate::client;
use crate::config::SENTINEL;
use crate::error::EnvoyError;
use crate::http1::Pace;
use crate::log;

const START: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// An Envoy that is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    listeners: BTreeMap<String, SocketAddr>,
}

impl Process {
    /// Starts Envoy and waits until all its listeners can be connected to.
    pub(crate) fn start(binary: &Path, bootstrap: &Value, folder: &Path, level: LogLevel) -> Result<Self, EnvoyError> {
        let (config, log, admin) = (folder.join("envoy.json"), folder.join("envoy.log"), folder.join("admin"));
        std::fs::write(&config, bootstrap.to_string()).map_err(EnvoyError::io("Envoy's configuration cannot be written"))?;
        let file = File::create(&log).map_err(EnvoyError::io("Envoy's log cannot be made"))?;
        let mut command = Command::new(binary);
        command.arg("-c").arg(&config).arg("--admin-address-path").arg(&admin);
        command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "error", "--log-format", log::FORMAT]);
        command.args(["--component-log-level", &format!("wasm:{}", level_name(level))]);
        let output = file.try_clone().map_err(EnvoyError::io("Envoy's log cannot be made"))?;
        command.stdin(Stdio::null()).stdout(output).stderr(file);
        let child = command.spawn().map_err(|source| EnvoyError::NotRun { path: binary.display().to_string(), source })?;
        let mut process = Self { child, log, listeners: BTreeMap::new() };
        process.listeners = process.wait_for_listeners(&admin)?;
        Ok(process)
    }

    pub(crate) fn listener(&self, name: &str) -> Option<SocketAddr> {
        self.listeners.get(name).copied()
    }

    /// The id of the main thread is the process's.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_dead(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until the worker has done what it had to do: twice round a listener of its own. Then everything is in the log.
    pub(crate) fn settle(&self) -> Result<(), EnvoyError> {
        let Some(address) = self.listener(SENTINEL) else { return Ok(()) };
        for _ in 0..2 {
            client::play(address, None, &Exchange::default(), ANSWER, Pace(Duration::ZERO))?;
        }
        Ok(())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn wait_for_listeners(&mut self, admin: &Path) -> Result<BTreeMap<String, SocketAddr>, EnvoyError> {
        let until = Instant::now() + START;
        loop {
            if self.is_dead() {
                return Err(EnvoyError::NotStarted(log::last_words(&self.log())));
            }
            let address = std::fs::read_to_string(admin).ok().and_then(|text| text.trim().parse().ok());
            if let Some(found) = address.and_then(listeners) {
                return Ok(found);
            }
            if Instant::now() > until {
                return Err(EnvoyError::NotStarted(format!("not ready after {START:?}: {}", log::last_words(&self.log()))));
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the admin interface says of listeners, once the server is live.
fn listeners(admin: SocketAddr) -> Option<BTreeMap<String, SocketAddr>> {
    let get = |path: &str| {
        let headers = [(":method", "GET"), (":path", path), (":authority", "admin"), ("connection", "close")].into_iter().collect();
        let exchange = Exchange { headers, ..Exchange::default() };
        client::play(admin, None, &exchange, ANSWER, Pace(Duration::ZERO)).ok()?.client.filter(|answer| answer.status() == Some(200))
    };
    get("/ready")?;
    let answer: Value = serde_json::from_slice(&get("/listeners?format=json")?.body).ok()?;
    let listeners = answer.get("listener_statuses")?.as_array()?.iter().filter_map(|status| {
        let name = status.get("name")?.as_str()?;
        let address = status.pointer("/local_address/socket_address")?;
        let port = u16::try_from(address.get("port_value")?.as_u64()?).ok()?;
        Some((name.to_owned(), SocketAddr::new(address.get("address")?.as_str()?.parse().ok()?, port)))
    });
    Some(listeners.collect())
}

const fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warning",
        LogLevel::Error => "error",
        LogLevel::Critical => "critical",
    }
}
