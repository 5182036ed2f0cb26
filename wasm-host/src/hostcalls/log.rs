//! Logging: the one thing that is allowed everywhere.

use wasmtime::Linker;

use crate::abi::{AbiVersion, LogLevel, Status};
use crate::call::{Answer, Call};
use crate::state::State;

pub(super) fn link(linker: &mut Linker<State>, abi: AbiVersion) -> wasmtime::Result<()> {
    super::define! { linker;
        "proxy_log" => log, (level: u32, message: u32, len: u32);
    }
    if abi >= AbiVersion::V0_2_1 {
        super::define! { linker;
            "proxy_get_log_level" => get_log_level, (level_out: u32);
        }
    }
    Ok(())
}

fn log(call: &mut Call<'_>, level: u32, message: u32, len: u32) -> Answer {
    let level = LogLevel::from_wire(level).ok_or(Status::BadArgument)?;
    let message = call.read(message, len)?;
    let state = call.state_mut();
    if level >= state.settings.log_level {
        let context = state.context();
        state.recorder.log(level, context, &message);
    }
    Ok(())
}

fn get_log_level(call: &mut Call<'_>, level_out: u32) -> Answer {
    let level = call.state().settings.log_level;
    Ok(call.write_u32(level_out, level.code())?)
}
