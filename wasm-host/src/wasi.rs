//! WASI preview 1 as Envoy links it: output goes to the log, time and randomness are the host's, and there are no files. Both module names
//! that toolchains have used are served.

use wasmtime::{Caller, FuncType, Linker, Val, ValType};

use crate::abi::{LogLevel, Status};
use crate::call::Call;
use crate::recorder::MOST_LOG_BYTES;
use crate::state::State;

const MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

const SUCCESS: u32 = 0;
const EBADF: u32 = 8;
const EFAULT: u32 = 21;
const EINVAL: u32 = 28;
const ENOENT: u32 = 44;
const ENOSYS: u32 = 52;
const ENOTSUP: u32 = 58;
const ENOTCAPABLE: u32 = 76;

const LONGEST_RANDOM: u32 = 64 << 10;

/// Functions that do nothing: name, parameters (`i` is i32, `I` is i64) and what they answer.
const WITHOUT_EFFECT: [(&str, &str, u32); 34] = [
    ("clock_res_get", "ii", ENOTSUP),
    ("fd_advise", "iIIi", ENOTSUP),
    ("fd_allocate", "iII", ENOTSUP),
    ("fd_close", "i", SUCCESS),
    ("fd_datasync", "i", ENOTSUP),
    ("fd_fdstat_set_flags", "ii", ENOSYS),
    ("fd_fdstat_set_rights", "iII", ENOTSUP),
    ("fd_filestat_get", "ii", ENOTSUP),
    ("fd_filestat_set_size", "iI", ENOTSUP),
    ("fd_filestat_set_times", "iIIi", ENOTSUP),
    ("fd_pread", "iiiIi", ENOSYS),
    ("fd_prestat_dir_name", "iii", EBADF),
    ("fd_prestat_get", "ii", EBADF),
    ("fd_pwrite", "iiiIi", ENOTSUP),
    ("fd_read", "iiii", ENOSYS),
    ("fd_readdir", "iiiIi", ENOTSUP),
    ("fd_renumber", "ii", ENOTSUP),
    ("fd_seek", "iIii", SUCCESS),
    ("fd_sync", "i", ENOTSUP),
    ("fd_tell", "ii", ENOTSUP),
    ("path_create_directory", "iii", ENOTSUP),
    ("path_filestat_get", "iiiii", ENOTSUP),
    ("path_filestat_set_times", "iiiiIIi", ENOTSUP),
    ("path_link", "iiiiiii", ENOTSUP),
    ("path_open", "iiiiiIIii", ENOENT),
    ("path_readlink", "iiiiii", ENOTSUP),
    ("path_remove_directory", "iii", ENOTSUP),
    ("path_rename", "iiiiii", ENOTSUP),
    ("path_symlink", "iiiii", ENOTSUP),
    ("path_unlink_file", "iii", ENOTSUP),
    ("proc_raise", "i", ENOTSUP),
    ("sched_yield", "", SUCCESS),
    ("sock_recv", "iiiiii", ENOTSUP),
    ("sock_send", "iiiii", ENOTSUP),
];

pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    for module in MODULES {
        link_effects(linker, module)?;
        for (name, parameters, answer) in WITHOUT_EFFECT {
            let parameters = parameters.chars().map(|kind| if kind == 'I' { ValType::I64 } else { ValType::I32 });
            let kind = FuncType::new(linker.engine(), parameters, [ValType::I32]);
            linker.func_new(module, name, kind, move |mut caller, _, results| {
                let answer = if restricted(caller.data_mut(), name) { ENOTCAPABLE } else { answer };
                if let Some(result) = results.first_mut() {
                    *result = Val::I32(answer.cast_signed());
                }
                Ok(())
            })?;
        }
        for (name, parameters) in [("sock_shutdown", 2), ("sock_accept", 3)] {
            let kind = FuncType::new(linker.engine(), (0..parameters).map(|_| ValType::I32), [ValType::I32]);
            linker.func_new(module, name, kind, move |mut caller, _, results| {
                let answer = if restricted(caller.data_mut(), name) { ENOTCAPABLE } else { ENOTSUP };
                if let Some(result) = results.first_mut() {
                    *result = Val::I32(answer.cast_signed());
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

fn link_effects(linker: &mut Linker<State>, module: &str) -> wasmtime::Result<()> {
    linker.func_wrap(module, "fd_write", |caller: Caller<'_, State>, fd: u32, vectors: u32, count: u32, written_out: u32| {
        answer(caller, "fd_write", |call| fd_write(call, fd, vectors, count, written_out))
    })?;
    linker.func_wrap(module, "fd_fdstat_get", |caller: Caller<'_, State>, fd: u32, stat_out: u32| {
        answer(caller, "fd_fdstat_get", |call| fd_fdstat_get(call, fd, stat_out))
    })?;
    linker.func_wrap(module, "environ_sizes_get", |caller: Caller<'_, State>, count_out: u32, size_out: u32| {
        answer(caller, "environ_sizes_get", |call| environ_sizes_get(call, count_out, size_out))
    })?;
    linker.func_wrap(module, "environ_get", |caller: Caller<'_, State>, pointers: u32, texts: u32| {
        answer(caller, "environ_get", |call| environ_get(call, pointers, texts))
    })?;
    linker.func_wrap(module, "args_sizes_get", |caller: Caller<'_, State>, count_out: u32, size_out: u32| {
        answer(caller, "args_sizes_get", |call| {
            call.write_u32(count_out, 0)?;
            call.write_u32(size_out, 0).map(|()| SUCCESS)
        })
    })?;
    linker.func_wrap(module, "args_get", |caller: Caller<'_, State>, _: u32, _: u32| answer(caller, "args_get", |_| Ok(SUCCESS)))?;
    linker.func_wrap(module, "clock_time_get", |caller: Caller<'_, State>, clock: u32, _precision: u64, time_out: u32| {
        answer(caller, "clock_time_get", |call| clock_time_get(call, clock, time_out))
    })?;
    linker.func_wrap(module, "random_get", |caller: Caller<'_, State>, buffer: u32, len: u32| {
        answer(caller, "random_get", |call| random_get(call, buffer, len))
    })?;
    linker.func_wrap(module, "poll_oneoff", |caller: Caller<'_, State>, _: u32, _: u32, _: u32, count_out: u32| {
        answer(caller, "poll_oneoff", |call| call.write_u32(count_out, 0).map(|()| SUCCESS))
    })?;
    // Envoy does not end anything here either; a guest that expects not to return traps by itself.
    linker.func_wrap(module, "proc_exit", |caller: Caller<'_, State>, code: u32| {
        answer(caller, "proc_exit", |call| {
            let state = call.state_mut();
            state.recorder.log(LogLevel::Error, state.context(), format!("proc_exit({code})").as_bytes());
            Ok(SUCCESS)
        });
    })?;
    Ok(())
}

fn answer(caller: Caller<'_, State>, name: &str, body: impl FnOnce(&mut Call<'_>) -> Result<u32, Status>) -> u32 {
    let mut call = Call(caller);
    if restricted(call.state_mut(), name) { ENOTCAPABLE } else { body(&mut call).unwrap_or_else(errno) }
}

/// True, with a line in the log as Envoy writes it, when the guest may not call this.
fn restricted(state: &mut State, name: &str) -> bool {
    let restricted = !state.may(name);
    if restricted {
        let message = format!("Attempted call to restricted WASI capability: {name}");
        state.recorder.log(LogLevel::Error, state.context(), message.as_bytes());
    }
    restricted
}

fn clock_time_get(call: &mut Call<'_>, clock: u32, time_out: u32) -> Result<u32, Status> {
    if clock > 1 {
        return Ok(ENOTSUP);
    }
    let now = call.state().timeline.nanoseconds();
    call.write_u64(time_out, now).map(|()| SUCCESS)
}

fn random_get(call: &mut Call<'_>, buffer: u32, len: u32) -> Result<u32, Status> {
    if len > LONGEST_RANDOM {
        return Ok(EINVAL);
    }
    let bytes = call.state_mut().random.bytes(usize::try_from(len).unwrap_or_default());
    call.write(buffer, &bytes).map(|()| SUCCESS)
}

/// The only failure there is: memory that the guest does not have.
const fn errno(_: Status) -> u32 {
    EFAULT
}

fn fd_write(call: &mut Call<'_>, fd: u32, vectors: u32, count: u32, written_out: u32) -> Result<u32, Status> {
    let level = match fd {
        1 => LogLevel::Info,
        2 => LogLevel::Error,
        _ => return Ok(EBADF),
    };
    let vectors = call.read(vectors, count.checked_mul(8).ok_or(Status::InvalidMemoryAccess)?)?;
    let (mut text, mut written) = (Vec::new(), 0_u32);
    for vector in vectors.as_chunks::<4>().0.as_chunks::<2>().0 {
        let [pointer, len] = vector.map(u32::from_le_bytes);
        written = written.saturating_add(len);
        // All of them may be the same memory: more than a log takes is not copied.
        if text.len() <= MOST_LOG_BYTES {
            text.extend(call.read(pointer, len)?);
        }
    }
    call.write_u32(written_out, written)?;
    let state = call.state_mut();
    let context = state.context();
    if level >= state.settings.log_level {
        state.recorder.log(level, context, text.strip_suffix(b"\n").unwrap_or(&text));
    }
    Ok(SUCCESS)
}

/// Standard output and error can be written to; there is nothing else.
fn fd_fdstat_get(call: &mut Call<'_>, fd: u32, stat_out: u32) -> Result<u32, Status> {
    const RIGHT_FD_WRITE: u64 = 64;
    if !matches!(fd, 1 | 2) {
        return Ok(EBADF);
    }
    call.write(stat_out, [0, RIGHT_FD_WRITE, 0].map(u64::to_le_bytes).as_flattened())?;
    Ok(SUCCESS)
}

fn environ_sizes_get(call: &mut Call<'_>, count_out: u32, size_out: u32) -> Result<u32, Status> {
    let environment = &call.state().settings.environment;
    let count = crate::abi::length(environment.len());
    let size = crate::abi::length(environment.iter().map(|(name, value)| name.len() + value.len() + 2).sum());
    call.write_u32(count_out, count)?;
    call.write_u32(size_out, size)?;
    Ok(SUCCESS)
}

fn environ_get(call: &mut Call<'_>, pointers: u32, texts: u32) -> Result<u32, Status> {
    let settings = call.state().settings.clone();
    let (mut pointer_at, mut text_at) = (pointers, texts);
    for (name, value) in &settings.environment {
        let text = format!("{name}={value}\0");
        call.write_u32(pointer_at, text_at)?;
        call.write(text_at, text.as_bytes())?;
        pointer_at = pointer_at.saturating_add(4);
        text_at = text_at.saturating_add(crate::abi::length(text.len()));
    }
    Ok(SUCCESS)
}
