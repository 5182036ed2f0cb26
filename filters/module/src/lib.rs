//! `meshwright_filters.wasm`: every role in one module, chosen by the plugin's root id. The module adds nothing to the roles.

use meshwright_access_log::AccessLog;
use meshwright_authz::Authz;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, RootContext};
use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| role());
}}

fn role() -> Box<dyn RootContext> {
    // The host has made the plugin known before it creates its root context.
    match hostcalls::get_property(vec!["plugin_root_id"]).ok().flatten().as_deref() {
        Some(b"authz") => Box::new(Authz::default()),
        Some(b"access-log") => Box::new(AccessLog::default()),
        other => Box::new(Unknown { root_id: String::from_utf8_lossy(other.unwrap_or_default()).into_owned() }),
    }
}

/// A root id that is no role: it can only be refused.
struct Unknown {
    root_id: String,
}

impl Context for Unknown {}

impl RootContext for Unknown {
    fn on_configure(&mut self, _size: usize) -> bool {
        let message = format!("meshwright: root id `{}` is unknown; it is `authz` or `access-log`", self.root_id);
        // Never an error: `proxy_log` fails only on a level that does not exist.
        let _ = hostcalls::log(LogLevel::Error, &message);
        false
    }
}
