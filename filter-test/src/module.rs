//! Reads a module: WebAssembly, or its text form.

use std::path::Path;

use meshwright_wasm_host::{Host, LoadError};

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

/// Reads and compiles a module.
///
/// # Errors
/// When it cannot be read, or Envoy would refuse it.
pub fn load_module(file: &Path) -> Result<Host, ModuleError> {
    let bytes = read_module(file)?;
    Host::load(&bytes).map_err(|error| ModuleError::Refused { file: file.display().to_string(), error })
}
