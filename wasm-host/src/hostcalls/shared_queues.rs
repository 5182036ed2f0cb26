//! Queues that VMs share. The VM that registered a queue last is told of entries, whoever puts them there.

use wasmtime::Linker;

use crate::abi::Status;
use crate::call::{Answer, Call};
use crate::state::State;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "proxy_register_shared_queue" => register, (name: u32, len: u32, token_out: u32);
        "proxy_resolve_shared_queue" => resolve, (vm_id: u32, vm_id_len: u32, name: u32, len: u32, token_out: u32);
        "proxy_enqueue_shared_queue" => enqueue, (token: u32, entry: u32, len: u32);
        "proxy_dequeue_shared_queue" => dequeue, (token: u32, pointer_out: u32, size_out: u32);
    }
    Ok(())
}

fn register(call: &mut Call<'_>, name: u32, len: u32, token_out: u32) -> Answer {
    let name = call.read(name, len)?;
    let state = call.state_mut();
    let token = state.settings.shared.register_queue(state.vm, &state.settings.vm_id, &name);
    if let Some(root) = state.root() {
        state.queues.insert(token, root);
    }
    Ok(call.write_u32(token_out, token)?)
}

/// No `vm_id` is the caller's own.
fn resolve(call: &mut Call<'_>, vm_id: u32, vm_id_len: u32, name: u32, len: u32, token_out: u32) -> Answer {
    let (vm_id, name) = (call.read_text(vm_id, vm_id_len)?, call.read(name, len)?);
    let settings = &call.state().settings;
    let vm_id = if vm_id.is_empty() { &settings.vm_id } else { &vm_id };
    let token = settings.shared.resolve_queue(vm_id, &name).ok_or(Status::NotFound)?;
    Ok(call.write_u32(token_out, token)?)
}

fn enqueue(call: &mut Call<'_>, token: u32, entry: u32, len: u32) -> Answer {
    let entry = call.read(entry, len)?;
    Ok(call.state().settings.shared.enqueue(token, entry)?)
}

fn dequeue(call: &mut Call<'_>, token: u32, pointer_out: u32, size_out: u32) -> Answer {
    let entry = call.state().settings.shared.dequeue(token)?;
    call.give(&entry, pointer_out, size_out)
}
