//! Values between the library's types and those of the host.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cel::objects::{Key, Map};

use crate::abi::Status;
use crate::value::Value;

/// Texts, numbers and trees of them.
pub(super) fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Bytes(bytes) => text(bytes),
        Value::Integer(number) => cel::Value::Int(*number),
        Value::Double(number) => cel::Value::Float(*number),
        Value::Bool(value) => cel::Value::Bool(*value),
        Value::List(list) => cel::Value::List(Arc::new(list.iter().map(to_cel).collect())),
        Value::Map(map) => {
            let pairs = map.iter().map(|(key, value)| (Key::from(String::from_utf8_lossy(key).into_owned()), to_cel(value)));
            cel::Value::Map(Map { map: Arc::new(pairs.collect::<HashMap<_, _>>()) })
        }
    }
}

pub(super) fn text(bytes: &[u8]) -> cel::Value {
    cel::Value::from(String::from_utf8_lossy(bytes).into_owned())
}

pub(super) fn timestamp(nanoseconds: i64) -> cel::Value {
    cel::Value::Timestamp(chrono::DateTime::from_timestamp_nanos(nanoseconds).fixed_offset())
}

/// Of what has no form of its own in the ABI there is none: null, types, and trees of attributes.
pub(super) fn from_cel(value: &cel::Value) -> Result<Value, Status> {
    Ok(match value {
        cel::Value::String(text) => Value::Bytes(text.as_bytes().to_vec()),
        cel::Value::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
        cel::Value::Int(number) => Value::Integer(*number),
        cel::Value::UInt(number) => Value::Integer(number.cast_signed()),
        cel::Value::Float(number) => Value::Double(*number),
        cel::Value::Bool(value) => Value::Bool(*value),
        cel::Value::Duration(duration) => Value::Integer(duration.num_nanoseconds().unwrap_or(edge(duration.num_seconds()))),
        cel::Value::Timestamp(time) => Value::Integer(time.timestamp_nanos_opt().unwrap_or(edge(time.timestamp()))),
        cel::Value::List(list) => Value::List(list.iter().map(member).collect::<Result<_, _>>()?),
        cel::Value::Map(map) => {
            let pairs = map.map.iter().map(|(key, value)| Ok((from_key(key), member(value)?)));
            Value::Map(pairs.collect::<Result<BTreeMap<_, _>, Status>>()?)
        }
        cel::Value::Null | cel::Value::Function(..) | cel::Value::Opaque(_) | cel::Value::Struct(_) => {
            return Err(Status::SerializationFailure);
        }
    })
}

/// A list or map in another is in there in its own form.
fn member(value: &cel::Value) -> Result<Value, Status> {
    Ok(Value::Bytes(from_cel(value)?.encode()?))
}

/// What nanoseconds cannot say is the least or the most that they can.
const fn edge(seconds: i64) -> i64 {
    if seconds < 0 { i64::MIN } else { i64::MAX }
}

fn from_key(key: &Key) -> Vec<u8> {
    match key {
        Key::Int(number) => number.to_le_bytes().to_vec(),
        Key::Uint(number) => number.to_le_bytes().to_vec(),
        Key::Bool(value) => vec![u8::from(*value)],
        Key::String(text) => text.as_bytes().to_vec(),
    }
}
