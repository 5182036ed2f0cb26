//! What a guest may use.

use std::time::Duration;

/// Limits of one VM.
///
/// ```
/// use std::time::Duration;
/// use meshwright_wasm_host::Limits;
///
/// let limits = Limits { memory: 64 << 20, ..Limits::default() };
/// assert_eq!(limits.callback, Duration::from_secs(10));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory; beyond it `memory.grow` fails. Envoy's is 1 GiB.
    pub memory: usize,
    /// Wall-clock time of one callback; beyond it the callback traps. Envoy has no such limit: a loop blocks its worker for ever.
    pub callback: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 1 << 30, callback: Duration::from_secs(10) }
    }
}
