//! Protobuf's well-known types, short to write.

use std::time::Duration;

use envoy_types::pb::google::protobuf as proto;
use prost::{Message, Name};

#[expect(clippy::unnecessary_wraps, reason = "every wrapper field of a message is an `Option`")]
pub(crate) fn uint32(value: u32) -> Option<proto::UInt32Value> {
    Some(proto::UInt32Value { value })
}

#[expect(clippy::unnecessary_wraps, reason = "every wrapper field of a message is an `Option`")]
pub(crate) fn boolean(value: bool) -> Option<proto::BoolValue> {
    Some(proto::BoolValue { value })
}

/// Envoy refuses more than about 292 years (2^63 nanoseconds); so does this, by staying below.
#[expect(clippy::unnecessary_wraps, reason = "every duration field of a message is an `Option`")]
pub(crate) fn duration(value: Duration) -> Option<proto::Duration> {
    const LONGEST: u64 = 9_000_000_000;
    let seconds = i64::try_from(value.as_secs().min(LONGEST)).unwrap_or(i64::MAX);
    Some(proto::Duration { seconds, nanos: i32::try_from(value.subsec_nanos()).unwrap_or_default() })
}

pub(crate) fn string(value: &str) -> proto::Value {
    proto::Value { kind: Some(proto::value::Kind::StringValue(value.to_owned())) }
}

/// A struct of one field: with two, its encoding would depend on a hash map's order.
pub(crate) fn structure(key: &str, value: proto::Value) -> proto::Struct {
    proto::Struct { fields: [(key.to_owned(), value)].into() }
}

pub(crate) fn pack<M: Message + Name>(message: &M) -> proto::Any {
    proto::Any { type_url: M::type_url(), value: message.encode_to_vec() }
}
