//! One VM: calls its exports with limits and turns traps into reports. Knows no streams' order.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Instance, Store};

use crate::abi::length;
use crate::call::{self, Flooded, Restricted};
use crate::calls::{CallEnd, message};
use crate::engine::epochs;
use crate::exports::Exports;
use crate::grpc::GrpcEvent;
use crate::host::{Host, Linked};
use crate::message::{Message, Response};
use crate::plugin::Settings;
use crate::report::{Report, Trap, TrapKind};
use crate::state::State;
use crate::stream::Stream;
use crate::timeline::Event;

/// The guest trapped, now or before: the VM cannot be used. The report says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trapped;

pub(crate) struct Vm {
    store: Store<State>,
    instance: Instance,
    exports: Arc<Exports>,
    deadline: u64,
    failed: bool,
    /// Fuel that was left at the last report, when it is counted.
    fuel: Option<u64>,
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm").field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl Vm {
    /// In the pool while there is a place in it.
    pub(crate) fn new(host: &Host, settings: &Arc<Settings>) -> wasmtime::Result<Self> {
        match Self::on(host.linked(), host, settings) {
            Err(error) if error.is::<wasmtime::PoolConcurrencyLimitError>() => Self::on(host.outside_the_pool()?, host, settings),
            made => made,
        }
    }

    fn on(linked: &Linked, host: &Host, settings: &Arc<Settings>) -> wasmtime::Result<Self> {
        let deadline = epochs(settings.limits.callback);
        let mut store = Store::new(&linked.runtime.engine, State::new(host.abi_version(), Arc::clone(settings)));
        store.limiter(|state| &mut state.limiter);
        store.set_epoch_deadline(deadline);
        let fuel = host.is_metered().then_some(u64::MAX);
        if let Some(fuel) = fuel {
            store.set_fuel(fuel)?;
        }
        store.data_mut().restricted = Some("the module's start function");
        let instance = linked.instance.instantiate(&mut store)?;
        store.data_mut().restricted = None;
        let exports = Arc::clone(&linked.exports);
        let memory = exports.memory(&mut store, instance);
        let allocator = exports.allocator(&mut store, instance).map(|function| function.typed(&store)).transpose()?;
        let state = store.data_mut();
        state.memory = memory;
        state.allocator = allocator;
        Ok(Self { store, instance, exports, deadline, failed: false, fuel })
    }

    pub(crate) fn state(&self) -> &State {
        self.store.data()
    }

    pub(crate) fn state_mut(&mut self) -> &mut State {
        self.store.data_mut()
    }

    pub(crate) const fn failed(&self) -> bool {
        self.failed
    }

    /// Runs the module's own start: `_initialize` and then `main`, or else `_start`. Only logging and WASI are allowed in it.
    pub(crate) fn initialize(&mut self) -> Result<(), Trapped> {
        self.state_mut().restricted = Some("the module's initialisation");
        if self.exports.callback("_initialize").is_some() {
            self.invoke("_initialize", 0, &[])?;
            if self.exports.callback("main").is_some() {
                self.invoke("main", 0, &[0, 0])?;
            } else {
                self.invoke("__main_void", 0, &[])?;
            }
        } else {
            self.invoke("_start", 0, &[])?;
        }
        self.state_mut().restricted = None;
        Ok(())
    }

    /// Calls an export about a context. `None` when the module does not have it or it returns nothing.
    pub(crate) fn invoke(&mut self, name: &'static str, context: u32, arguments: &[u32]) -> Result<Option<u32>, Trapped> {
        if self.failed {
            return Err(Trapped);
        }
        let exports = Arc::clone(&self.exports);
        let Some(callback) = exports.callback(name).filter(|_| self.may_call(name)) else {
            return Ok(None);
        };
        let place = self.state_mut().recorder.callback(name, context);
        if let Err(flooded) = call::count(self.state_mut()) {
            self.trap(name, TrapKind::Flood, flooded.to_string());
            return Err(Trapped);
        }
        self.store.set_epoch_deadline(self.deadline);
        let outer = std::mem::replace(&mut self.state_mut().current, context);
        let called = callback.call(&mut self.store, self.instance, arguments);
        let state = self.state_mut();
        state.current = outer;
        state.effective = None;
        match called {
            Ok(result) => {
                state.recorder.callback_returned(place, result);
                Ok(result)
            }
            Err(error) => {
                self.trap(name, kind_of(&error), format!("{error:#}"));
                Err(Trapped)
            }
        }
    }

    fn trap(&mut self, callback: &'static str, kind: TrapKind, message: String) {
        self.state_mut().recorder.traps.push(Trap { callback, kind, message });
        self.failed = true;
    }

    /// Callbacks can be restricted, but not the allocator.
    fn may_call(&self, name: &str) -> bool {
        !name.starts_with("proxy_on_") || self.state().may(name)
    }

    /// Makes a stream and its context.
    pub(crate) fn open_stream(&mut self, root: u32, stream: Stream) -> (u32, Result<(), Trapped>) {
        let state = self.state_mut();
        let id = state.next_context();
        let started = state.timeline.nanoseconds();
        state.streams.insert(id, Stream { id, root, started, ..stream });
        (id, self.invoke("proxy_on_context_create", id, &[id, root]).map(|_| ()))
    }

    /// Takes a stream that has ended away, and with it a root that waited for it.
    pub(crate) fn close_stream(&mut self, id: u32) -> Stream {
        let stream = self.state_mut().streams.remove(&id).unwrap_or_default();
        self.state_mut().scratch.remove(&id);
        self.state_mut().declared_properties.remove(&id);
        // A trap is in the report.
        let _ = self.end_idle_roots();
        stream
    }

    /// Lets the next thing that is due by `until` happen; false when nothing is.
    pub(crate) fn next_event(&mut self, until: Duration) -> Result<bool, Trapped> {
        self.take_announcements();
        let Some(event) = self.state_mut().timeline.next(until) else {
            return Ok(false);
        };
        match event {
            Event::CallEnds { token, end } => self.deliver_answer(token, end)?,
            Event::Grpc { token, event } => self.deliver_grpc(token, event)?,
            Event::Reconfigure { configuration } => {
                self.replace_root(configuration)?;
            }
            Event::Tick { root, armed } => self.tick(root, armed)?,
            Event::Resolved { root, token, answer } => {
                let size = length(answer.len());
                self.state_mut().scratch.insert(root, answer);
                self.invoke("envoy_on_resolve_dns", root, &[root, token, size])?;
            }
            Event::QueueReady { root, queue } => {
                self.invoke("proxy_on_queue_ready", root, &[root, queue])?;
            }
        }
        Ok(true)
    }

    /// Other VMs put something into queues of this one.
    fn take_announcements(&mut self) {
        let state = self.state_mut();
        for queue in state.settings.shared.take_announced(state.vm) {
            if let Some(root) = state.queues.get(&queue).copied() {
                state.timeline.after(Duration::ZERO, Event::QueueReady { root, queue });
            }
        }
    }

    /// The answer goes to the root context, which finds out itself for which stream it is.
    fn deliver_answer(&mut self, token: u32, end: CallEnd) -> Result<(), Trapped> {
        let Some(root) = self.state_mut().calls.pending.remove(&token) else {
            return Ok(());
        };
        let answer = match end {
            CallEnd::Response(response) => {
                let Response { headers, chunks, trailers } = *response;
                message(headers, &chunks, trailers)
            }
            CallEnd::Reset => Message::default(),
        };
        let sizes = [answer.headers.len(), answer.body.len(), answer.trailers.len()].map(length);
        let [headers, body, trailers] = sizes;
        self.state_mut().calls.delivering = Some(answer);
        let called = self.invoke("proxy_on_http_call_response", root, &[root, token, headers, body, trailers]);
        self.state_mut().calls.delivering = None;
        called.map(|_| ())
    }

    /// One that was cancelled meanwhile hears nothing. A call is over with its one answer, a stream with its close.
    fn deliver_grpc(&mut self, token: u32, event: GrpcEvent) -> Result<(), Trapped> {
        let grpc = &mut self.state_mut().grpc;
        let Some((root, streaming)) = grpc.open.get(&token).map(|open| (open.root, open.streaming)) else {
            return Ok(());
        };
        if !streaming || matches!(event, GrpcEvent::Close(..)) {
            grpc.open.remove(&token);
        }
        let (name, argument) = match &event {
            GrpcEvent::Initial(metadata) => ("proxy_on_grpc_receive_initial_metadata", length(metadata.len())),
            GrpcEvent::Message(message) => ("proxy_on_grpc_receive", length(message.len())),
            GrpcEvent::Trailing(metadata) => ("proxy_on_grpc_receive_trailing_metadata", length(metadata.len())),
            GrpcEvent::Close(status, _) => ("proxy_on_grpc_close", *status),
        };
        if let GrpcEvent::Close(status, text) = &event {
            self.state_mut().last_status = (*status, text.clone());
        }
        self.state_mut().grpc.delivering = Some(event);
        let called = self.invoke(name, root, &[root, token, argument]);
        let state = self.state_mut();
        state.grpc.delivering = None;
        state.last_status = (0, String::new());
        called.map(|_| ())
    }

    /// Fires unless the timer was set anew or stopped since, and is set again afterwards.
    fn tick(&mut self, id: u32, armed: u64) -> Result<(), Trapped> {
        if self.state().roots.get(&id).is_none_or(|root| root.armed != armed) {
            return Ok(());
        }
        self.invoke("proxy_on_tick", id, &[id])?;
        let state = self.state_mut();
        if let Some(root) = state.roots.get(&id).filter(|root| root.armed == armed) {
            state.timeline.after(root.tick_period, Event::Tick { root: id, armed });
        }
        Ok(())
    }

    pub(crate) fn take_report(&mut self) -> Report {
        let memory = self.state().memory.map_or(0, |memory| memory.data_size(&self.store));
        let used = self.fuel.map(|before| {
            let left = self.store.get_fuel().unwrap_or_default();
            self.fuel = Some(left);
            before.saturating_sub(left)
        });
        self.state_mut().take_report(u64::try_from(memory).unwrap_or(u64::MAX), used)
    }
}

fn kind_of(error: &wasmtime::Error) -> TrapKind {
    if error.downcast_ref::<Restricted>().is_some() {
        return TrapKind::Restricted;
    }
    if error.downcast_ref::<Flooded>().is_some() {
        return TrapKind::Flood;
    }
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::UnreachableCodeReached) => TrapKind::Unreachable,
        Some(wasmtime::Trap::Interrupt) => TrapKind::Deadline,
        Some(wasmtime::Trap::StackOverflow) => TrapKind::StackOverflow,
        _ => TrapKind::Other,
    }
}
