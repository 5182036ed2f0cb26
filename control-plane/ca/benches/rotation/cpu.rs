//! Processor time of threads, by their names: both ends of a connection are one process here, and only one of them is measured.

use std::fs;
use std::time::Duration;

/// Of all living threads whose name begins so.
pub(crate) fn of_threads(name: &str) -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| task.path());
    let ours = tasks.filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.starts_with(name)));
    ours.map(|task| nanoseconds(&fs::read_to_string(task.join("schedstat")).unwrap())).sum()
}

pub(crate) fn of_this_thread() -> Duration {
    nanoseconds(&fs::read_to_string("/proc/thread-self/schedstat").unwrap())
}

/// proc(5): time on the processor, time waiting for one, turns.
fn nanoseconds(schedstat: &str) -> Duration {
    Duration::from_nanos(schedstat.split(' ').next().unwrap().parse().unwrap())
}
