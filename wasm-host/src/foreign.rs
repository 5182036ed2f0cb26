//! Foreign functions: those that Envoy registers, and the type of those that a test registers.

mod expressions;
mod sign;
mod signature;

use std::fmt;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use prost::Message;

use crate::abi::Status;

pub(crate) use expressions::{Expressions, create, delete, evaluate};
pub(crate) use sign::sign;
pub(crate) use signature::verify_signature;

type Function = dyn Fn(&[u8]) -> Result<Vec<u8>, Status> + Send + Sync;

/// A function that a test registered.
#[derive(Clone)]
pub(crate) struct ForeignFunction(pub(crate) Arc<Function>);

impl fmt::Debug for ForeignFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForeignFunction")
    }
}

/// Functions that Envoy 1.40 has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    VerifySignature,
    SetEnvoyFilterState,
    ClearRouteCache,
    Sign,
    Compress,
    Uncompress,
    DeclareProperty,
    ExprCreate,
    ExprEvaluate,
    ExprDelete,
}

impl Builtin {
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "verify_signature" => Self::VerifySignature,
            "set_envoy_filter_state" => Self::SetEnvoyFilterState,
            "clear_route_cache" => Self::ClearRouteCache,
            "sign" => Self::Sign,
            "compress" => Self::Compress,
            "uncompress" => Self::Uncompress,
            "declare_property" => Self::DeclareProperty,
            "expr_create" => Self::ExprCreate,
            "expr_evaluate" => Self::ExprEvaluate,
            "expr_delete" => Self::ExprDelete,
            _ => return None,
        })
    }
}

/// `envoy.source.extensions.common.wasm.SetEnvoyFilterStateArguments`
#[derive(Clone, PartialEq, Message)]
struct SetEnvoyFilterStateArguments {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
    /// Lifespan: filter chain, request, connection. One stream is all there is here.
    #[prost(int32, tag = "3")]
    span: i32,
}

/// The path and value to set.
pub(crate) fn filter_state_argument(argument: &[u8]) -> Result<(String, Vec<u8>), Status> {
    let SetEnvoyFilterStateArguments { path, value, span: _ } =
        SetEnvoyFilterStateArguments::decode(argument).map_err(|_| Status::BadArgument)?;
    Ok((path, value))
}

/// `envoy.source.extensions.common.wasm.DeclarePropertyArguments`, without the schema of what is made of protobuf or flat buffers, and the span.
#[derive(Clone, PartialEq, Message)]
struct DeclarePropertyArguments {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, tag = "2")]
    readonly: bool,
    /// Bytes, string, flat buffers, protobuf.
    #[prost(int32, tag = "3")]
    kind: i32,
}

/// How a property is set and read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Declared {
    /// It can be set only once.
    pub(crate) once: bool,
    /// To expressions it is a text, where others are bytes.
    pub(crate) text: bool,
}

/// The property's name, and what is declared of it.
pub(crate) fn property_argument(argument: &[u8]) -> Result<(String, Declared), Status> {
    let DeclarePropertyArguments { name, readonly, kind } = DeclarePropertyArguments::decode(argument).map_err(|_| Status::BadArgument)?;
    Ok((name, Declared { once: readonly, text: kind == 1 }))
}

/// The zlib format (RFC 1950).
pub(crate) fn compress(bytes: &[u8]) -> Result<Vec<u8>, Status> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).map_err(|_| Status::SerializationFailure)
}

/// Not more than `most` bytes: what is small can become anything.
pub(crate) fn uncompress(bytes: &[u8], most: usize) -> Result<Vec<u8>, Status> {
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut out = Vec::new();
    let mut decoder = flate2::read::ZlibDecoder::new(bytes).take(limit);
    decoder.read_to_end(&mut out).map_err(|_| Status::SerializationFailure)?;
    if out.len() > most { Err(Status::SerializationFailure) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_is_uncompressed_and_a_bomb_is_refused() {
        let zeros = vec![0; 1 << 20];
        let small = compress(&zeros).unwrap();
        assert!(small.len() < 2000);
        assert_eq!(uncompress(&small, 1 << 20), Ok(zeros));
        assert_eq!(uncompress(&small, (1 << 20) - 1), Err(Status::SerializationFailure));
        assert_eq!(uncompress(b"no zlib", 100), Err(Status::SerializationFailure));
    }
}
