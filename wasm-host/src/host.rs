//! A loaded module: compiled, checked and linked once, started any number of times.

use std::fmt;
use std::sync::{Arc, OnceLock};

use wasmtime::{InstancePre, Linker, Module};

use crate::abi::AbiVersion;
use crate::callbacks;
use crate::engine::{Engine, Runtime};
use crate::error::LoadError;
use crate::exports::Exports;
use crate::plugin::Plugin;
use crate::state::State;

/// A proxy-wasm module, ready to be started. Cheap to clone.
///
/// ```
/// # let wasm = wat::parse_file("doc/tour.wat")?;
/// use meshwright_wasm_host::{AbiVersion, Host, Request};
///
/// let host = Host::load(&wasm)?;
/// assert_eq!(host.abi_version(), AbiVersion::V0_2_1);
/// assert_eq!(host.plugin("", "").request(Request::get("/admin")).run()?.status(), Some(403));
///
/// assert!(Host::load(b"#!/bin/sh").unwrap_err().to_string().starts_with("not a valid WebAssembly module: "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Host(Arc<Loaded>);

struct Loaded {
    engine: Engine,
    abi: AbiVersion,
    linked: Linked,
    /// For VMs that find no place in the pool.
    outside: OnceLock<Linked>,
}

/// A module on one of the engine's two kinds of memory.
pub(crate) struct Linked {
    module: Module,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) instance: InstancePre<State>,
    pub(crate) exports: Arc<Exports>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("abi", &self.0.abi).finish_non_exhaustive()
    }
}

impl Host {
    /// Compiles and links a module, on an engine of its own.
    ///
    /// # Errors
    /// When Envoy would refuse the module too: it is not valid, its ABI version is unknown, it imports what this version does not have.
    pub fn load(wasm: &[u8]) -> Result<Self, LoadError> {
        Self::load_on(&Engine::new()?, wasm)
    }

    /// Compiles and links a module on an engine that others use as well.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_on(engine: &Engine, wasm: &[u8]) -> Result<Self, LoadError> {
        let (runtime, module) = engine.compile(wasm)?;
        let abi = callbacks::abi_of(&module)?;
        callbacks::check_exports(&module, abi)?;
        let linked = Linked::new(runtime, module, abi)?;
        Ok(Self(Arc::new(Loaded { engine: engine.clone(), abi, linked, outside: OnceLock::new() })))
    }

    /// The ABI version that the module advertises.
    #[must_use]
    pub fn abi_version(&self) -> AbiVersion {
        self.0.abi
    }

    /// A plugin of this module: what Envoy's `PluginConfig` says.
    #[must_use]
    pub fn plugin(&self, root_id: impl Into<String>, configuration: impl Into<Vec<u8>>) -> Plugin {
        Plugin::new(self.clone(), root_id.into(), configuration.into())
    }

    pub(crate) fn is_metered(&self) -> bool {
        self.0.engine.metered
    }

    pub(crate) fn linked(&self) -> &Linked {
        &self.0.linked
    }

    /// The module with memory of its own for each VM.
    pub(crate) fn outside_the_pool(&self) -> wasmtime::Result<&Linked> {
        let Loaded { engine, abi, linked, outside } = &*self.0;
        if let Some(outside) = outside.get() {
            return Ok(outside);
        }
        let (runtime, module) = engine.outside_the_pool(&linked.module)?;
        let new = Linked::new(runtime, module, *abi)?;
        Ok(outside.get_or_init(|| new))
    }
}

impl Linked {
    fn new(runtime: Arc<Runtime>, module: Module, abi: AbiVersion) -> Result<Self, LoadError> {
        let linker = runtime.linker(abi).map_err(|error| LoadError::Engine(format!("{error:#}")))?;
        let instance = linker.instantiate_pre(&module).map_err(|error| refusal(&module, &linker, abi, &error))?;
        let exports = Arc::new(Exports::of(&module));
        Ok(Self { module, runtime, instance, exports })
    }
}

fn refusal(module: &Module, linker: &Linker<State>, abi: AbiVersion, error: &wasmtime::Error) -> LoadError {
    let mut store = wasmtime::Store::new(linker.engine(), State::new(abi, Arc::default()));
    let missing = module.imports().filter(|import| linker.get(&mut store, import.module(), import.name()).is_err());
    let imports: Vec<String> = missing.map(|import| format!("`{}.{}`", import.module(), import.name())).collect();
    if imports.is_empty() { LoadError::Link(format!("{error:#}")) } else { LoadError::MissingImports { abi, imports } }
}
