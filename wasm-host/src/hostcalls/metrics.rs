//! Metrics.

use wasmtime::Linker;

use crate::abi::{MetricType, Status};
use crate::call::{Answer, Call};
use crate::misuse::Misuse;
use crate::state::State;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "proxy_define_metric" => define, (kind: u32, name: u32, len: u32, id_out: u32);
        "proxy_get_metric" => get, (id: u32, value_out: u32);
        "proxy_record_metric" => record, (id: u32, value: u64);
        "proxy_increment_metric" => increment, (id: u32, offset: i64);
    }
    Ok(())
}

fn define(call: &mut Call<'_>, kind: u32, name: u32, len: u32, id_out: u32) -> Answer {
    let kind = MetricType::from_wire(kind).ok_or(Status::BadArgument)?;
    let name = call.read_text(name, len)?;
    let state = call.state_mut();
    if state.stream().is_some_and(|stream| !stream.logging) {
        state.recorder.misuse(Misuse::MetricPerStream);
    }
    let id = call.state_mut().metrics.define(kind, name)?;
    Ok(call.write_u32(id_out, id)?)
}

fn get(call: &mut Call<'_>, id: u32, value_out: u32) -> Answer {
    let value = call.state_mut().metrics.get(id)?;
    Ok(call.write_u64(value_out, value.cast_unsigned())?)
}

fn record(call: &mut Call<'_>, id: u32, value: u64) -> Answer {
    Ok(call.state_mut().metrics.record(id, value)?)
}

fn increment(call: &mut Call<'_>, id: u32, offset: i64) -> Answer {
    Ok(call.state_mut().metrics.increment(id, offset)?)
}
