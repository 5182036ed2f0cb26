//! What Emscripten's modules import from `env` and Envoy has too, though it is in no version of the ABI.

use wasmtime::Linker;

use crate::state::State;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "pthread_equal", |left: u32, right: u32| u32::from(left == right))?;
    // Nothing here keeps addresses in the guest's memory.
    linker.func_wrap("env", "emscripten_notify_memory_growth", |_memory: u32| ())?;
    Ok(())
}
