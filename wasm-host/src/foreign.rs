//! Foreign functions: those that Envoy registers, as far as they are built, and the type of those that a test registers.

mod signature;

use std::fmt;
use std::sync::Arc;

use prost::Message;

use crate::abi::Status;

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
    /// Envoy has it, this host does not: not the same as a name that no one has.
    NotBuilt,
}

impl Builtin {
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "verify_signature" => Self::VerifySignature,
            "set_envoy_filter_state" => Self::SetEnvoyFilterState,
            "clear_route_cache" => Self::ClearRouteCache,
            "sign" | "compress" | "uncompress" | "declare_property" | "expr_create" | "expr_evaluate" | "expr_delete" => Self::NotBuilt,
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
