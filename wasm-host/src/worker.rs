//! A started plugin, as one of Envoy's workers has it: streams come one after another, and what the module remembers stays.

use std::sync::Arc;
use std::time::Duration;

use crate::error::StartError;
use crate::host::Host;
use crate::limits::FailurePolicy;
use crate::message::Request;
use crate::misuse::Misuse;
use crate::plugin::Settings;
use crate::report::{Outcome, Report, TcpOutcome};
use crate::script::{StreamInfo, Tcp};
use crate::stream::{Side, Stream};
use crate::vm::{Trapped, Vm};
use crate::{http, tcp};

/// A running VM with one plugin. After a trap it is lost, and [`FailurePolicy`] says what becomes of streams.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let wasm = Vec::new();
/// use meshwright_wasm_host::{Host, Request};
///
/// let mut worker = Host::load(&wasm)?.plugin("authz", "{}").start()?;
/// let first = worker.request(Request::get("/"));
/// let second = worker.request(Request::get("/"));
/// assert_eq!(first.status(), second.status());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Worker {
    vm: Vm,
    root: u32,
    host: Host,
    settings: Arc<Settings>,
    /// When the VM was started, on the virtual clock.
    started: Duration,
}

impl Worker {
    pub(crate) fn start(host: &Host, settings: Arc<Settings>) -> Result<Self, StartError> {
        let started = settings.now;
        let (vm, root) = start_vm(host, &settings)?;
        Ok(Self { vm, root, host: host.clone(), settings, started })
    }

    /// After a trap, where the policy says so and enough time is over: a new VM for the next stream.
    fn reload_if_due(&mut self) {
        let FailurePolicy::Reload { base_interval } = self.settings.failure_policy else { return };
        let now = self.vm.state().timeline.now();
        if !self.vm.failed() || now < self.started.saturating_add(base_interval) {
            return;
        }
        self.started = now;
        let settings = Settings { now, ..Settings::clone(&self.settings) };
        // A VM that does not start again stays lost until the next try.
        if let Ok((mut vm, root)) = start_vm(&self.host, &Arc::new(settings)) {
            let before = std::mem::take(&mut self.vm.state_mut().metrics);
            vm.state_mut().metrics.keep_values_of(before);
            (self.vm, self.root) = (vm, root);
        }
    }

    /// Its VM and root for a stream; `None` when the stream passes it by.
    pub(crate) fn for_chain(&mut self) -> Option<(&mut Vm, u32)> {
        self.reload_if_due();
        if self.is_open() { None } else { Some((&mut self.vm, self.root)) }
    }

    /// Whether streams pass as if there were no filter.
    fn is_open(&self) -> bool {
        self.vm.failed() && self.settings.failure_policy == FailurePolicy::Open
    }

    /// Whether the VM is lost.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.vm.failed()
    }
}

fn start_vm(host: &Host, settings: &Arc<Settings>) -> Result<(Vm, u32), StartError> {
    let mut vm = Vm::new(host, settings.clone()).map_err(|error| StartError::Instantiate(format!("{error:#}")))?;
    match configure(&mut vm, settings) {
        Ok(Started::Yes(root)) => Ok((vm, root)),
        Ok(Started::VmStartRefused) => Err(StartError::VmStartRefused(Box::new(vm.take_report()))),
        Ok(Started::ConfigureRefused) => Err(StartError::ConfigureRefused(Box::new(vm.take_report()))),
        Err(Trapped) => Err(StartError::Trapped(Box::new(vm.take_report()))),
    }
}

impl Worker {
    /// Drives an HTTP request to its end.
    pub fn request(&mut self, request: Request) -> Outcome {
        self.reload_if_due();
        if self.is_open() {
            return http::bypass(request);
        }
        let (outcome, stream) = http::exchange(&mut self.vm, self.root, request);
        self.report(outcome, stream)
    }

    /// As [`request`](Self::request), and then all calls that the filter made are answered.
    pub(crate) fn request_and_settle(&mut self, request: Request) -> Outcome {
        let (outcome, stream) = http::exchange(&mut self.vm, self.root, request);
        while self.vm.state().timeline.awaits_calls() && self.vm.next_event(Duration::MAX).is_ok_and(|happened| happened) {}
        self.report(outcome, stream)
    }

    /// Drives a TCP connection to its end.
    pub fn tcp(&mut self, connection: Tcp) -> TcpOutcome {
        self.reload_if_due();
        if self.is_open() {
            return tcp::bypass(connection);
        }
        let (outcome, stream) = tcp::connection(&mut self.vm, self.root, connection);
        let filter_state = stream.attributes.filter_state;
        TcpOutcome { report: Report { filter_state, ..self.vm.take_report() }, ..outcome }
    }

    /// Lets the plugin log an ended stream, as an access logger does: on its root context, with no stream context.
    pub fn log(&mut self, stream: StreamInfo) -> Report {
        let StreamInfo { request_headers, response_headers, response_trailers, attributes } = stream;
        let request = Side { headers: request_headers, present: true, ..Side::default() };
        let present = response_headers.is_some();
        let response = Side { headers: response_headers.unwrap_or_default(), present, trailers: response_trailers, ..Side::default() };
        let now = self.vm.state().timeline.nanoseconds();
        let logged = Stream { request, response, attributes, logging: true, started: now, ended: now, ..Stream::default() };
        let root = self.root;
        self.vm.state_mut().streams.insert(root, logged);
        // A trap is in the report.
        let _ = self.vm.invoke("proxy_on_log", root, &[root]);
        let stream = self.vm.state_mut().streams.remove(&root).unwrap_or_default();
        Report { filter_state: stream.attributes.filter_state, ..self.vm.take_report() }
    }

    /// Lets time pass: timers fire and calls are answered, each at its time.
    pub fn advance(&mut self, time: Duration) -> Report {
        let until = self.vm.state().timeline.now().saturating_add(time);
        while self.vm.next_event(until).is_ok_and(|happened| happened) {}
        self.vm.state_mut().timeline.move_to(until);
        self.vm.take_report()
    }

    /// What happened since the last report; before the first stream, the start.
    pub fn take_report(&mut self) -> Report {
        self.vm.take_report()
    }

    /// Ends the root context, waiting for `proxy_done` if it asks for that.
    #[must_use]
    pub fn shut_down(mut self) -> Report {
        // A trap is in the report.
        let _ = self.end_root();
        self.vm.take_report()
    }

    fn end_root(&mut self) -> Result<(), Trapped> {
        let root = self.root;
        let finished = self.vm.invoke("proxy_on_done", root, &[root])?.is_none_or(|done| done != 0);
        if !finished {
            if let Some(root) = self.vm.state_mut().roots.get_mut(&root) {
                root.finishing = true;
            }
            while !self.vm.state().roots.get(&root).is_none_or(|root| root.done) && self.vm.next_event(Duration::MAX)? {}
            if !self.vm.state().roots.get(&root).is_none_or(|root| root.done) {
                self.vm.state_mut().recorder.misuse(Misuse::ContextNeverDone);
            }
        }
        self.vm.invoke("proxy_on_delete", root, &[root])?;
        self.vm.state_mut().roots.remove(&root);
        Ok(())
    }

    fn report(&mut self, outcome: Outcome, stream: Stream) -> Outcome {
        Outcome { report: Report { filter_state: stream.attributes.filter_state, ..self.vm.take_report() }, ..outcome }
    }
}

enum Started {
    Yes(u32),
    VmStartRefused,
    ConfigureRefused,
}

fn configure(vm: &mut Vm, settings: &Settings) -> Result<Started, Trapped> {
    vm.initialize()?;
    let root = vm.state_mut().next_context();
    vm.state_mut().roots.insert(root, crate::state::Root::default());
    vm.invoke("proxy_on_context_create", root, &[root, 0])?;
    let vm_configuration = crate::abi::length(settings.vm_configuration.len());
    if vm.invoke("proxy_on_vm_start", root, &[root, vm_configuration])? == Some(0) {
        return Ok(Started::VmStartRefused);
    }
    vm.state_mut().configuring = true;
    let configured = vm.invoke("proxy_on_configure", root, &[root, crate::abi::length(settings.configuration.len())]);
    vm.state_mut().configuring = false;
    Ok(if configured? == Some(0) { Started::ConfigureRefused } else { Started::Yes(root) })
}
