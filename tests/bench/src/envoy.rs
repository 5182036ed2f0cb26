//! An Envoy with one worker on a core of its own, and what the kernel knows of it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use meshwright_demo::launcher::{Process, STARTUP};
use meshwright_envoy_config::allocator;
use tokio::net::{TcpStream, UnixStream};
use tokio::process::Command;

use crate::bootstrap::{Content, bootstrap};

/// The worker has this core for itself; the load has the other.
const ENVOY_CORE: usize = 0;
/// Envoy's name for the thread of its first worker.
const WORKER: &str = "wrk:worker_0";

/// A running Envoy.
#[derive(Debug)]
pub(crate) struct Envoy {
    address: SocketAddr,
    admin: PathBuf,
    process: Process,
}

/// In megabytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) resident: f64,
    /// What is the process's own; the rest is parts of Envoy's file, which processes share.
    pub(crate) anonymous: f64,
}

impl Envoy {
    pub(crate) async fn start(binary: &Path, name: &str, content: &Content, home: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(home)?;
        let address = free_address()?;
        let (file, admin) = (home.join("envoy.json"), home.join("admin"));
        std::fs::write(&file, bootstrap(content, address.port(), &admin).to_string())?;
        let mut command = Command::new("taskset");
        // As a sidecar starts it.
        command.env(allocator::ENVIRONMENT.0, allocator::environment(None));
        command.args(["-c", &ENVOY_CORE.to_string()]).arg(binary).arg("-c").arg(&file);
        command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "info"]);
        let mut process = Process::start(name, &mut command, &home.join("envoy.log")).await?;
        process.line_with("starting main dispatch loop", STARTUP).await?;
        process.line_with("all dependencies initialized. starting workers", STARTUP).await?;
        tokio::time::timeout(STARTUP, listening(address)).await.context("nobody listens")?;
        Ok(Self { address, admin, process })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What all its threads have run so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut sum = Duration::ZERO;
        for thread in self.threads()? {
            sum = sum.saturating_add(run_time(&thread)?);
        }
        Ok(sum)
    }

    /// What its worker has run so far.
    pub(crate) fn worker_cpu(&self) -> anyhow::Result<Duration> {
        for thread in self.threads()? {
            if std::fs::read_to_string(thread.join("comm"))?.trim() == WORKER {
                return run_time(&thread);
            }
        }
        anyhow::bail!("Envoy has no thread `{WORKER}`")
    }

    /// Its memory now.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let status = std::fs::read_to_string(self.proc()?.join("status"))?;
        let megabytes = |key: &str| -> anyhow::Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).with_context(|| format!("a process has {key}"))?;
            let kilobytes: u32 = line.trim().trim_end_matches(" kB").parse()?;
            Ok(f64::from(kilobytes) / 1024.0)
        };
        Ok(Memory { resident: megabytes("VmRSS:")?, anonymous: megabytes("RssAnon:")? })
    }

    /// One counter or gauge of the admin interface, which only the main thread serves.
    pub(crate) async fn stat(&self, name: &str) -> anyhow::Result<u64> {
        let stream = UnixStream::connect(&self.admin).await?;
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(driver);
        let request = Request::get(format!("/stats?filter=^{name}$")).header("host", "admin").body(Empty::<Bytes>::new())?;
        let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
        drop(sender);
        driver.await??;
        let text = String::from_utf8_lossy(&body);
        let (_, value) = text.trim().rsplit_once(": ").with_context(|| format!("Envoy has no statistic `{name}`"))?;
        Ok(value.parse()?)
    }

    fn proc(&self) -> anyhow::Result<PathBuf> {
        Ok(PathBuf::from(format!("/proc/{}", self.process.id().context("Envoy has ended")?)))
    }

    fn threads(&self) -> anyhow::Result<Vec<PathBuf>> {
        let threads = std::fs::read_dir(self.proc()?.join("task"))?;
        threads.map(|thread| Ok(thread?.path())).collect()
    }
}

/// A worker listens a little after it was started, which Envoy does not tell.
async fn listening(address: SocketAddr) {
    while TcpStream::connect(address).await.is_err() {
        tokio::task::yield_now().await;
    }
}

/// The first number of a thread's `schedstat`: nanoseconds on a processor.
fn run_time(thread: &Path) -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string(thread.join("schedstat"))?;
    let nanoseconds = text.split(' ').next().context("a schedstat has three numbers")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// `1.40.0`.
pub(crate) fn version(binary: &Path) -> anyhow::Result<String> {
    let output = std::process::Command::new(binary).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split('/').nth_back(3).unwrap_or("unknown").to_owned())
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
