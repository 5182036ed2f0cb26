//! Functions that only ABI 0.1.0 has.

use wasmtime::Linker;

use crate::abi::StreamType;
use crate::call::{Answer, Call};
use crate::state::State;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "proxy_get_configuration" => get_configuration, (pointer_out: u32, size_out: u32);
        "proxy_continue_request" => continue_request, ();
        "proxy_continue_response" => continue_response, ();
        "proxy_clear_route_cache" => clear_route_cache, ();
    }
    Ok(())
}

/// The plugin's configuration while it is configured, the VM's before.
fn get_configuration(call: &mut Call<'_>, pointer_out: u32, size_out: u32) -> Answer {
    let state = call.state();
    let configuration = state.configuring.as_ref().unwrap_or(&state.settings.vm_configuration);
    let configuration = configuration.clone();
    call.give(&configuration, pointer_out, size_out)
}

fn continue_request(call: &mut Call<'_>) -> Answer {
    super::streams::resume(call, StreamType::Request)
}

fn continue_response(call: &mut Call<'_>) -> Answer {
    super::streams::resume(call, StreamType::Response)
}

fn clear_route_cache(call: &mut Call<'_>) -> Answer {
    if let Some(stream) = call.state_mut().stream_mut() {
        stream.route_cache_cleared = true;
    }
    Ok(())
}
