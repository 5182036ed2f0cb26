//! Bodies, connection data, configurations and answers as buffers.

use wasmtime::Linker;

use crate::abi::{BufferType, Status, length};
use crate::call::{Answer, Call};
use crate::grpc::GrpcEvent;
use crate::profile::Profile;
use crate::state::State;
use crate::stream::{Side, Stream};

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "proxy_get_buffer_bytes" => get, (id: u32, start: u32, max: u32, pointer_out: u32, size_out: u32);
        "proxy_get_buffer_status" => status, (id: u32, length_out: u32, flags_out: u32);
        "proxy_set_buffer_bytes" => set, (id: u32, start: u32, size: u32, data: u32, len: u32);
    }
    Ok(())
}

fn get(call: &mut Call<'_>, id: u32, start: u32, max: u32, pointer_out: u32, size_out: u32) -> Answer {
    let id = BufferType::from_wire(id).ok_or(Status::BadArgument)?;
    remember(call.state_mut(), id)?;
    let bytes = slice(read(call.state(), id)?, start, max).to_vec();
    call.give(&bytes, pointer_out, size_out)
}

fn status(call: &mut Call<'_>, id: u32, length_out: u32, flags_out: u32) -> Answer {
    let id = BufferType::from_wire(id).ok_or(Status::BadArgument)?;
    remember(call.state_mut(), id)?;
    let len = length(read(call.state(), id)?.len());
    call.write_u32(length_out, len)?;
    Ok(call.write_u32(flags_out, 0)?)
}

/// At 0 the first `size` bytes are replaced, from the end on it is appended; Envoy can do nothing else, the specification anything.
fn set(call: &mut Call<'_>, id: u32, start: u32, size: u32, data: u32, len: u32) -> Answer {
    let id = BufferType::from_wire(id).ok_or(Status::BadArgument)?;
    let data = call.read(data, len)?;
    let state = call.state();
    let no_answer = id == BufferType::CallResponseBody && state.calls.delivering.is_none();
    if no_answer || id == BufferType::PluginConfiguration && state.configuring.is_none() {
        return Err(Status::NotFound.into());
    }
    let anywhere = call.state().settings.profile == Profile::Spec;
    let stream = call.state_mut().stream_mut();
    let (body, changed) = stream.and_then(|stream| open_body(stream, id)).ok_or(Status::BadArgument)?;
    *changed = true;
    if start == 0 {
        let dropped = to_usize(size).min(body.len());
        body.splice(..dropped, data);
        Ok(())
    } else if to_usize(start) >= body.len() {
        body.extend(data);
        Ok(())
    } else if anywhere {
        let start = to_usize(start);
        let end = start.saturating_add(to_usize(size)).min(body.len());
        body.splice(start..end, data);
        Ok(())
    } else {
        Err(Status::BadArgument.into())
    }
}

/// A context's call data has what was asked for last, whatever it was.
fn remember(state: &mut State, id: BufferType) -> Result<(), Status> {
    if id != BufferType::CallData {
        let context = state.context();
        let bytes = read(state, id)?.to_vec();
        state.scratch.insert(context, bytes);
    }
    Ok(())
}

/// A body outside its phase is an empty buffer, where the specification wants NOT_FOUND: so does Envoy.
fn read(state: &State, id: BufferType) -> Result<&[u8], Status> {
    let body = |side: fn(&Stream) -> &Side, tcp: bool| {
        let side = state.stream().filter(|stream| stream.is_tcp == tcp).map(side);
        match side.filter(|side| side.body_open) {
            Some(side) => Ok(side.body.as_slice()),
            None if state.settings.profile == Profile::Spec => Err(Status::NotFound),
            None => Ok(&[][..]),
        }
    };
    match id {
        BufferType::RequestBody => body(|stream| &stream.request, false),
        BufferType::ResponseBody => body(|stream| &stream.response, false),
        BufferType::DownstreamData => body(|stream| &stream.request, true),
        BufferType::UpstreamData => body(|stream| &stream.response, true),
        BufferType::CallResponseBody => state.calls.delivering.as_ref().map(|answer| answer.body.as_slice()).ok_or(Status::NotFound),
        BufferType::GrpcReceive => Ok(match &state.grpc.delivering {
            Some(GrpcEvent::Message(message)) => message,
            Some(GrpcEvent::Initial(_) | GrpcEvent::Trailing(_) | GrpcEvent::Close(..)) | None => &[],
        }),
        BufferType::VmConfiguration => Ok(&state.settings.vm_configuration),
        BufferType::PluginConfiguration => state.configuring.as_deref().ok_or(Status::NotFound),
        BufferType::CallData => Ok(state.scratch.get(&state.context()).map_or(&[], Vec::as_slice)),
    }
}

fn open_body(stream: &mut Stream, id: BufferType) -> Option<(&mut Vec<u8>, &mut bool)> {
    let (side, tcp) = match id {
        BufferType::RequestBody => (&mut stream.request, false),
        BufferType::ResponseBody => (&mut stream.response, false),
        BufferType::DownstreamData => (&mut stream.request, true),
        BufferType::UpstreamData => (&mut stream.response, true),
        BufferType::CallResponseBody
        | BufferType::GrpcReceive
        | BufferType::VmConfiguration
        | BufferType::PluginConfiguration
        | BufferType::CallData => return None,
    };
    (side.body_open && stream.is_tcp == tcp).then_some((&mut side.body, &mut side.body_changed))
}

fn slice(bytes: &[u8], start: u32, max: u32) -> &[u8] {
    let rest = bytes.get(to_usize(start)..).unwrap_or_default();
    rest.get(..to_usize(max)).unwrap_or(rest)
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
