//! Finds an attribute: what the test gave, what follows from the stream, what the guest set itself. In Envoy's phases: what comes from the
//! request's headers is there while they are, and again in `proxy_on_log`.

use std::collections::BTreeMap;

use crate::headers::Headers;
use crate::state::State;
use crate::stream::{Side, Stream};
use crate::value::Value;

/// Under this prefix of filter state is what `proxy_set_property` sets.
pub(crate) const SET_BY_WASM: &[u8] = b"wasm.";

/// Names of filter state objects that `set_envoy_filter_state` can make: those with a factory in Envoy 1.40 whose value is a string.
pub(crate) const FILTER_STATE_FACTORIES: [&str; 4] =
    ["envoy.tcp_proxy.cluster", "envoy.network.upstream_server_name", "envoy.string", "envoy.network.application_protocols"];

/// Attributes that come from the request's headers.
const FROM_REQUEST_HEADERS: [&[u8]; 10] =
    [b"path", b"url_path", b"query", b"host", b"scheme", b"method", b"headers", b"referer", b"useragent", b"id"];

pub(crate) fn find(state: &State, path: &[&[u8]]) -> Option<Value> {
    let stream = state.stream();
    let found = stream.and_then(|stream| find_in_stream(stream, path));
    let found = found.or_else(|| state.settings.attributes.get(path).cloned()).or_else(|| of_plugin(state, path));
    found.or_else(|| stream.and_then(|_| of_any_connection(path))).or_else(|| whole(path))
}

/// Whether this comes from the request's headers, and they are not there now.
pub(crate) fn is_hidden(state: &State, path: &[&[u8]]) -> bool {
    state.stream().is_some_and(|stream| hidden_in(stream, path))
}

fn hidden_in(stream: &Stream, path: &[&[u8]]) -> bool {
    matches!(path, [b"request", name, ..] if FROM_REQUEST_HEADERS.contains(name))
        && !headers_visible(stream, &stream.request)
        && !stream.is_tcp
}

/// Of these only the parts can be had: all of one at once is more than a plain map.
fn whole(path: &[&[u8]]) -> Option<Value> {
    let known: [&[u8]; 6] = [b"request", b"response", b"connection", b"source", b"destination", b"upstream"];
    let unserializable = || Value::Map(BTreeMap::from([(Vec::new(), Value::empty_map())]));
    matches!(path, [name] if known.contains(name)).then(unserializable)
}

/// What every stream has, of a connection whose ends nobody named: in plain text, on loopback, without metadata.
fn of_any_connection(path: &[&[u8]]) -> Option<Value> {
    Some(match path {
        [b"connection", b"mtls"] => Value::Bool(false),
        [b"connection", b"requested_server_name"] => "".into(),
        [b"source", b"address"] => "127.0.0.1:50000".into(),
        [b"source", b"port"] => Value::Integer(50_000),
        [b"destination", b"address"] => "127.0.0.1:10000".into(),
        [b"destination", b"port"] => Value::Integer(10_000),
        [b"metadata"] => "".into(),
        [b"metadata", b"filter_metadata" | b"typed_filter_metadata"] => Value::empty_map(),
        _ => return None,
    })
}

fn of_plugin(state: &State, path: &[&[u8]]) -> Option<Value> {
    let settings = &state.settings;
    match path {
        [b"plugin_name"] => Some(settings.name.as_str().into()),
        [b"plugin_root_id"] => {
            let root = state.root().and_then(|root| state.roots.get(&root));
            Some(root.map_or(settings.root_id.as_str(), |root| root.root_id.as_str()).into())
        }
        [b"plugin_vm_id"] => Some(settings.vm_id.as_str().into()),
        _ => None,
    }
}

fn find_in_stream(stream: &Stream, path: &[&[u8]]) -> Option<Value> {
    let (first, rest) = path.split_first()?;
    if hidden_in(stream, path) {
        // All headers at once are an empty map rather than nothing.
        return matches!(rest, [b"headers"]).then(Value::empty_map);
    }
    if let Some(given) = stream.attributes.get(path) {
        return Some(given.clone());
    }
    let computed = match (*first, rest) {
        (b"request", rest) if !stream.is_tcp => request(stream, rest),
        (b"response", rest) if !stream.is_tcp => response(stream, rest),
        (b"connection", [b"id"]) | (b"connection_id", []) => Some(Value::Integer(stream.id.into())),
        (b"filter_state", rest) => filter_state(stream, rest),
        (b"upstream", [name]) if answered(stream) => {
            let name = std::str::from_utf8(name).ok()?;
            stream.attributes.of_upstream.get(name).cloned()
        }
        _ => None,
    };
    computed.or_else(|| {
        let name = [SET_BY_WASM, first].concat();
        stream.attributes.filter_state.get(&name)?.descend(rest).cloned()
    })
}

/// Whether the response is the upstream's.
fn answered(stream: &Stream) -> bool {
    stream.code_details.as_deref() == Some("via_upstream")
}

/// The whole of filter state cannot be serialized, hence a map of what cannot be in one.
fn filter_state(stream: &Stream, path: &[&[u8]]) -> Option<Value> {
    match path.split_first() {
        Some((name, rest)) => stream.attributes.filter_state.get(*name)?.descend(rest).cloned(),
        None => Some(Value::Map(BTreeMap::from([(Vec::new(), Value::empty_map())]))),
    }
}

const fn headers_visible(stream: &Stream, side: &Side) -> bool {
    side.headers_open || stream.logging && side.present
}

fn request(stream: &Stream, path: &[&[u8]]) -> Option<Value> {
    let side = &stream.request;
    let headers = &side.headers;
    match path {
        [b"path"] => header(headers, b":path"),
        [b"url_path"] => split_path(headers).map(|(path, _)| Value::from(path)),
        [b"query"] => split_path(headers).map(|(_, query)| Value::from(query)),
        [b"host"] => header(headers, b":authority"),
        [b"scheme"] => header(headers, b":scheme"),
        [b"method"] => header(headers, b":method"),
        [b"referer"] => header(headers, b"referer"),
        [b"useragent"] => header(headers, b"user-agent"),
        [b"id"] => header(headers, b"x-request-id"),
        [b"headers"] => Some(all(headers)),
        // Of a request `host` is another name of `:authority`.
        [b"headers", name] if name.eq_ignore_ascii_case(b"host") => header(headers, b":authority"),
        [b"headers", name] => headers.joined(name).map(Value::Bytes),
        [b"time"] => Some(Value::Integer(stream.started.cast_signed())),
        [b"protocol"] => Some("HTTP/1.1".into()),
        [b"size"] => Some(integer(side.received)),
        [b"headers_bytes"] => Some(integer(headers.byte_size())),
        [b"total_size"] => Some(integer(side.received + headers.byte_size())),
        [b"duration"] if stream.logging => Some(Value::Integer(stream.ended.saturating_sub(stream.started).cast_signed())),
        _ => None,
    }
}

fn response(stream: &Stream, path: &[&[u8]]) -> Option<Value> {
    let side = &stream.response;
    let visible = headers_visible(stream, side);
    match path {
        [b"code"] if side.present => side.headers.text(":status")?.parse().ok().map(Value::Integer),
        [b"code_details"] => stream.code_details.as_deref().map(Value::from),
        [b"grpc_status"] if side.present => grpc_status(side).map(Value::Integer),
        [b"headers"] if visible => Some(all(&side.headers)),
        [b"headers"] => Some(Value::empty_map()),
        [b"headers", name] if visible => side.headers.joined(name).map(Value::Bytes),
        [b"trailers", name] if side.trailers_open || stream.logging => side.trailers.as_ref()?.joined(name).map(Value::Bytes),
        // The upstream answers at once.
        [b"backend_latency"] if stream.logging && answered(stream) => Some(Value::Integer(0)),
        [b"flags"] => Some(Value::Integer(0)),
        [b"size"] => Some(integer(side.received)),
        [b"total_size"] => Some(integer(side.received + if side.present { side.headers.byte_size() } else { 0 })),
        _ => None,
    }
}

/// What the response says, else what follows from its HTTP status.
fn grpc_status(side: &Side) -> Option<i64> {
    let said = |headers: &Headers| headers.text("grpc-status").and_then(|status| status.parse().ok());
    let status = side.headers.text(":status").and_then(|status| status.parse().ok());
    said(&side.headers)
        .or_else(|| side.trailers.as_ref().and_then(said))
        .or_else(|| status.map(|status| i64::from(crate::http::grpc_status(status))))
}

fn header(headers: &Headers, name: &[u8]) -> Option<Value> {
    headers.get(name).map(Value::from)
}

fn all(headers: &Headers) -> Value {
    let mut map = BTreeMap::new();
    for (name, _) in headers.iter() {
        if let Some(value) = headers.joined(name) {
            map.insert(name.to_vec(), Value::Bytes(value));
        }
    }
    Value::Map(map)
}

fn split_path(headers: &Headers) -> Option<(&[u8], &[u8])> {
    let path = headers.get(":path")?;
    let mut parts = path.splitn(2, |byte| *byte == b'?');
    Some((parts.next()?, parts.next().unwrap_or_default()))
}

fn integer(number: usize) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
