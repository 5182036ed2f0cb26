//! Data that VMs of one `vm_id` share, with compare-and-swap.

use wasmtime::Linker;

use crate::abi::Status;
use crate::call::{Answer, Call};
use crate::state::State;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "proxy_get_shared_data" => get, (key: u32, len: u32, pointer_out: u32, size_out: u32, cas_out: u32);
        "proxy_set_shared_data" => set, (key: u32, len: u32, value: u32, value_len: u32, cas: u32);
    }
    Ok(())
}

fn get(call: &mut Call<'_>, key: u32, len: u32, pointer_out: u32, size_out: u32, cas_out: u32) -> Answer {
    let key = call.read(key, len)?;
    let settings = &call.state().settings;
    let (value, cas) = settings.shared.get_with_cas(&settings.vm_id, &key).ok_or(Status::NotFound)?;
    call.give(&value, pointer_out, size_out)?;
    Ok(call.write_u32(cas_out, cas)?)
}

fn set(call: &mut Call<'_>, key: u32, len: u32, value: u32, value_len: u32, cas: u32) -> Answer {
    let (key, value) = (call.read(key, len)?, call.read(value, value_len)?);
    let settings = &call.state().settings;
    Ok(settings.shared.set_with_cas(&settings.vm_id, &key, value, cas)?)
}
