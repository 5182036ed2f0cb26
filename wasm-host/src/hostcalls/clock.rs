//! Time and timers, on the virtual clock.

use std::time::Duration;

use wasmtime::Linker;

use crate::call::{Answer, Call};
use crate::state::State;
use crate::timeline::Event;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "proxy_get_current_time_nanoseconds" => now, (time_out: u32);
        "proxy_set_tick_period_milliseconds" => set_tick_period, (milliseconds: u32);
    }
    Ok(())
}

fn now(call: &mut Call<'_>, time_out: u32) -> Answer {
    let now = call.state().timeline.nanoseconds();
    Ok(call.write_u64(time_out, now)?)
}

/// The timer is the root's, whoever sets it; 0 stops it, and setting it again starts it anew.
fn set_tick_period(call: &mut Call<'_>, milliseconds: u32) -> Answer {
    let state = call.state_mut();
    let Some(id) = state.root() else { return Ok(()) };
    let Some(root) = state.roots.get_mut(&id) else { return Ok(()) };
    root.armed += 1;
    root.tick_period = Duration::from_millis(milliseconds.into());
    if milliseconds > 0 {
        state.timeline.after(root.tick_period, Event::Tick { root: id, armed: root.armed });
    }
    Ok(())
}
