//! The WebAssembly engine: how modules are compiled, and the clock by which a callback that hangs is stopped.

mod cache;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::LoadError;

use cache::Cache;

/// Wall-clock time of one epoch, in which limits are counted.
const EPOCH: Duration = Duration::from_millis(10);

/// Compiles and runs modules. Cheap to clone; one serves any number of hosts in any number of threads.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) inner: wasmtime::Engine,
    pub(crate) metered: bool,
    cache: Option<Cache>,
    _ticker: Arc<Ticker>,
}

impl Engine {
    /// An engine of its own.
    ///
    /// # Errors
    /// When WebAssembly cannot be run on this machine.
    pub fn new() -> Result<Self, LoadError> {
        Self::of(false)
    }

    /// An engine that counts what guests execute: a cost that is the same on every machine. Guests run slower on it.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn metered() -> Result<Self, LoadError> {
        Self::of(true)
    }

    /// Keeps compiled modules in `folder`, by their content and this engine's version. Only its owner may write there, since what is there
    /// is run; it is made if it is missing.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn cached(mut self, folder: impl Into<PathBuf>) -> Result<Self, LoadError> {
        self.cache = Some(Cache::open(folder.into())?);
        Ok(self)
    }

    pub(crate) fn compile(&self, wasm: &[u8]) -> Result<wasmtime::Module, LoadError> {
        let compile = || wasmtime::Module::from_binary(&self.inner, wasm).map_err(|error| LoadError::Invalid(format!("{error:#}")));
        match &self.cache {
            Some(cache) => cache.module(&self.inner, wasm, compile),
            None => compile(),
        }
    }

    fn of(metered: bool) -> Result<Self, LoadError> {
        let mut config = wasmtime::Config::new();
        config.consume_fuel(metered).epoch_interruption(true).wasm_backtrace_max_frames(std::num::NonZeroUsize::new(32));
        let inner = wasmtime::Engine::new(&config).map_err(|error| LoadError::Engine(format!("{error:#}")))?;
        let ticker = Ticker::start(&inner).map_err(|error| LoadError::Engine(error.to_string()))?;
        Ok(Self { inner, metered, cache: None, _ticker: Arc::new(ticker) })
    }
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
