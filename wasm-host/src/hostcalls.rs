//! The host functions of module `env`, one file a family. Only those of the module's ABI version are linked, as in Envoy.

mod buffers;
mod clock;
mod contexts;
mod dns;
mod emscripten;
mod foreign;
mod grpc;
mod headers;
mod http_call;
mod legacy;
mod log;
mod metrics;
mod properties;
mod shared_data;
mod shared_queues;
mod streams;

use wasmtime::Linker;

use crate::abi::AbiVersion;
use crate::state::State;

/// Defines functions in module `env`: name of the import, then the Rust function and its parameters after the call itself.
macro_rules! define {
    ($linker:expr; $($name:literal => $function:path, ($($parameter:ident: $type:ty),*);)*) => {
        $($linker.func_wrap("env", $name, |caller: wasmtime::Caller<'_, $crate::state::State>, $($parameter: $type),*| {
            $crate::call::hostcall(caller, $name, |call| $function(call, $($parameter),*))
        })?;)*
    };
}
use define;

/// Links every function that a host of this ABI version has.
pub(crate) fn link(linker: &mut Linker<State>, abi: AbiVersion) -> wasmtime::Result<()> {
    log::link(linker, abi)?;
    clock::link(linker)?;
    buffers::link(linker)?;
    headers::link(linker)?;
    properties::link(linker)?;
    contexts::link(linker)?;
    dns::link(linker)?;
    emscripten::link(linker)?;
    http_call::link(linker)?;
    grpc::link(linker)?;
    shared_data::link(linker)?;
    shared_queues::link(linker)?;
    metrics::link(linker)?;
    foreign::link(linker)?;
    streams::link_local_response(linker)?;
    match abi {
        AbiVersion::V0_1_0 => legacy::link(linker),
        AbiVersion::V0_2_0 | AbiVersion::V0_2_1 => streams::link(linker),
    }
}
