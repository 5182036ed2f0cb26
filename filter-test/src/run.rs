//! Runs scenarios: each in a fresh VM, several at a time.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use meshwright_wasm_host::{Host, StartError};
use serde_json::Value;

use crate::answer::Ran;
use crate::build::Input;
use crate::check;
use crate::failure::{Failure, diff};
use crate::scenario::Scenario;

/// What came of one scenario.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CaseResult {
    /// [`Scenario::name`]
    pub name: String,
    /// Empty when it passed.
    pub failures: Vec<Failure>,
    /// Wall-clock time.
    pub duration: Duration,
    /// Whether `update` wrote a snapshot that was missing or different.
    pub snapshot_written: bool,
    /// Why it was not compared with Envoy.
    pub skipped: Option<String>,
}

impl CaseResult {
    /// Whether all was as expected.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

impl Scenario {
    /// Runs it, and says everything that happened as one JSON value.
    #[must_use]
    pub fn answer(&self, host: &Host) -> Value {
        self.drive(host).to_json()
    }

    /// Runs it and compares. With `update`, its snapshot is written instead of compared.
    #[must_use]
    pub fn run(&self, host: &Host, update: bool) -> CaseResult {
        let start = Instant::now();
        let ran = self.drive(host);
        let mut failures = check::failures(&self.expected, &ran);
        let mut snapshot_written = false;
        if let Some(file) = &self.snapshot {
            let found = format!("{:#}\n", ran.to_snapshot());
            let known = std::fs::read_to_string(file);
            let path = format!("expect.snapshot {}", file.display());
            match known {
                Ok(known) if known == found => {}
                _ if update => match write(file, &found) {
                    Ok(()) => snapshot_written = true,
                    Err(error) => failures.push(Failure::new(path, "a file that can be written", error.to_string())),
                },
                Ok(known) => {
                    let diff = Some(diff(&known, &found));
                    failures.push(Failure { diff, ..Failure::new(path, "the snapshot", "another outcome; `--update` accepts it") });
                }
                Err(error) => {
                    failures.push(Failure::new(path, "a snapshot", format!("{error}; `--update` writes it")));
                }
            }
        }
        CaseResult { name: self.name(), failures, duration: start.elapsed(), snapshot_written, skipped: None }
    }

    fn drive(&self, host: &Host) -> Ran {
        let plugin = self.setup.plugin(host);
        let ran = match &self.input {
            Input::Request(request) => plugin.request(request.as_ref().clone()).run().map(|outcome| Ran::Http(Box::new(outcome))),
            Input::Tcp(connection) => plugin.tcp(connection.clone()).run().map(|outcome| Ran::Tcp(Box::new(outcome))),
            Input::Log(stream) => plugin.log(stream.clone()).run().map(|report| Ran::Log(Box::new(report))),
        };
        ran.unwrap_or_else(|error| refused(&error))
    }
}

fn refused(error: &StartError) -> Ran {
    Ran::Refused(error.to_string(), Box::new(error.report().cloned().unwrap_or_default()))
}

fn write(file: &std::path::Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, text)
}

/// Runs all scenarios on as many threads as there are cores. `progress` is told how many are done, from any thread.
#[must_use]
pub fn run_all(host: &Host, scenarios: &[Scenario], update: bool, progress: &(dyn Fn(usize) + Sync)) -> Vec<CaseResult> {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(scenarios.len());
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results = Mutex::new(Vec::with_capacity(scenarios.len()));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(scenario) = scenarios.get(index) else { return };
            let result = scenario.run(host, update);
            results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, result));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
