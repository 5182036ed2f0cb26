//! The host's calls that more than one kind of stream needs, none of which can panic: the SDK does on statuses that these calls cannot
//! have where they are made, and each says why.

use proxy_wasm::hostcalls;
use proxy_wasm::types::LogLevel;

use crate::properties::Properties;
use crate::raw;

/// Filter state `wasm.meshwright.decision`, from which the access log reads what was decided.
const DECISION: &str = "meshwright.decision";
/// Filter state `wasm.meshwright.custom`, by which the proxy's `ext_authz` filters know whether they are to ask.
const CUSTOM: &str = "meshwright.custom";

/// Filter state that the control plane sets in chains with `ext_authz` filters.
const PROVIDERS: &str = "meshwright.providers";

/// The host's own attributes.
#[derive(Debug)]
pub(crate) struct Host;

impl Properties for Host {
    fn get(&self, path: &[&str]) -> Option<Vec<u8>> {
        // Hosts answer with one of four statuses here, and the SDK returns each.
        hostcalls::get_property(path.to_vec()).ok().flatten()
    }
}

/// Leaves what was decided to the access log. Only in a callback of a stream (elsewhere there is no state to write), and once.
pub(crate) fn record(record: &[u8]) {
    let _ = raw::set_property(DECISION, record);
}

/// The external authorizers of the chain that this stream is in, as the control plane wrote them there; `None`: it has none.
pub(crate) fn providers() -> Option<String> {
    Host.text(&["filter_state", PROVIDERS])
}

/// Tells the proxy which external authorizers must agree too. Where, and how often, is as for [`record`]; it cannot fail there.
pub(crate) fn ask(providers: &str) {
    let _ = raw::set_property(CUSTOM, providers.as_bytes());
}

/// Seconds since the epoch.
pub(crate) fn now() -> u64 {
    const NANOSECONDS: u64 = 1_000_000_000;
    // A host always has the time. Should one not, it is past the end of every token.
    raw::now().map_or(u64::MAX, |time| time / NANOSECONDS)
}

/// One line in the host's log, of what the sidecar listens for. Bounded by whoever calls: requests cause it.
pub(crate) fn log_warning(message: &str) {
    // As in `log_error`.
    let _ = hostcalls::log(LogLevel::Warn, message);
}

/// One line in the host's log. Only for what an operator must act on: never per request.
pub(crate) fn log_error(message: &str) {
    // Never an error: the call fails only on a level that does not exist.
    let _ = hostcalls::log(LogLevel::Error, message);
}
