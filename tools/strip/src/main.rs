//! Takes from the filter module what no role of it needs: callbacks that none implements, and most of the names of its functions. Then sees
//! to it that V8 makes no more code of it than it has to ([`inlining`]).
//!
//! proxy-wasm's SDK exports every callback there is, and Envoy calls each that is exported: for a request that is answered at once, five calls
//! into the module of which each does nothing. Without the exports it makes none, and their code is gone. The module works the same with
//! and without this step.

mod imports;
mod inlining;
mod order;

use std::path::PathBuf;

use anyhow::Context as _;

/// `authz` decides at a request's headers and at a connection's data, and counts at ticks; `access-log` writes at the end of a stream.
/// Nobody calls others, and `proxy_on_done` only asks whether a context may end, which they all may.
const UNUSED: [&str; 15] = [
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_done",
    "proxy_on_downstream_connection_close",
    "proxy_on_upstream_connection_close",
    "proxy_on_http_call_response",
    "proxy_on_grpc_receive_initial_metadata",
    "proxy_on_grpc_receive",
    "proxy_on_grpc_receive_trailing_metadata",
    "proxy_on_grpc_close",
    "proxy_on_foreign_function",
    "proxy_on_queue_ready",
];

/// Functions that keep their names for a backtrace: what is ours, and how the module ends. Names are in the memory of every proxy.
const OURS: [&str; 2] = ["meshwright", "panic"];
/// The functions that a request runs, as a profile of the module in wasm-host shows them; a name that no function has does nothing.
const HOT: &str = include_str!("hot.txt");
/// Enough to find the function that a backtrace names; names of generic functions are many times as long.
const LONGEST_NAME: usize = 60;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(from), Some(to), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: meshwright-strip MODULE.wasm STRIPPED.wasm");
    };
    let mut config = walrus::ModuleConfig::new();
    config.generate_producers_section(false);
    let mut module = config.parse_file(&from).with_context(|| format!("{} is no module", from.display()))?;
    for name in UNUSED {
        module.exports.remove(name).with_context(|| format!("{} does not export {name}", from.display()))?;
    }
    walrus::passes::gc::run(&mut module);
    let hot: Vec<&str> = HOT.lines().filter(|line| !line.starts_with('#')).collect();
    let rank = |name: &str| {
        let name = demangled(name);
        hot.iter().position(|hot| *hot == name).unwrap_or(hot.len())
    };
    let kept = |name: &str| Some(readable(name)).filter(|name| OURS.iter().any(|part| name.contains(part)));
    let module = order::reorder(&module.emit_wasm(), rank, kept)?;
    // As a whole or not at all: Envoy may be reading the old one.
    let unfinished = to.with_extension("wasm.unfinished");
    let module = inlining::prevented(&module)?;
    std::fs::write(&unfinished, module).with_context(|| format!("{} cannot be written", unfinished.display()))?;
    std::fs::rename(&unfinished, &to).with_context(|| format!("{} cannot be written", to.display()))
}

/// As the source has it, without the hash that the compiler adds.
fn readable(name: &str) -> String {
    demangled(name).chars().take(LONGEST_NAME).collect()
}

fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_source_and_short() {
        assert_eq!(
            readable("_ZN17meshwright_policy6policy6Policy7compile17h89e0f4792943ea8aE"),
            "meshwright_policy::policy::Policy::compile"
        );
        assert_eq!(readable("proxy_on_tick"), "proxy_on_tick");
        assert_eq!(readable(&"a".repeat(100)).len(), LONGEST_NAME);
    }
}
