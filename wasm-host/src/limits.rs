//! What a guest may use.

use std::time::Duration;

/// Limits of one VM.
///
/// ```
/// # let wasm = wat::parse_file("doc/tour.wat")?;
/// use meshwright_wasm_host::{Host, Limits, StartError};
///
/// // The module asks for 128 KiB at its start.
/// let limits = Limits { memory: 64 << 10, ..Limits::default() };
/// let error = Host::load(&wasm)?.plugin("", "").limits(limits).start().unwrap_err();
/// assert!(matches!(error, StartError::Instantiate(_)), "{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory; beyond it `memory.grow` fails. Envoy's is 1 GiB.
    pub memory: usize,
    /// About how many bytes of its own memory the host spends for the guest until the next report: every call in either direction counts some,
    /// and all that the guest hands over. Beyond it the guest traps. Envoy has no such limit: a loop takes all of its memory.
    pub host_memory: usize,
    /// Wall-clock time of one callback; beyond it the callback traps. Envoy has no such limit: a loop blocks its worker for ever.
    pub callback: Duration,
}

/// What Envoy does with streams after the VM trapped. The stream in which it trapped gets 503 in any case.
///
/// ```
/// # let wasm = wat::parse_file("doc/tour.wat")?;
/// use meshwright_wasm_host::{FailurePolicy, Host, Request, TrapKind};
///
/// for (policy, then) in [(FailurePolicy::Closed, 503), (FailurePolicy::Open, 200)] {
///     let mut worker = Host::load(&wasm)?.plugin("", "").failure_policy(policy).start()?;
///     let outcome = worker.request(Request::get("/trap"));
///     assert_eq!((outcome.status(), outcome.report.traps[0].kind), (Some(503), TrapKind::Unreachable));
///     assert_eq!(worker.request(Request::get("/")).status(), Some(then));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailurePolicy {
    /// 503 for every request, a close for every connection.
    #[default]
    Closed,
    /// They pass as if there were no filter.
    Open,
    /// The next request starts a new VM, but not sooner than this after the last start; until then 503. Envoy's own default is a second,
    /// to which it adds jitter; here there is none.
    Reload {
        /// `reload_config.backoff.base_interval`
        base_interval: Duration,
    },
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 1 << 30, host_memory: 1 << 30, callback: Duration::from_secs(10) }
    }
}
