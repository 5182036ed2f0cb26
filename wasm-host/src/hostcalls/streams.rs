//! What a filter does to its stream: go on, close, reply. Nothing happens before its callback has returned.

use wasmtime::Linker;

use crate::abi::{Status, StreamType};
use crate::call::{Answer, Call};
use crate::misuse::Misuse;
use crate::report::LocalReply;
use crate::state::State;
use crate::stream::Stream;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "proxy_continue_stream" => continue_stream, (stream: u32);
        "proxy_close_stream" => close_stream, (stream: u32);
    }
    Ok(())
}

pub(super) fn link_local_response(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::define! { linker;
        "proxy_send_local_response" => send_local_response,
            (status: u32, details: u32, details_len: u32, body: u32, body_len: u32, headers: u32, headers_len: u32, grpc_status: u32);
    }
    Ok(())
}

fn continue_stream(call: &mut Call<'_>, stream: u32) -> Answer {
    resume(call, StreamType::from_wire(stream).ok_or(Status::BadArgument)?)
}

pub(super) fn resume(call: &mut Call<'_>, kind: StreamType) -> Answer {
    let state = call.state_mut();
    match kind {
        StreamType::Upstream => return Err(Status::Unimplemented.into()),
        StreamType::Downstream => {
            if let Some(stream) = state.stream_mut().filter(|stream| stream.is_tcp) {
                stream.request.resume = true;
            }
            return Ok(());
        }
        StreamType::Request | StreamType::Response => {}
    }
    let own_callback = state.current == state.context();
    let Some(stream) = state.stream_mut().filter(|stream| !stream.is_tcp) else {
        return Ok(());
    };
    let too_early = kind == StreamType::Response && !stream.response.present;
    let side = match kind {
        StreamType::Request => &mut stream.request,
        StreamType::Response | StreamType::Downstream | StreamType::Upstream => &mut stream.response,
    };
    // In its own callback a stream may resume what the callback is about to pause.
    let misuse = match (side.resume, side.waiting || own_callback) {
        _ if stream.logging => None,
        _ if too_early => Some(Misuse::ResumeResponseInRequest),
        (true, _) => Some(Misuse::ResumeTwice),
        (false, false) => Some(Misuse::ResumeWithoutPause),
        (false, true) => None,
    };
    side.resume = true;
    stream.request.close();
    if let Some(misuse) = misuse {
        state.recorder.misuse(misuse);
    }
    Ok(())
}

fn close_stream(call: &mut Call<'_>, stream: u32) -> Answer {
    let kind = StreamType::from_wire(stream).ok_or(Status::BadArgument)?;
    let is_tcp = matches!(kind, StreamType::Downstream | StreamType::Upstream);
    if let Some(stream) = call.state_mut().stream_mut().filter(|stream| stream.is_tcp == is_tcp) {
        let logging = stream.logging && !is_tcp;
        stream.close = true;
        if logging {
            call.state_mut().recorder.misuse(Misuse::CloseInLog);
        }
    }
    Ok(())
}

/// The first reply wins; later ones are answered OK and forgotten, and so is one of a root context.
#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn send_local_response(
    call: &mut Call<'_>,
    status: u32,
    details: u32,
    details_len: u32,
    body: u32,
    body_len: u32,
    headers: u32,
    headers_len: u32,
    grpc_status: u32,
) -> Answer {
    let reply = LocalReply {
        status,
        details: call.read_text(details, details_len)?.replace([' ', '\t', '\n', '\r', '\x0b', '\x0c'], "_"),
        body: call.read(body, body_len)?,
        headers: super::headers::parse_pairs(&call.read(headers, headers_len)?),
        // -1 is "not set".
        grpc_status: (grpc_status != u32::MAX).then_some(grpc_status),
    };
    let state = call.state_mut();
    if super::headers::breaks_lines(reply.headers.iter().map(|(_, value)| value)) {
        state.recorder.misuse(Misuse::LineBreakInHeader);
    }
    let replying = |stream: &&mut Stream| !stream.is_tcp;
    let Some(stream) = state.stream_mut().filter(replying) else {
        return Ok(());
    };
    if stream.logging {
        state.recorder.misuse(Misuse::ReplyInLog);
    } else if stream.local_reply.is_none() {
        stream.local_reply = Some(reply);
    }
    Ok(())
}
