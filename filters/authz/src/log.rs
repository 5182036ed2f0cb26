use proxy_wasm::hostcalls;
use proxy_wasm::types::LogLevel;

/// One line in the host's log. Only for what an operator must act on: never per request.
pub(crate) fn error(message: &str) {
    // Never an error: `proxy_log` fails only on a level that does not exist.
    let _ = hostcalls::log(LogLevel::Error, message);
}
