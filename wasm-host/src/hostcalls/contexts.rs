//! Contexts: which one calls act on, and the end of root contexts.

use wasmtime::Linker;

use crate::abi::Status;
use crate::call::{Answer, Call};
use crate::state::State;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "proxy_set_effective_context" => set_effective_context, (context: u32);
        "proxy_done" => done, ();
    }
    Ok(())
}

/// Lasts until the callback returns.
fn set_effective_context(call: &mut Call<'_>, context: u32) -> Answer {
    let state = call.state_mut();
    // 0 is the VM's own, on which nothing can be done.
    if context != 0 && !state.roots.contains_key(&context) && !state.streams.contains_key(&context) {
        return Err(Status::BadArgument.into());
    }
    state.effective = Some(context);
    Ok(())
}

fn done(call: &mut Call<'_>) -> Answer {
    let state = call.state_mut();
    let context = state.context();
    if let Some(stream) = state.streams.get_mut(&context).filter(|stream| stream.finishing) {
        stream.done = true;
        return Ok(());
    }
    match state.roots.get_mut(&context).filter(|root| root.finishing) {
        Some(root) => {
            root.done = true;
            Ok(())
        }
        None => Err(Status::NotFound.into()),
    }
}
