//! Removes from the filter module the callbacks that no role of it implements.
//!
//! proxy-wasm's SDK exports every callback there is, and Envoy calls each that is exported: for a request that is answered at once, five calls
//! into the module of which each does nothing. Without the exports it makes none. The module works the same with and without this step.

use std::path::PathBuf;

use anyhow::Context as _;

/// Those of bodies, trailers and responses: `authz` decides at a request's headers and at a connection's data, `access-log` at the end.
/// `proxy_on_done` only asks whether a context may end, which they all may.
const UNUSED: [&str; 6] = [
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_done",
];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(from), Some(to), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: meshwright-strip MODULE.wasm STRIPPED.wasm");
    };
    let mut module = walrus::Module::from_file(&from).with_context(|| format!("{} is no module", from.display()))?;
    for name in UNUSED {
        module.exports.remove(name).with_context(|| format!("{} does not export {name}", from.display()))?;
    }
    walrus::passes::gc::run(&mut module);
    // As a whole or not at all: Envoy may be reading the old one.
    let unfinished = to.with_extension("wasm.unfinished");
    module.emit_wasm_file(&unfinished).with_context(|| format!("{} cannot be written", unfinished.display()))?;
    std::fs::rename(&unfinished, &to).with_context(|| format!("{} cannot be written", to.display()))
}
