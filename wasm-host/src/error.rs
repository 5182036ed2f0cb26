//! Why a module cannot be loaded or a plugin cannot be started. What goes wrong later is part of an outcome, not an error.

use crate::report::Report;

/// Why a module cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Not WebAssembly, or not valid.
    #[error("not a valid WebAssembly module: {0}")]
    Invalid(String),
    /// No marker function is exported.
    #[error("the module exports no ABI version that is known; it must export one of {known}")]
    UnknownAbi {
        /// The markers that are known.
        known: String,
    },
    /// The host cannot answer a call that returns bytes.
    #[error("the module exports neither `malloc` nor `proxy_on_memory_allocate`, so nothing can be returned to it")]
    NoAllocator,
    /// An export has another type than the ABI says.
    #[error("export `{export}` has type {found}, the ABI says {expected}")]
    ExportType {
        /// Its name.
        export: String,
        /// Its type.
        found: String,
        /// The type it must have.
        expected: String,
    },
    /// Imports that this ABI version's host does not have.
    #[error("the module imports what a host of ABI {abi} does not have: {}", imports.join(", "))]
    MissingImports {
        /// The module's ABI version.
        abi: crate::AbiVersion,
        /// Each as `module.name`.
        imports: Vec<String>,
    },
    /// An import's type is not the host function's.
    #[error("the module cannot be linked: {0}")]
    Link(String),
    /// Compiled modules cannot be kept there.
    #[error("the cache `{}` cannot be used: {reason}", folder.display())]
    Cache {
        /// Which folder.
        folder: std::path::PathBuf,
        /// Why.
        reason: String,
    },
    /// The host itself cannot run WebAssembly here.
    #[error("the WebAssembly engine cannot be started: {0}")]
    Engine(String),
}

/// Why a plugin does not start. Envoy refuses its configuration then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The module cannot be instantiated within the limits.
    #[error("the module cannot be instantiated: {0}")]
    Instantiate(String),
    /// A callback trapped.
    #[error("{}", .0.trap_text())]
    Trapped(Box<Report>),
    /// `proxy_on_vm_start` returned false.
    #[error("the module refused to start: `proxy_on_vm_start` returned false{}", .0.last_error())]
    VmStartRefused(Box<Report>),
    /// `proxy_on_configure` returned false.
    #[error("the plugin's configuration is refused: `proxy_on_configure` returned false{}", .0.last_error())]
    ConfigureRefused(Box<Report>),
}

impl StartError {
    /// What the module did before.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        match self {
            Self::Instantiate(_) => None,
            Self::Trapped(report) | Self::VmStartRefused(report) | Self::ConfigureRefused(report) => Some(report),
        }
    }
}
