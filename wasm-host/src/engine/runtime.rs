//! One wasmtime engine: how it allocates instances, the clock by which a callback that hangs is stopped, and the host functions.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, Linker, PoolingAllocationConfig};

use crate::abi::AbiVersion;
use crate::error::LoadError;
use crate::state::State;
use crate::{hostcalls, wasi};

/// Wall-clock time of one epoch, in which limits are counted.
const EPOCH: Duration = Duration::from_millis(10);

/// VMs of one engine that live at a time in the pool. Each reserves 4 GiB of addresses, and a process has 128 TiB: tests that make an engine
/// each must fit.
const SLOTS: u32 = 32;
/// What of a VM's memory is made zero by hand when it ends, so that the next one in its place needs no new pages.
const RESIDENT: usize = 1 << 20;
/// As many as any module can have, see `State::new`.
const TABLE_ELEMENTS: usize = 1 << 20;

/// Where instances get their memory from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allocation {
    /// From places that are kept and used again: quick, but few.
    Pool,
    /// From the system, each anew.
    Each,
}

pub(crate) struct Runtime {
    pub(crate) engine: wasmtime::Engine,
    /// Made when the first module of its ABI version is loaded.
    linkers: Mutex<Vec<(AbiVersion, Linker<State>)>>,
    _ticker: Ticker,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

impl Runtime {
    pub(super) fn new(metered: bool, allocation: Allocation) -> Result<Self, LoadError> {
        let mut config = Config::new();
        config.consume_fuel(metered).epoch_interruption(true).wasm_backtrace_max_frames(std::num::NonZeroUsize::new(32));
        if allocation == Allocation::Pool {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
        }
        let engine = wasmtime::Engine::new(&config).map_err(|error| LoadError::Engine(format!("{error:#}")))?;
        let ticker = Ticker::start(&engine).map_err(|error| LoadError::Engine(error.to_string()))?;
        Ok(Self { engine, linkers: Mutex::default(), _ticker: ticker })
    }

    /// The host functions of an ABI version.
    pub(crate) fn linker(&self, abi: AbiVersion) -> wasmtime::Result<Linker<State>> {
        let mut linkers = self.linkers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, linker)) = linkers.iter().find(|(version, _)| *version == abi) {
            return Ok(linker.clone());
        }
        let mut linker = Linker::new(&self.engine);
        hostcalls::link(&mut linker, abi)?;
        wasi::link(&mut linker)?;
        linkers.push((abi, linker.clone()));
        Ok(linker)
    }
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_core_instances(SLOTS).total_memories(SLOTS).total_tables(4 * SLOTS).max_tables_per_module(4);
    pool.table_elements(TABLE_ELEMENTS).linear_memory_keep_resident(RESIDENT).table_keep_resident(RESIDENT).pagemap_scan(Enabled::Auto);
    pool
}

/// How many epochs make at least `time`.
pub(crate) fn epochs(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / EPOCH.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

#[derive(Debug)]
struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: &wasmtime::Engine) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let engine = engine.weak();
        let tick = move || {
            while stopped.recv_timeout(EPOCH) == Err(RecvTimeoutError::Timeout) {
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        };
        let thread = std::thread::Builder::new().name("wasm-epochs".to_owned()).spawn(tick)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and nothing is to be done about it if it did.
            let _ = thread.join();
        }
    }
}
