//! One call of the guest into the host: its memory, its allocator, its status. Every host function goes through here, so that counting,
//! tracing and the rules on where calls may be made are in one place.

use wasmtime::{Caller, Memory};

use crate::abi::{Status, length};
use crate::misuse::Misuse;
use crate::state::State;

/// Why a host function does not answer OK.
#[derive(Debug)]
pub(crate) enum Failure {
    Status(Status),
    Trap(wasmtime::Error),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

pub(crate) type Answer = Result<(), Failure>;

/// A host function was called where none may be.
#[derive(Debug, thiserror::Error)]
#[error("{hostcall} called in {place}, where only logging is allowed (restricted_callback)")]
pub(crate) struct Restricted {
    hostcall: &'static str,
    place: &'static str,
}

/// The guest has made the host keep as much as it may.
#[derive(Debug, thiserror::Error)]
#[error("the guest calls without end, or hands over too much: the host would spend more than {limit} bytes on it")]
pub(crate) struct Flooded {
    limit: usize,
}

/// Counts a call in either direction.
pub(crate) fn count(state: &mut State) -> Result<(), Flooded> {
    state.recorder.spend_call();
    within_limit(state)
}

/// After what may have taken much.
pub(crate) fn within_limit(state: &State) -> Result<(), Flooded> {
    let limit = state.settings.limits.host_memory;
    if state.recorder.spent() > limit { Err(Flooded { limit }) } else { Ok(()) }
}

pub(crate) struct Call<'a>(pub(crate) Caller<'a, State>);

/// Runs a host function of the ABI.
pub(crate) fn hostcall(
    mut caller: Caller<'_, State>,
    name: &'static str,
    body: impl FnOnce(&mut Call<'_>) -> Answer,
) -> wasmtime::Result<u32> {
    if let Some(place) = caller.data().restricted
        && !matches!(name, "proxy_log" | "proxy_get_log_level")
    {
        caller.data_mut().recorder.misuse(Misuse::HostcallInAllocator);
        return Err(wasmtime::Error::new(Restricted { hostcall: name, place }));
    }
    count(caller.data_mut()).map_err(wasmtime::Error::new)?;
    let mut call = Call(caller);
    let prevented = call.state_mut().prevented(name);
    let status = match prevented.map_or_else(|| body(&mut call), |status| Err(status.into())) {
        Ok(()) => Status::Ok,
        Err(Failure::Status(status)) => status,
        Err(Failure::Trap(error)) => return Err(error),
    };
    call.state_mut().recorder.hostcall(name, status);
    Ok(status.code())
}

impl Call<'_> {
    pub(crate) fn state(&self) -> &State {
        self.0.data()
    }

    pub(crate) fn state_mut(&mut self) -> &mut State {
        self.0.data_mut()
    }

    /// A copy of guest memory. Nothing is read, wherever the pointer points, when `len` is 0.
    pub(crate) fn read(&mut self, pointer: u32, len: u32) -> Result<Vec<u8>, Status> {
        if len == 0 {
            return Ok(Vec::new());
        }
        let memory = self.memory()?;
        let range = range(pointer, len)?;
        let bytes = memory.data(&self.0).get(range).map(<[u8]>::to_vec).ok_or(Status::InvalidMemoryAccess)?;
        let recorder = &mut self.state_mut().recorder;
        recorder.copied.from_guest += u64::from(len);
        recorder.spend_bytes(bytes.len());
        Ok(bytes)
    }

    /// What is no UTF-8 is replaced: for names, which are compared with names of ours.
    pub(crate) fn read_text(&mut self, pointer: u32, len: u32) -> Result<String, Status> {
        Ok(String::from_utf8_lossy(&self.read(pointer, len)?).into_owned())
    }

    pub(crate) fn write(&mut self, pointer: u32, bytes: &[u8]) -> Result<(), Status> {
        let memory = self.memory()?;
        let range = range(pointer, length(bytes.len()))?;
        let target = memory.data_mut(&mut self.0).get_mut(range).ok_or(Status::InvalidMemoryAccess)?;
        target.copy_from_slice(bytes);
        self.state_mut().recorder.copied.to_guest += u64::from(length(bytes.len()));
        Ok(())
    }

    pub(crate) fn write_u32(&mut self, pointer: u32, value: u32) -> Result<(), Status> {
        self.write(pointer, &value.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, pointer: u32, value: u64) -> Result<(), Status> {
        self.write(pointer, &value.to_le_bytes())
    }

    /// Gives bytes to the guest, in memory that its own allocator makes and that is the guest's from then on. No bytes are a null pointer.
    pub(crate) fn give(&mut self, bytes: &[u8], pointer_out: u32, size_out: u32) -> Answer {
        let pointer = if bytes.is_empty() { 0 } else { self.allocate(bytes)? };
        self.write_u32(pointer_out, pointer)?;
        self.write_u32(size_out, length(bytes.len()))?;
        Ok(())
    }

    /// The same where either pointer may be null, and is left alone then.
    pub(crate) fn give_optional(&mut self, bytes: &[u8], pointer_out: u32, size_out: u32) -> Answer {
        if pointer_out != 0 {
            let pointer = if bytes.is_empty() { 0 } else { self.allocate(bytes)? };
            self.write_u32(pointer_out, pointer)?;
        }
        if size_out != 0 {
            self.write_u32(size_out, length(bytes.len()))?;
        }
        Ok(())
    }

    fn allocate(&mut self, bytes: &[u8]) -> Result<u32, Failure> {
        let allocator = self.state().allocator.clone().ok_or(Status::InternalFailure)?;
        self.state_mut().recorder.copied.allocations += 1;
        let before = self.state_mut().restricted.replace("the guest's allocator");
        let allocated = allocator.call(&mut self.0, length(bytes.len()));
        self.state_mut().restricted = before;
        match allocated.map_err(Failure::Trap)? {
            0 => Err(Status::InvalidMemoryAccess.into()),
            pointer => {
                self.write(pointer, bytes)?;
                Ok(pointer)
            }
        }
    }

    fn memory(&mut self) -> Result<Memory, Status> {
        let known = self.state().memory;
        // A module's start function runs before its exports can be looked up from outside.
        let memory = known.or_else(|| self.0.get_export("memory").and_then(wasmtime::Extern::into_memory));
        memory.ok_or(Status::InvalidMemoryAccess)
    }
}

fn range(pointer: u32, len: u32) -> Result<std::ops::Range<usize>, Status> {
    let start = usize::try_from(pointer).map_err(|_| Status::InvalidMemoryAccess)?;
    let len = usize::try_from(len).map_err(|_| Status::InvalidMemoryAccess)?;
    let end = start.checked_add(len).ok_or(Status::InvalidMemoryAccess)?;
    Ok(start..end)
}
