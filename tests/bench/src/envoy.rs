//! An Envoy with one worker on a core of its own, and the CPU time it has used.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use meshwright_demo::launcher::{Process, STARTUP};
use nix::unistd::{SysconfVar, sysconf};
use tokio::process::Command;

use crate::cases::{self, Case};
use crate::load::to_f64;

/// A running Envoy.
#[derive(Debug)]
pub(crate) struct Envoy {
    address: SocketAddr,
    process: Process,
}

impl Envoy {
    pub(crate) async fn start(binary: &Path, case: &Case, home: &Path, core: usize) -> anyhow::Result<Self> {
        std::fs::create_dir_all(home)?;
        let address = free_address()?;
        let bootstrap = home.join("envoy.json");
        std::fs::write(&bootstrap, cases::bootstrap(case, address.port(), &home.join("admin")).to_string())?;
        let mut command = Command::new("taskset");
        command.args(["-c", &core.to_string()]).arg(binary).arg("-c").arg(&bootstrap);
        command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "info"]);
        let mut process = Process::start(case.name, &mut command, &home.join("envoy.log")).await?;
        process.line_with("starting main dispatch loop", STARTUP).await?;
        process.line_with("all dependencies initialized. starting workers", STARTUP).await?;
        Ok(Self { address, process })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// User and system time of all its threads so far (`proc_pid_stat(5)`, fields 14 and 15).
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let id = self.process.id().context("Envoy has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        let (_, fields) = stat.rsplit_once(')').context("not a stat line")?;
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap_or(0)).sum();
        let per_second = sysconf(SysconfVar::CLK_TCK)?.and_then(|ticks| u64::try_from(ticks).ok()).context("no clock tick")?;
        Ok(Duration::from_secs_f64(to_f64(ticks) / to_f64(per_second)))
    }
}

pub(crate) async fn version(binary: &Path) -> anyhow::Result<String> {
    let output = Command::new(binary).arg("--version").output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split('/').nth_back(3).unwrap_or("unknown").to_owned())
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
