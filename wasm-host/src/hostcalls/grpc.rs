//! gRPC calls. Not built: starting one answers UNIMPLEMENTED, so that there is never a token to be known.

use wasmtime::Linker;

use crate::abi::Status;
use crate::call::{Answer, Call};
use crate::state::State;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "proxy_grpc_call" => start, (service: u32, service_len: u32, name: u32, name_len: u32, method: u32, method_len: u32,
            metadata: u32, metadata_len: u32, message: u32, message_len: u32, timeout: u32, token_out: u32);
        "proxy_grpc_stream" => start_stream, (service: u32, service_len: u32, name: u32, name_len: u32, method: u32, method_len: u32,
            metadata: u32, metadata_len: u32, token_out: u32);
        "proxy_grpc_send" => send, (token: u32, message: u32, len: u32, end: u32);
        "proxy_grpc_cancel" => no_such_token, (token: u32);
        "proxy_grpc_close" => no_such_token, (token: u32);
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn start(_: &mut Call<'_>, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32) -> Answer {
    unimplemented()
}

#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn start_stream(_: &mut Call<'_>, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32) -> Answer {
    unimplemented()
}

const fn unimplemented() -> Answer {
    Err(crate::call::Failure::Status(Status::Unimplemented))
}

fn no_such_token(_: &mut Call<'_>, _token: u32) -> Answer {
    Err(Status::NotFound.into())
}

fn send(call: &mut Call<'_>, token: u32, _message: u32, _len: u32, _end: u32) -> Answer {
    no_such_token(call, token)
}
