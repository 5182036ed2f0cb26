//! What the kernel says of a process, and on which core it runs.

use std::time::Duration;

use anyhow::Context as _;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// A process at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all its threads, since it began.
    pub cpu: Duration,
    pub resident_bytes: u64,
    /// The most that it ever had.
    pub peak_bytes: u64,
}

/// # Errors
/// When there is no such process.
pub fn usage(process: u32) -> anyhow::Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).with_context(|| format!("process {process} is gone"))?;
    // The name, in parentheses, may hold anything; state is the first field after it, utime the twelfth.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    let per_second = sysconf(SysconfVar::CLK_TCK)?.and_then(|ticks| u64::try_from(ticks).ok()).filter(|ticks| *ticks > 0).unwrap_or(100);
    let milliseconds = ticks(11).saturating_add(ticks(12)).saturating_mul(1000).checked_div(per_second).unwrap_or_default();
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let kilobytes = |key: &str| -> u64 {
        let value = status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok());
        value.unwrap_or_default()
    };
    Ok(Usage {
        cpu: Duration::from_millis(milliseconds),
        resident_bytes: kilobytes("VmRSS:").saturating_mul(1024),
        peak_bytes: kilobytes("VmHWM:").saturating_mul(1024),
    })
}

/// This process and those that it starts from now on.
///
/// # Errors
/// When there is no such core.
pub fn pin_to(cores: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("cores {cores:?} cannot be chosen"))
}
