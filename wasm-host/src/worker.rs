//! A started plugin, as one of Envoy's workers has it: streams come one after another, and what the module remembers stays.

use std::sync::Arc;
use std::time::Duration;

use crate::error::StartError;
use crate::host::Host;
use crate::limits::FailurePolicy;
use crate::message::Request;
use crate::plugin::Settings;
use crate::report::{Outcome, Report, TcpOutcome};
use crate::roots::Started;
use crate::script::{StreamInfo, Tcp};
use crate::stream::{Side, Stream};
use crate::timeline::Event;
use crate::vm::{Trapped, Vm};
use crate::{http, tcp};

/// A running VM with one plugin. After a trap it is lost, and [`FailurePolicy`] says what becomes of streams.
///
/// ```
/// # let wasm = wat::parse_file("doc/tour.wat")?;
/// use std::time::Duration;
/// use meshwright_wasm_host::{Host, LogLevel, Request, Shared};
///
/// // Two workers that share data and queues, as those of one `vm_id` in Envoy do.
/// let shared = Shared::new();
/// let plugin = Host::load(&wasm)?.plugin("", "").vm_id("tours").shared(&shared);
/// let (mut first, mut second) = (plugin.start()?, plugin.start()?);
/// first.request(Request::get("/job/1"));
/// assert_eq!(shared.get("tours", "last"), Some(b"/job/1".to_vec()));
///
/// // The last that registered a queue hears of what is put into it.
/// let report = second.advance(Duration::from_millis(1));
/// assert!(report.logged(LogLevel::Info).any(|line| line == "/job/1"));
/// assert_eq!(first.request(Request::get("/")).report.metric("tour.requests"), Some(2), "it remembers");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Worker {
    vm: Vm,
    host: Host,
    settings: Arc<Settings>,
    /// When the VM was started, on the virtual clock.
    started: Duration,
}

impl Worker {
    pub(crate) fn start(host: &Host, settings: Arc<Settings>) -> Result<Self, StartError> {
        let started = settings.now;
        let vm = start_vm(host, &settings)?;
        Ok(Self { vm, host: host.clone(), settings, started })
    }

    /// After a trap, where the policy says so and enough time is over: a new VM for the next stream.
    fn reload_if_due(&mut self) {
        let FailurePolicy::Reload { base_interval } = self.settings.failure_policy else { return };
        let now = self.vm.state().timeline.now();
        if !self.vm.failed() || now < self.started.saturating_add(base_interval) {
            return;
        }
        self.started = now;
        let configuration = self.vm.state().serving_configuration.clone();
        let settings = Settings { configuration, now, ..Settings::clone(&self.settings) };
        // A VM that does not start again stays lost until the next try.
        if let Ok(mut vm) = start_vm(&self.host, &Arc::new(settings)) {
            let before = std::mem::take(&mut self.vm.state_mut().metrics);
            vm.state_mut().metrics.keep_values_of(before);
            self.vm = vm;
        }
    }

    /// Its VM and root for a stream; `None` when the stream passes it by.
    pub(crate) fn for_chain(&mut self) -> Option<(&mut Vm, u32)> {
        self.reload_if_due();
        let root = self.vm.state().serving;
        if self.is_open() { None } else { Some((&mut self.vm, root)) }
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

fn start_vm(host: &Host, settings: &Arc<Settings>) -> Result<Vm, StartError> {
    let mut vm = Vm::new(host, settings).map_err(|error| StartError::Instantiate(format!("{error:#}")))?;
    let started = vm.initialize().and_then(|()| vm.start_root(settings.configuration.clone()));
    let started = match started {
        Ok(Started::Yes) => vm.start_logger(),
        refused => refused,
    };
    refusal(&mut vm, started).map_or(Ok(vm), Err)
}

/// Why the module's own start, before any plugin, comes to nothing.
pub(crate) fn fails_to_start(host: &Host) -> Option<StartError> {
    let settings = Arc::default();
    match Vm::new(host, &settings) {
        Err(error) => Some(StartError::Instantiate(format!("{error:#}"))),
        Ok(mut vm) => vm.initialize().err().map(|Trapped| StartError::Trapped(Box::new(vm.take_report()))),
    }
}

fn refusal(vm: &mut Vm, started: Result<Started, Trapped>) -> Option<StartError> {
    let refused = match started {
        Ok(Started::Yes) => return None,
        Ok(Started::VmStartRefused) => StartError::VmStartRefused,
        Ok(Started::ConfigureRefused) => StartError::ConfigureRefused,
        Err(Trapped) => StartError::Trapped,
    };
    Some(refused(Box::new(vm.take_report())))
}

impl Worker {
    /// Drives an HTTP request to its end.
    pub fn request(&mut self, request: Request) -> Outcome {
        self.reload_if_due();
        if self.is_open() {
            return http::bypass(request);
        }
        let root = self.vm.state().serving;
        let (outcome, stream) = http::exchange(&mut self.vm, root, request);
        self.report(outcome, stream)
    }

    /// As [`request`](Self::request), and then all calls that the filter made are answered.
    pub(crate) fn request_and_settle(&mut self, request: Request) -> Outcome {
        let root = self.vm.state().serving;
        let (outcome, stream) = http::exchange(&mut self.vm, root, request);
        while self.vm.state().timeline.awaits_calls() && self.vm.next_event(Duration::MAX).is_ok_and(|happened| happened) {}
        self.report(outcome, stream)
    }

    /// Drives a TCP connection to its end.
    pub fn tcp(&mut self, connection: Tcp) -> TcpOutcome {
        self.reload_if_due();
        if self.is_open() {
            return tcp::bypass(connection);
        }
        let root = self.vm.state().serving;
        let (outcome, stream) = tcp::connection(&mut self.vm, root, connection);
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
        let root = self.vm.state().serving;
        self.vm.state_mut().streams.insert(root, Stream { root, ..logged });
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

    /// Sets the clock, forwards or backwards, and lets nothing happen meanwhile: for streams that each have a time of their own.
    pub fn set_time(&mut self, now: Duration) {
        self.vm.state_mut().timeline.set(now);
    }

    /// Gives the plugin another configuration, as an ECDS update that keeps the VM does: a VM to try it in, then a new root context in this one.
    /// The old root ends when its last stream has.
    ///
    /// ```
    /// # let wasm = wat::parse_file("doc/tour.wat")?;
    /// use meshwright_wasm_host::{Host, Request};
    ///
    /// let mut worker = Host::load(&wasm)?.plugin("", "old").start()?;
    /// assert!(worker.reconfigure("{}").is_err(), "refused: the old one goes on");
    /// let greeting = |outcome: meshwright_wasm_host::Outcome| outcome.client_response?.headers.text("x-tour").map(str::to_owned);
    /// assert_eq!(greeting(worker.request(Request::get("/"))).as_deref(), Some("old"));
    /// worker.reconfigure("new")?;
    /// assert_eq!(greeting(worker.request(Request::get("/"))).as_deref(), Some("new"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the configuration is refused: the old one goes on, and Envoy refuses the update.
    pub fn reconfigure(&mut self, configuration: impl Into<Vec<u8>>) -> Result<(), StartError> {
        let configuration = configuration.into();
        self.canary(&configuration)?;
        let started = self.vm.replace_root(configuration);
        refusal(&mut self.vm, started).map_or(Ok(()), Err)
    }

    /// As [`reconfigure`](Self::reconfigure), but so much later on the virtual clock, be it in the middle of a stream that waits.
    ///
    /// # Errors
    /// When the configuration is refused in the VM where it is tried, at once.
    pub fn reconfigure_after(&mut self, delay: Duration, configuration: impl Into<Vec<u8>>) -> Result<(), StartError> {
        let configuration = configuration.into();
        self.canary(&configuration)?;
        self.vm.state_mut().timeline.after(delay, Event::Reconfigure { configuration });
        Ok(())
    }

    fn canary(&self, configuration: &[u8]) -> Result<(), StartError> {
        let now = self.vm.state().timeline.now();
        let settings = Settings { configuration: configuration.to_vec(), now, ..Settings::clone(&self.settings) };
        start_vm(&self.host, &Arc::new(settings)).map(|_| ())
    }

    /// What happened since the last report; before the first stream, the start.
    pub fn take_report(&mut self) -> Report {
        self.vm.take_report()
    }

    /// Ends the root contexts, waiting for `proxy_done` if it asks for that.
    #[must_use]
    pub fn shut_down(mut self) -> Report {
        let state = self.vm.state();
        for root in [Some(state.serving), state.logger].into_iter().flatten() {
            // A trap is in the report.
            let _ = self.vm.end_root(root);
        }
        self.vm.take_report()
    }

    fn report(&mut self, outcome: Outcome, stream: Stream) -> Outcome {
        Outcome { report: Report { filter_state: stream.attributes.filter_state, ..self.vm.take_report() }, ..outcome }
    }
}
