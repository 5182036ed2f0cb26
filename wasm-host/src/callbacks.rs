//! The functions that a module may export for the host to call, and the check of their types.

use wasmtime::{ExternType, FuncType, Module, ValType};

use crate::abi::AbiVersion;
use crate::error::LoadError;

/// Name, number of `i32` parameters, number of `i32` results.
pub(crate) const CALLBACKS: [(&str, usize, usize); 33] = [
    ("_initialize", 0, 0),
    ("_start", 0, 0),
    ("main", 2, 1),
    ("__main_void", 0, 1),
    ("proxy_on_context_create", 2, 0),
    ("proxy_on_vm_start", 2, 1),
    ("proxy_validate_configuration", 2, 1),
    ("proxy_on_configure", 2, 1),
    ("proxy_on_tick", 1, 0),
    ("proxy_on_new_connection", 1, 1),
    ("proxy_on_downstream_data", 3, 1),
    ("proxy_on_upstream_data", 3, 1),
    ("proxy_on_downstream_connection_close", 2, 0),
    ("proxy_on_upstream_connection_close", 2, 0),
    ("proxy_on_request_headers", 3, 1),
    ("proxy_on_request_body", 3, 1),
    ("proxy_on_request_trailers", 2, 1),
    ("proxy_on_response_headers", 3, 1),
    ("proxy_on_response_body", 3, 1),
    ("proxy_on_response_trailers", 2, 1),
    ("proxy_on_http_call_response", 5, 0),
    ("proxy_on_grpc_receive_initial_metadata", 3, 0),
    ("proxy_on_grpc_receive", 3, 0),
    ("proxy_on_grpc_receive_trailing_metadata", 3, 0),
    ("proxy_on_grpc_close", 3, 0),
    ("proxy_on_queue_ready", 2, 0),
    ("proxy_on_foreign_function", 3, 0),
    ("proxy_on_done", 1, 1),
    ("proxy_on_log", 1, 0),
    ("proxy_on_delete", 1, 0),
    ("proxy_on_memory_allocate", 1, 1),
    ("envoy_on_resolve_dns", 3, 0),
    // Only of a sink of statistics.
    ("envoy_on_stats_update", 2, 0),
];

/// Only the allocators may also be called by this name.
pub(crate) const MALLOC: &str = "malloc";

pub(crate) fn abi_of(module: &Module) -> Result<AbiVersion, LoadError> {
    let found = AbiVersion::ALL.into_iter().rev().find(|version| function(module, version.marker()).is_some());
    found.ok_or_else(|| LoadError::UnknownAbi { known: AbiVersion::ALL.map(|version| format!("`{}`", version.marker())).join(", ") })
}

/// Refuses exports that a host could not call.
pub(crate) fn check_exports(module: &Module, abi: AbiVersion) -> Result<(), LoadError> {
    if function(module, MALLOC).or_else(|| function(module, "proxy_on_memory_allocate")).is_none() {
        return Err(LoadError::NoAllocator);
    }
    for (name, parameters, results) in CALLBACKS.into_iter().chain([(MALLOC, 1, 1)]) {
        // Of the module's own start only what is called is looked at.
        let initializes = function(module, "_initialize").is_some();
        if matches!(name, "main" | "__main_void") && !initializes || name == "_start" && initializes {
            continue;
        }
        let headers = matches!(name, "proxy_on_request_headers" | "proxy_on_response_headers");
        // ABI 0.1.0 does not tell whether the stream ends with the headers.
        let parameters = if abi == AbiVersion::V0_1_0 && headers { parameters - 1 } else { parameters };
        if let Some(kind) = function(module, name).filter(|kind| !is(kind, parameters, results)) {
            let expected = format!("({}) -> ({})", vec!["i32"; parameters].join(", "), vec!["i32"; results].join(", "));
            return Err(LoadError::ExportType { export: name.to_owned(), found: signature(&kind), expected });
        }
    }
    Ok(())
}

/// An export that is none is as if it were not there.
fn function(module: &Module, name: &str) -> Option<FuncType> {
    match module.get_export(name)? {
        ExternType::Func(kind) => Some(kind),
        ExternType::Global(_) | ExternType::Table(_) | ExternType::Memory(_) | ExternType::Tag(_) => None,
    }
}

fn is(kind: &FuncType, parameters: usize, results: usize) -> bool {
    let all_i32 = kind.params().chain(kind.results()).all(|value| matches!(value, ValType::I32));
    all_i32 && kind.params().len() == parameters && kind.results().len() == results
}

fn signature(kind: &FuncType) -> String {
    let list = |types: Vec<ValType>| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("({}) -> ({})", list(kind.params().collect()), list(kind.results().collect()))
}
