//! A loaded module: compiled, checked and linked once, started any number of times.

use std::fmt;
use std::sync::Arc;

use wasmtime::{InstancePre, Linker, Module};

use crate::abi::AbiVersion;
use crate::callbacks;
use crate::engine::Engine;
use crate::error::LoadError;
use crate::plugin::Plugin;
use crate::state::State;
use crate::{hostcalls, wasi};

/// A proxy-wasm module, ready to be started. Cheap to clone.
#[derive(Clone)]
pub struct Host(Arc<Loaded>);

struct Loaded {
    engine: Engine,
    abi: AbiVersion,
    instance: InstancePre<State>,
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
        let module = engine.compile(wasm)?;
        let abi = callbacks::abi_of(&module)?;
        callbacks::check_exports(&module, abi)?;
        let linker = linker(engine, abi).map_err(|error| LoadError::Engine(format!("{error:#}")))?;
        check_imports(&module, &linker, abi)?;
        let instance = linker.instantiate_pre(&module).map_err(|error| LoadError::Link(format!("{error:#}")))?;
        Ok(Self(Arc::new(Loaded { engine: engine.clone(), abi, instance })))
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

    pub(crate) fn engine(&self) -> &wasmtime::Engine {
        &self.0.engine.inner
    }

    pub(crate) fn is_metered(&self) -> bool {
        self.0.engine.metered
    }

    pub(crate) fn instance(&self) -> &InstancePre<State> {
        &self.0.instance
    }
}

fn linker(engine: &Engine, abi: AbiVersion) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(&engine.inner);
    hostcalls::link(&mut linker, abi)?;
    wasi::link(&mut linker)?;
    Ok(linker)
}

fn check_imports(module: &Module, linker: &Linker<State>, abi: AbiVersion) -> Result<(), LoadError> {
    let mut store = wasmtime::Store::new(linker.engine(), State::new(abi, Arc::default()));
    let missing = module.imports().filter(|import| linker.get(&mut store, import.module(), import.name()).is_err());
    let imports: Vec<String> = missing.map(|import| format!("`{}.{}`", import.module(), import.name())).collect();
    if imports.is_empty() { Ok(()) } else { Err(LoadError::MissingImports { abi, imports }) }
}
