//! Calls of functions by name.

use std::collections::btree_map::Entry;

use wasmtime::Linker;

use crate::abi::Status;
use crate::call::{Answer, Call, Failure, within_limit};
use crate::foreign::{self, Builtin};
use crate::property;
use crate::state::State;
use crate::value::Value;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "proxy_call_foreign_function" => call_foreign_function,
            (name: u32, name_len: u32, argument: u32, argument_len: u32, pointer_out: u32, size_out: u32);
    }
    Ok(())
}

/// A registered function goes before one that is built in. Pointer and size of the result are optional, each by itself: null pointers are left alone.
fn call_foreign_function(
    call: &mut Call<'_>,
    name: u32,
    name_len: u32,
    argument: u32,
    argument_len: u32,
    pointer_out: u32,
    size_out: u32,
) -> Answer {
    let name = call.read_text(name, name_len)?;
    let argument = call.read(argument, argument_len)?;
    let registered = call.state().settings.foreign_functions.get(&name).cloned();
    let result = match registered {
        Some(function) => function.0(&argument),
        None => built_in(call.state_mut(), Builtin::by_name(&name).ok_or(Status::NotFound)?, &argument),
    };
    within_limit(call.state()).map_err(|flooded| Failure::Trap(wasmtime::Error::new(flooded)))?;
    match result {
        Ok(result) => call.give_optional(&result, pointer_out, size_out),
        // The result is nothing then.
        Err(status) => call.give_optional(&[], pointer_out, size_out).and(Err(status.into())),
    }
}

fn built_in(state: &mut State, function: Builtin, argument: &[u8]) -> Result<Vec<u8>, Status> {
    match function {
        Builtin::VerifySignature => foreign::verify_signature(argument),
        Builtin::ClearRouteCache => {
            if let Some(stream) = state.stream_mut() {
                stream.route_cache_cleared = true;
            }
            Ok(Vec::new())
        }
        Builtin::SetEnvoyFilterState => {
            let (path, value) = foreign::filter_state_argument(argument)?;
            // Envoy knows how to make only objects that have a factory.
            if !property::FILTER_STATE_FACTORIES.contains(&path.as_str()) {
                return Err(Status::NotFound);
            }
            let stream = state.stream_mut().ok_or(Status::NotFound)?;
            stream.attributes.filter_state.insert(path.into_bytes(), Value::Bytes(value));
            Ok(Vec::new())
        }
        Builtin::Sign => foreign::sign(argument),
        Builtin::Compress => foreign::compress(argument),
        Builtin::Uncompress => foreign::uncompress(argument, state.settings.limits.memory),
        Builtin::DeclareProperty => {
            let (name, declared) = foreign::property_argument(argument)?;
            let context = state.context();
            match state.declared_properties.entry(context).or_default().entry(name.into_bytes()) {
                Entry::Vacant(entry) => {
                    entry.insert(declared);
                    Ok(Vec::new())
                }
                // The first declaration stays.
                Entry::Occupied(_) => Err(Status::BadArgument),
            }
        }
        Builtin::ExprCreate => foreign::create(state, argument),
        Builtin::ExprEvaluate => foreign::evaluate(state, argument),
        Builtin::ExprDelete => foreign::delete(state, argument),
    }
}
