//! Header and trailer maps. Which of them exists when is the stream's business; see `readable` and `writable`.

use wasmtime::Linker;

use crate::abi::{AbiVersion, MapType, Status, length};
use crate::call::{Answer, Call};
use crate::grpc::GrpcEvent;
use crate::headers::Headers;
use crate::misuse::Misuse;
use crate::state::State;

/// Beyond these Envoy reads a map from the guest as an empty one.
const MOST_PAIRS: usize = 1024;
const MOST_BYTES: usize = 1 << 20;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "proxy_get_header_map_pairs" => get_pairs, (id: u32, pointer_out: u32, size_out: u32);
        "proxy_get_header_map_size" => get_size, (id: u32, size_out: u32);
        "proxy_set_header_map_pairs" => set_pairs, (id: u32, pairs: u32, len: u32);
        "proxy_get_header_map_value" => get, (id: u32, key: u32, key_len: u32, pointer_out: u32, size_out: u32);
        "proxy_add_header_map_value" => add, (id: u32, key: u32, key_len: u32, value: u32, value_len: u32);
        "proxy_replace_header_map_value" => replace, (id: u32, key: u32, key_len: u32, value: u32, value_len: u32);
        "proxy_remove_header_map_value" => remove, (id: u32, key: u32, key_len: u32);
    }
    Ok(())
}

/// What the guest sent as a map. Malformed or too much is an empty map, as in Envoy: nothing is said about it.
pub(super) fn parse_pairs(bytes: &[u8]) -> Headers {
    let headers = if bytes.len() > MOST_BYTES { None } else { Headers::parse(bytes) };
    headers.filter(|headers| headers.len() <= MOST_PAIRS).unwrap_or_default()
}

fn get_pairs(call: &mut Call<'_>, id: u32, pointer_out: u32, size_out: u32) -> Answer {
    let map = map_type(id)?;
    let found = readable(call.state(), map).map(Headers::serialize);
    if found.is_none() {
        outside_phase(call.state_mut(), map);
    }
    let bytes = found.unwrap_or_default();
    call.give(&bytes, pointer_out, size_out)
}

fn get_size(call: &mut Call<'_>, id: u32, size_out: u32) -> Answer {
    let map = map_type(id)?;
    let size = writable(call.state_mut(), map).ok_or(Status::BadArgument)?.byte_size();
    Ok(call.write_u32(size_out, length(size))?)
}

fn set_pairs(call: &mut Call<'_>, id: u32, pairs: u32, len: u32) -> Answer {
    let map = map_type(id)?;
    let pairs = parse_pairs(&call.read(pairs, len)?);
    let wiped = map == MapType::RequestHeaders && pairs.get(":path").is_none();
    if wiped || map == MapType::ResponseHeaders && pairs.get(":status").is_none() {
        call.state_mut().recorder.misuse(Misuse::MapWiped);
    }
    if breaks_lines(pairs.iter().map(|(_, value)| value)) {
        call.state_mut().recorder.misuse(Misuse::LineBreakInHeader);
    }
    change(call.state_mut(), map, |headers| *headers = pairs)
}

fn get(call: &mut Call<'_>, id: u32, key: u32, key_len: u32, pointer_out: u32, size_out: u32) -> Answer {
    let map = map_type(id)?;
    let key = name_in(map, call.read(key, key_len)?);
    let state = call.state();
    let mut several = false;
    let value = match readable(state, map) {
        Some(headers) => {
            several = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(&key)).nth(1).is_some();
            headers.get(&key).map(<[u8]>::to_vec)
        }
        // An ended stream may never have had the map; anywhere else it is the filter's mistake to ask.
        None if state.stream().is_some_and(|stream| stream.logging) => None,
        None => {
            outside_phase(call.state_mut(), map);
            return Err(Status::BadArgument.into());
        }
    };
    if several {
        call.state_mut().recorder.misuse(Misuse::FirstValueOnly);
    }
    match value {
        Some(value) => call.give(&value, pointer_out, size_out),
        None if call.state().abi == AbiVersion::V0_1_0 => call.give(&[], pointer_out, size_out),
        None => Err(Status::NotFound.into()),
    }
}

fn add(call: &mut Call<'_>, id: u32, key: u32, key_len: u32, value: u32, value_len: u32) -> Answer {
    let (map, key, value) = changed(call, id, (key, key_len), (value, value_len))?;
    let breaks = breaks_lines([value.as_slice()].into_iter());
    changed_with(call.state_mut(), map, breaks, |headers| headers.add(key, value))
}

fn replace(call: &mut Call<'_>, id: u32, key: u32, key_len: u32, value: u32, value_len: u32) -> Answer {
    let (map, key, value) = changed(call, id, (key, key_len), (value, value_len))?;
    let breaks = breaks_lines([value.as_slice()].into_iter());
    changed_with(call.state_mut(), map, breaks, |headers| headers.replace(key, value))
}

fn remove(call: &mut Call<'_>, id: u32, key: u32, key_len: u32) -> Answer {
    let (map, key, _) = changed(call, id, (key, key_len), (0, 0))?;
    change(call.state_mut(), map, |headers| headers.remove(key))
}

/// What a change is about.
fn changed(call: &mut Call<'_>, id: u32, key: (u32, u32), value: (u32, u32)) -> Result<(MapType, Vec<u8>, Vec<u8>), Status> {
    let map = map_type(id)?;
    let key = name_in(map, call.read(key.0, key.1)?);
    Ok((map, key, call.read(value.0, value.1)?))
}

/// Of a request `host` is another name of `:authority`.
fn name_in(map: MapType, name: Vec<u8>) -> Vec<u8> {
    if map == MapType::RequestHeaders && name.eq_ignore_ascii_case(b"host") { b":authority".to_vec() } else { name }
}

fn map_type(id: u32) -> Result<MapType, Status> {
    MapType::from_wire(id).ok_or(Status::BadArgument)
}

/// Values are not looked at here, as in Envoy: a line break in one is found when the message is sent.
fn change(state: &mut State, map: MapType, act: impl FnOnce(&mut Headers)) -> Answer {
    let Some(headers) = writable(state, map) else {
        outside_phase(state, map);
        return Err(Status::BadArgument.into());
    };
    act(headers);
    if map == MapType::RequestHeaders
        && let Some(stream) = state.stream_mut()
    {
        stream.route_cache_cleared = true;
    }
    Ok(())
}

fn changed_with(state: &mut State, map: MapType, breaks: bool, act: impl FnOnce(&mut Headers)) -> Answer {
    if breaks {
        state.recorder.misuse(Misuse::LineBreakInHeader);
    }
    change(state, map, act)
}

/// What no header of HTTP can have in it.
pub(super) fn breaks_lines<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> bool {
    values.any(|value| value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)))
}

/// A stream's own map was asked for when it is not there. A call's answer or a root context is no phase, and in `proxy_on_log` all is read.
fn outside_phase(state: &mut State, map: MapType) {
    let of_stream =
        matches!(map, MapType::RequestHeaders | MapType::RequestTrailers | MapType::ResponseHeaders | MapType::ResponseTrailers);
    if of_stream && state.stream().is_some_and(|stream| !stream.is_tcp && !stream.logging) {
        state.recorder.misuse(Misuse::MapOutsidePhase);
    }
}

/// The map if it can be read now. In `proxy_on_log` all but the request's trailers are back.
fn readable(state: &State, map: MapType) -> Option<&Headers> {
    let stream = state.stream().filter(|stream| !stream.is_tcp);
    let logging = stream.is_some_and(|stream| stream.logging);
    match map {
        MapType::RequestHeaders => {
            stream.map(|stream| &stream.request).filter(|side| side.headers_open || logging && side.present).map(|side| &side.headers)
        }
        MapType::ResponseHeaders => {
            stream.map(|stream| &stream.response).filter(|side| side.headers_open || logging && side.present).map(|side| &side.headers)
        }
        MapType::RequestTrailers if logging => None,
        MapType::RequestTrailers => {
            stream.map(|stream| &stream.request).filter(|side| side.trailers_open).and_then(|side| side.trailers.as_ref())
        }
        MapType::ResponseTrailers => {
            stream.map(|stream| &stream.response).filter(|side| side.trailers_open || logging).and_then(|side| side.trailers.as_ref())
        }
        MapType::CallResponseHeaders | MapType::CallResponseTrailers | MapType::GrpcInitialMetadata | MapType::GrpcTrailingMetadata => {
            delivered(state, map)
        }
    }
}

/// The map if it can be written now. `proxy_get_header_map_size` asks for this one too, so that it fails in `proxy_on_log`, as in Envoy.
fn writable(state: &mut State, map: MapType) -> Option<&mut Headers> {
    let stream = state.stream_mut().filter(|stream| !stream.is_tcp && !stream.logging)?;
    match map {
        MapType::RequestHeaders => Some(&mut stream.request).filter(|side| side.headers_open).map(|side| &mut side.headers),
        MapType::ResponseHeaders => Some(&mut stream.response).filter(|side| side.headers_open).map(|side| &mut side.headers),
        MapType::RequestTrailers => stream.request.trailers_mut(),
        MapType::ResponseTrailers => stream.response.trailers_mut(),
        MapType::CallResponseHeaders | MapType::CallResponseTrailers | MapType::GrpcInitialMetadata | MapType::GrpcTrailingMetadata => None,
    }
}

/// Maps of the call's answer that is being delivered.
fn delivered(state: &State, map: MapType) -> Option<&Headers> {
    match (&state.grpc.delivering, map) {
        (Some(GrpcEvent::Initial(metadata)), MapType::GrpcInitialMetadata) => return Some(metadata),
        (Some(GrpcEvent::Trailing(metadata)), MapType::GrpcTrailingMetadata) => return Some(metadata),
        _ => {}
    }
    let answer = state.calls.delivering.as_ref()?;
    match map {
        MapType::CallResponseHeaders => Some(&answer.headers),
        MapType::CallResponseTrailers => Some(&answer.trailers),
        MapType::RequestHeaders
        | MapType::RequestTrailers
        | MapType::ResponseHeaders
        | MapType::ResponseTrailers
        | MapType::GrpcInitialMetadata
        | MapType::GrpcTrailingMetadata => None,
    }
}
