//! Reads a module: WebAssembly, or its text form.

use std::path::{Path, PathBuf};

use meshwright_wasm_host::{Engine, Host, LoadError};

/// Why a module cannot be tested.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// The file cannot be read.
    #[error("the module `{file}` cannot be read: {reason}")]
    Unreadable {
        /// Which.
        file: String,
        /// What the system says.
        reason: String,
    },
    /// The text form is wrong.
    #[error("the module `{file}` is not WebAssembly text: {reason}")]
    Text {
        /// Which.
        file: String,
        /// With line and column.
        reason: String,
    },
    /// Envoy would refuse it.
    #[error("the module `{file}` is refused: {error}")]
    Refused {
        /// Which.
        file: String,
        /// Why.
        error: LoadError,
    },
}

/// The bytes of a module: a `.wat` file is assembled, anything else is taken as it is.
///
/// # Errors
/// When it cannot be read or assembled.
pub fn read_module(file: &Path) -> Result<Vec<u8>, ModuleError> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file).map_err(|error| ModuleError::Unreadable { file: name.clone(), reason: error.to_string() })?;
    if file.extension().is_none_or(|extension| extension != "wat") {
        return Ok(bytes);
    }
    wat::parse_bytes(&bytes).map(std::borrow::Cow::into_owned).map_err(|error| ModuleError::Text { file: name, reason: error.to_string() })
}

/// How a module is compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compile {
    /// Count what the guest executes: fuel.
    pub metered: bool,
    /// Keep compiled modules in this folder, which nobody else may write to.
    pub cache: Option<PathBuf>,
}

/// Reads and compiles a module.
///
/// # Errors
/// When it cannot be read, or Envoy would refuse it.
pub fn load_module(file: &Path, compile: &Compile) -> Result<Host, ModuleError> {
    let bytes = read_module(file)?;
    let engine = if compile.metered { Engine::metered() } else { Engine::new() };
    let engine = engine.and_then(|engine| match &compile.cache {
        Some(folder) => engine.cached(folder),
        None => Ok(engine),
    });
    engine
        .and_then(|engine| Host::load_on(&engine, &bytes))
        .map_err(|error| ModuleError::Refused { file: file.display().to_string(), error })
}
