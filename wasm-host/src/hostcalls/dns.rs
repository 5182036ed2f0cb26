//! `envoy_resolve_dns`, which is Envoy's own and in no version of the ABI.

use wasmtime::Linker;

use crate::abi::{Status, length};
use crate::call::{Answer, Call, Failure, count};
use crate::dns::Dns;
use crate::state::State;
use crate::timeline::Event;

/// What the guest exports to be told.
pub(crate) const ON_RESOLVE_DNS: &str = "envoy_on_resolve_dns";

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "envoy_resolve_dns" => resolve, (name: u32, len: u32, token_out: u32);
    }
    Ok(())
}

/// The root is told in `envoy_on_resolve_dns`: of what needs no server at once, while the guest still waits for this call to return.
fn resolve(call: &mut Call<'_>, name: u32, len: u32, token_out: u32) -> Answer {
    let name = call.read_text(name, len)?;
    let state = call.state_mut();
    state.dns_tokens += 1;
    let token = state.dns_tokens;
    call.write_u32(token_out, token)?;
    let state = call.state_mut();
    let root = state.root().ok_or(Status::NotFound)?;
    let given = state.settings.dns.get(&name).cloned().or_else(|| name.is_empty().then(|| Dns::addresses([])));
    match given.map_or_else(|| Dns::without_a_server(&name).ok_or_else(Dns::failure), Err) {
        Ok(at_once) => tell(call, root, token, at_once.encode()),
        Err(later) => {
            state.timeline.after(later.latency, Event::Resolved { root, token, answer: later.encode() });
            Ok(())
        }
    }
}

/// The only callback inside a callback, but for the allocator.
fn tell(call: &mut Call<'_>, root: u32, token: u32, answer: Vec<u8>) -> Answer {
    let size = length(answer.len());
    let state = call.state_mut();
    state.scratch.insert(root, answer);
    let callback = call.0.get_export(ON_RESOLVE_DNS).and_then(wasmtime::Extern::into_func);
    let Some(callback) = callback else { return Ok(()) };
    let callback = callback.typed::<(u32, u32, u32), ()>(&call.0).map_err(Failure::Trap)?;
    let state = call.state_mut();
    let place = state.recorder.callback(ON_RESOLVE_DNS, root);
    count(state).map_err(|flooded| Failure::Trap(wasmtime::Error::new(flooded)))?;
    let outer = (std::mem::replace(&mut state.current, root), state.effective.take());
    let called = callback.call(&mut call.0, (root, token, size));
    let state = call.state_mut();
    (state.current, state.effective) = outer;
    called.map_err(Failure::Trap)?;
    state.recorder.callback_returned(place, None);
    Ok(())
}
