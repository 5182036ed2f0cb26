//! Why nothing could be observed. That Envoy crashes is an observation.

/// Why a run came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvoyError {
    /// There is none.
    #[error("no Envoy found: name one with --envoy or $ENVOY, or put `envoy` on PATH")]
    Missing,
    /// It cannot be executed.
    #[error("`{path}` cannot be run: {source}")]
    NotRun {
        /// Which.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It refused its configuration or ended for another reason.
    #[error("Envoy did not start: {0}")]
    NotStarted(String),
    /// Files and sockets of ours.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
}

impl EnvoyError {
    pub(crate) const fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
