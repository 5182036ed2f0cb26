//! Attributes of the stream, and those that the guest sets itself.

use wasmtime::Linker;

use crate::abi::Status;
use crate::call::{Answer, Call};
use crate::misuse::Misuse;
use crate::property;
use crate::state::State;
use crate::value::Value;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "proxy_get_property" => get, (path: u32, len: u32, pointer_out: u32, size_out: u32);
        "proxy_set_property" => set, (path: u32, len: u32, value: u32, value_len: u32);
    }
    Ok(())
}

/// No attribute has a longer one; the guest's memory could be one of a thousand million segments.
const LONGEST_PATH: usize = 64 << 10;

fn get(call: &mut Call<'_>, path: u32, len: u32, pointer_out: u32, size_out: u32) -> Answer {
    let path = call.read(path, len)?;
    if path.is_empty() {
        return Err(Status::SerializationFailure.into());
    }
    if path.len() > LONGEST_PATH {
        return Err(Status::NotFound.into());
    }
    let segments: Vec<&[u8]> = path.strip_suffix(b"\0").unwrap_or(&path).split(|byte| *byte == 0).collect();
    if property::is_hidden(call.state(), &segments) {
        call.state_mut().recorder.misuse(Misuse::AttributeOutsidePhase);
    }
    let value = property::find(call.state(), &segments).ok_or(Status::NotFound)?.encode()?;
    call.give(&value, pointer_out, size_out)
}

/// Becomes the filter state object `wasm.<path>`, the path as it is; root contexts have no filter state.
fn set(call: &mut Call<'_>, path: u32, len: u32, value: u32, value_len: u32) -> Answer {
    let (path, value) = (call.read(path, len)?, call.read(value, value_len)?);
    let state = call.state_mut();
    let name = [property::SET_BY_WASM, &path].concat();
    let once = state.declared(&path).once;
    // An access logger is told of a stream, but has none itself.
    let is_root = state.roots.contains_key(&state.context());
    let stream = state.stream_mut().filter(|_| !is_root).ok_or(Status::NotFound)?;
    if once && stream.attributes.filter_state.contains_key(&name) {
        return Err(Status::BadArgument.into());
    }
    stream.attributes.filter_state.insert(name, Value::Bytes(value.clone()));
    state.recorder.properties.insert(path, value);
    Ok(())
}
