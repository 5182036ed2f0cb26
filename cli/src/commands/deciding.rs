//! Who decides, and with which module: what `explain` and `test` are told alike; and where compiled modules are kept.

use std::path::PathBuf;

use meshwright_explain::{Engine, NativeEngine, WasmEngine};

#[derive(Debug, clap::Args)]
pub(crate) struct Deciding {
    /// Who decides: the module, or the library that it is made of.
    #[arg(long, value_enum, default_value = "wasm")]
    engine: EngineName,
    /// The filter module [default: meshwright_filters.wasm beside this binary].
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    #[command(flatten)]
    cache: Cache,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum EngineName {
    /// The filter module, as Envoy runs it.
    Wasm,
    /// The library that it is made of.
    Native,
}

impl Deciding {
    /// Makes engines, all of one compiled module.
    pub(crate) fn engines(&self) -> anyhow::Result<Box<dyn Fn() -> Box<dyn Engine>>> {
        Ok(match self.engine {
            EngineName::Native => Box::new(|| Box::new(NativeEngine)),
            EngineName::Wasm => {
                let module = super::control_plane::module_or_default(self.module.clone())?;
                let engine = match self.cache.folder() {
                    Some(folder) => WasmEngine::from_file_cached(&module, &folder)?,
                    None => WasmEngine::from_file(&module)?,
                };
                Box::new(move || Box::new(engine.clone()))
            }
        })
    }
}

/// Where compiled modules are kept.
#[derive(Debug, clap::Args)]
pub(crate) struct Cache {
    /// Compile the module anew, and do not keep it below $XDG_CACHE_HOME/meshwright.
    #[arg(long)]
    no_cache: bool,
}

impl Cache {
    /// None where it is not wanted, or the environment names no home.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        let below = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let caches = below("XDG_CACHE_HOME").or_else(|| below("HOME").map(|home| home.join(".cache")));
        caches.filter(|_| !self.no_cache).map(|caches| caches.join("meshwright").join("modules"))
    }
}
