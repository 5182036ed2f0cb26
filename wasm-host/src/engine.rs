//! The WebAssembly engine: how modules are compiled, and where their VMs get memory from.

mod cache;
mod runtime;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use wasmtime::Module;

use crate::error::LoadError;

use cache::Cache;
use runtime::Allocation;
pub(crate) use runtime::{Runtime, epochs};

/// Compiles and runs modules. Cheap to clone; one serves any number of hosts in any number of threads.
///
/// A VM takes a place in a pool, which is what makes a fresh VM for every run cheap. When all places are taken, or the module does not fit,
/// it gets memory of its own and nothing else changes.
///
/// ```
/// # let wasm = wat::parse_file("doc/tour.wat")?;
/// use meshwright_wasm_host::{Engine, Host, Request};
///
/// // One engine for every test; a module that it has compiled before is read from the folder.
/// let folder = tempfile::tempdir()?;
/// let engine = Engine::metered()?.cached(folder.path())?;
/// let cost = || -> Result<_, Box<dyn std::error::Error>> {
///     let outcome = Host::load_on(&engine, &wasm)?.plugin("", "").request(Request::get("/")).run()?;
///     Ok(outcome.report.cost.fuel)
/// };
/// assert_eq!(cost()?, cost()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) metered: bool,
    cache: Option<Cache>,
    /// `None` where the machine does not give so many addresses.
    pooled: Option<Arc<Runtime>>,
    /// Made when the pool does not do.
    plain: Arc<OnceLock<Arc<Runtime>>>,
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

    fn of(metered: bool) -> Result<Self, LoadError> {
        let engine =
            Self { metered, cache: None, pooled: Runtime::new(metered, Allocation::Pool).ok().map(Arc::new), plain: Arc::default() };
        if engine.pooled.is_none() {
            engine.plain()?;
        }
        Ok(engine)
    }

    /// Compiles a module for the pool if it fits in there.
    pub(crate) fn compile(&self, wasm: &[u8]) -> Result<(Arc<Runtime>, Module), LoadError> {
        check_header(wasm)?;
        if let Some(pooled) = &self.pooled
            && let Ok(module) = self.compile_for(pooled, wasm)
        {
            return Ok((Arc::clone(pooled), module));
        }
        let plain = self.plain()?;
        let module = self.compile_for(&plain, wasm)?;
        Ok((plain, module))
    }

    /// The module again, with memory of its own for each VM.
    pub(crate) fn outside_the_pool(&self, module: &Module) -> wasmtime::Result<(Arc<Runtime>, Module)> {
        let plain = self.plain()?;
        let again = cache::moved(module, &plain.engine)?;
        Ok((plain, again))
    }

    fn plain(&self) -> Result<Arc<Runtime>, LoadError> {
        if let Some(plain) = self.plain.get() {
            return Ok(Arc::clone(plain));
        }
        // Two threads may both make one; the first is kept.
        let new = Arc::new(Runtime::new(self.metered, Allocation::Each)?);
        Ok(Arc::clone(self.plain.get_or_init(|| new)))
    }

    fn compile_for(&self, runtime: &Runtime, wasm: &[u8]) -> Result<Module, LoadError> {
        let engine = &runtime.engine;
        let compile = || Module::from_binary(engine, wasm).map_err(|error| LoadError::Invalid(format!("{error:#}")));
        match &self.cache {
            Some(cache) => cache.module(engine, wasm, compile),
            None => compile(),
        }
    }
}

/// What is no module at all is said in one line, not in the parser's.
pub(crate) fn check_header(wasm: &[u8]) -> Result<(), LoadError> {
    const MAGIC: &[u8] = b"\0asm";
    /// Layer 1 of the version field (Component Model, binary format).
    const COMPONENT: &[u8] = b"\x0d\0\x01\0";
    let Some(version) = wasm.strip_prefix(MAGIC) else {
        let start = wasm.get(..4).unwrap_or(wasm).escape_ascii();
        return Err(LoadError::Invalid(format!("it begins with `{start}`, not with `\\0asm`")));
    };
    if version.starts_with(COMPONENT) {
        return Err(LoadError::Invalid("it is a component; Envoy takes core modules, such as those for wasm32-wasip1".to_owned()));
    }
    Ok(())
}
