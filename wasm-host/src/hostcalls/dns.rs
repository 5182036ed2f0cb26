//! `envoy_resolve_dns`, which is Envoy's own and in no version of the ABI.

use wasmtime::Linker;

use crate::abi::Status;
use crate::call::{Answer, Call};
use crate::dns::Dns;
use crate::state::State;
use crate::timeline::Event;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "envoy_resolve_dns" => resolve, (name: u32, len: u32, token_out: u32);
    }
    Ok(())
}

/// The root is told in `envoy_on_resolve_dns`. A name that nobody knows has no answer.
fn resolve(call: &mut Call<'_>, name: u32, len: u32, token_out: u32) -> Answer {
    let name = call.read_text(name, len)?;
    let state = call.state_mut();
    state.dns_tokens += 1;
    let token = state.dns_tokens;
    call.write_u32(token_out, token)?;
    let state = call.state_mut();
    let root = state.root().ok_or(Status::NotFound)?;
    let literal = name.parse().ok().map(|address| Dns::addresses([address]));
    let answer = state.settings.dns.get(&name).cloned().or(literal).unwrap_or(Dns::failure());
    state.timeline.after(answer.latency, Event::Resolved { root, token, answer: answer.encode() });
    Ok(())
}
