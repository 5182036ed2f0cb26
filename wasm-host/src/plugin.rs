//! A plugin: a module with its configuration and the world it runs in. Starting it makes a worker; each start is a fresh VM.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::abi::{LogLevel, Status};
use crate::attributes::{AttributePath, Attributes};
use crate::dns::Dns;
use crate::error::StartError;
use crate::fault::Fault;
use crate::foreign::ForeignFunction;
use crate::host::Host;
use crate::limits::{FailurePolicy, Limits};
use crate::message::Request;
use crate::profile::Profile;
use crate::report::{Outcome, Report, TcpOutcome};
use crate::script::{StreamInfo, Tcp};
use crate::shared::Shared;
use crate::upstream::Upstream;
use crate::value::Value;
use crate::worker::Worker;

/// 2026-01-01T00:00:00Z
const DEFAULT_NOW: Duration = Duration::from_secs(1_767_225_600);

/// All that a VM is started with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) root_id: String,
    pub(crate) vm_id: String,
    pub(crate) configuration: Vec<u8>,
    /// Root id and configuration of the plugin in the same VM that logs the streams.
    pub(crate) logger: Option<(String, Vec<u8>)>,
    pub(crate) vm_configuration: Vec<u8>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) attributes: Attributes,
    pub(crate) upstreams: BTreeMap<String, Upstream>,
    pub(crate) dns: BTreeMap<String, Dns>,
    pub(crate) foreign_functions: BTreeMap<String, ForeignFunction>,
    pub(crate) shared: Shared,
    pub(crate) log_level: LogLevel,
    pub(crate) now: Duration,
    pub(crate) seed: u64,
    pub(crate) limits: Limits,
    pub(crate) failure_policy: FailurePolicy,
    pub(crate) profile: Profile,
    /// What the guest may call and be called by; `None` is everything.
    pub(crate) capabilities: Option<BTreeSet<String>>,
    pub(crate) faults: Vec<Fault>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            root_id: String::new(),
            vm_id: String::new(),
            configuration: Vec::new(),
            logger: None,
            vm_configuration: Vec::new(),
            environment: BTreeMap::new(),
            attributes: Attributes::default(),
            upstreams: BTreeMap::new(),
            dns: BTreeMap::new(),
            foreign_functions: BTreeMap::new(),
            shared: Shared::new(),
            log_level: LogLevel::Trace,
            now: DEFAULT_NOW,
            seed: 0,
            limits: Limits::default(),
            failure_policy: FailurePolicy::default(),
            profile: Profile::default(),
            capabilities: None,
            faults: Vec::new(),
        }
    }
}

/// A plugin that can be started. What is not said has a default that does not depend on the machine: the clock stands at 2026-01-01, the
/// seed is 0, every log line is kept.
///
/// ```
/// # let wasm = wat::parse_file("doc/tour.wat")?;
/// use meshwright_wasm_host::{Host, Request};
///
/// let plugin = Host::load(&wasm)?.plugin("", "good day").name("tour").property("xds.node.id", "sidecar~10.0.0.1");
/// let outcome = plugin.request(Request::get("/")).run()?;
/// assert_eq!(outcome.client_response.unwrap().headers.text("x-tour"), Some("good day"));
///
/// // What Envoy would refuse is an error, with what the filter logged.
/// let refused = Host::load(&wasm)?.plugin("", "{}").start().unwrap_err();
/// assert!(refused.to_string().ends_with("it logged: expected a text, found `{`"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Plugin {
    host: Host,
    settings: Settings,
}

impl Plugin {
    pub(crate) fn new(host: Host, root_id: String, configuration: Vec<u8>) -> Self {
        Self { host, settings: Settings { root_id, configuration, ..Settings::default() } }
    }

    /// The plugin's name, property `plugin_name`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// The `vm_id`, by which VMs share data and queues.
    #[must_use]
    pub fn vm_id(mut self, vm_id: impl Into<String>) -> Self {
        self.settings.vm_id = vm_id.into();
        self
    }

    /// An access logger in the same VM, with a root context of its own: every stream is logged by it after the filter's own `proxy_on_log`.
    #[must_use]
    pub fn access_log(mut self, root_id: impl Into<String>, configuration: impl Into<Vec<u8>>) -> Self {
        self.settings.logger = Some((root_id.into(), configuration.into()));
        self
    }

    /// The VM's configuration.
    #[must_use]
    pub fn vm_configuration(mut self, configuration: impl Into<Vec<u8>>) -> Self {
        self.settings.vm_configuration = configuration.into();
        self
    }

    /// A variable of the VM's environment.
    #[must_use]
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.environment.insert(name.into(), value.into());
        self
    }

    /// An attribute that every context sees, such as `xds.node.id`.
    #[must_use]
    pub fn property(mut self, path: impl Into<AttributePath>, value: impl Into<Value>) -> Self {
        self.settings.attributes.insert(&path.into(), value.into());
        self
    }

    /// A cluster that the filter can call. Calls to any other answer BAD_ARGUMENT.
    ///
    /// ```
    /// # let wasm = wat::parse_file("doc/tour.wat")?;
    /// use std::time::Duration;
    /// use meshwright_wasm_host::{Answer, Host, Request, Response, Upstream};
    ///
    /// let auth = Upstream::new(Answer::response(Response::new(200)).after(Duration::from_millis(20)));
    /// let outcome = Host::load(&wasm)?.plugin("", "").upstream("auth", auth).request(Request::get("/check")).run()?;
    /// assert_eq!(outcome.status(), Some(200));
    /// assert_eq!(outcome.report.calls[0].request.headers.text(":path"), Some("/check"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn upstream(mut self, cluster: impl Into<String>, upstream: Upstream) -> Self {
        self.settings.upstreams.insert(cluster.into(), upstream);
        self
    }

    /// What the resolver answers to a name. Addresses and `localhost` are known by themselves; any other name has no answer.
    #[must_use]
    pub fn dns(mut self, name: impl Into<String>, answer: Dns) -> Self {
        self.settings.dns.insert(name.into(), answer);
        self
    }

    /// Registers a foreign function, or replaces one that is built in.
    ///
    /// ```
    /// # let wasm = wat::parse_file("doc/tour.wat")?;
    /// use meshwright_wasm_host::{Host, Request, Status};
    ///
    /// let shout = |argument: &[u8]| match argument {
    ///     b"" => Err(Status::BadArgument),
    ///     text => Ok(text.to_ascii_uppercase()),
    /// };
    /// let outcome = Host::load(&wasm)?.plugin("", "").foreign_function("shout", shout).request(Request::get("/shout")).run()?;
    /// assert_eq!(outcome.upstream_request.unwrap().headers.text("x-shout"), Some("/SHOUT"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn foreign_function(
        mut self,
        name: impl Into<String>,
        function: impl Fn(&[u8]) -> Result<Vec<u8>, Status> + Send + Sync + 'static,
    ) -> Self {
        self.settings.foreign_functions.insert(name.into(), ForeignFunction(Arc::new(function)));
        self
    }

    /// Shares data and queues with whoever is given the same. Otherwise every plugin (and its clones) has its own.
    #[must_use]
    pub fn shared(mut self, shared: &Shared) -> Self {
        self.settings.shared = shared.clone();
        self
    }

    /// Lines below this level are not kept, and `proxy_get_log_level` says so.
    #[must_use]
    pub const fn log_level(mut self, level: LogLevel) -> Self {
        self.settings.log_level = level;
        self
    }

    /// The time at which the clock starts, since the Unix epoch.
    ///
    /// ```
    /// # let wasm = wat::parse_file("doc/tour.wat")?;
    /// use std::time::Duration;
    /// use meshwright_wasm_host::{Host, LogLevel};
    ///
    /// // The clock is virtual: an hour passes at once, and what was to happen in it has happened.
    /// let mut worker = Host::load(&wasm)?.plugin("", "").now(Duration::from_secs(1_000_000_000)).start()?;
    /// let hour = worker.advance(Duration::from_secs(3600));
    /// assert_eq!(hour.logged(LogLevel::Info).filter(|line| *line == "tick").count(), 3600);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn now(mut self, now: Duration) -> Self {
        self.settings.now = now;
        self
    }

    /// The seed of `random_get`.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// What the guest may use.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Whose behaviour is shown where Envoy and the specification differ.
    #[must_use]
    pub const fn profile(mut self, profile: Profile) -> Self {
        self.settings.profile = profile;
        self
    }

    /// What happens to streams after a trap.
    #[must_use]
    pub const fn failure_policy(mut self, policy: FailurePolicy) -> Self {
        self.settings.failure_policy = policy;
        self
    }

    /// Restricts the guest to these capabilities, as Envoy's `capability_restriction_config`: names of host functions (`proxy_log`,
    /// `fd_write`) and of callbacks (`proxy_on_log`). No names at all are no restriction, as in Envoy.
    ///
    /// ```
    /// # let wasm = wat::parse_file("doc/tour.wat")?;
    /// use meshwright_wasm_host::{Host, Request};
    ///
    /// let allowed = ["proxy_on_configure", "proxy_on_request_headers", "proxy_get_header_map_value", "proxy_define_metric"];
    /// let outcome = Host::load(&wasm)?.plugin("", "").allowed_capabilities(allowed).request(Request::get("/admin")).run()?;
    /// assert_eq!(outcome.local_reply, None, "`proxy_send_local_response` answered 10");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn allowed_capabilities<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names: BTreeSet<String> = names.into_iter().map(Into::into).collect();
        self.settings.capabilities = (!names.is_empty()).then_some(names);
        self
    }

    /// Lets a host function fail.
    ///
    /// ```
    /// # let wasm = wat::parse_file("doc/tour.wat")?;
    /// use meshwright_wasm_host::{Ended, Fault, Host, Request, Status};
    ///
    /// let fault = Fault::new("proxy_http_call", Status::BadArgument)?;
    /// let outcome = Host::load(&wasm)?.plugin("", "").fault(fault).request(Request::get("/check")).run()?;
    /// assert_eq!(outcome.ended, Ended::Hung, "the filter does not look whether its call was made");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.settings.faults.push(fault);
        self
    }

    /// Starts a VM and configures the plugin in it.
    ///
    /// # Errors
    /// When the plugin does not start: Envoy would refuse its configuration.
    pub fn start(&self) -> Result<Worker, StartError> {
        Worker::start(&self.host, Arc::new(self.settings.clone()))
    }

    /// A run of one HTTP request in a fresh VM.
    ///
    /// ```
    /// # let wasm = wat::parse_file("doc/tour.wat")?;
    /// use meshwright_wasm_host::{Ended, Host, Request, Response};
    ///
    /// let plugin = Host::load(&wasm)?.plugin("", "hi");
    /// let exchange = Request::post("/orders").chunk("a").chunk("b").upstream(Response::new(201).body("made"));
    /// let outcome = plugin.request(exchange).run()?;
    /// assert_eq!((outcome.ended, outcome.status()), (Ended::Completed, Some(201)));
    /// assert_eq!(outcome.upstream_request.unwrap().body, b"ab");
    /// assert_eq!(outcome.report.hostcalls["proxy_add_header_map_value"], 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn request(&self, request: Request) -> Run<'_, Request> {
        Run { plugin: self, input: request }
    }

    /// A run of one TCP connection in a fresh VM.
    ///
    /// ```
    /// # let wasm = wat::parse_file("doc/tour.wat")?;
    /// use meshwright_wasm_host::{Ended, Host, Tcp};
    ///
    /// let outcome = Host::load(&wasm)?.plugin("", "").tcp(Tcp::new().downstream("ping").upstream("pong").downstream("!")).run()?;
    /// assert_eq!((outcome.to_upstream, outcome.to_downstream), (b"ping".to_vec(), b"pong".to_vec()));
    /// assert_eq!(outcome.ended, Ended::Closed, "by the filter");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn tcp(&self, connection: Tcp) -> Run<'_, Tcp> {
        Run { plugin: self, input: connection }
    }

    /// A run of the plugin as an access logger of one stream, in a fresh VM.
    ///
    /// ```
    /// # let wasm = wat::parse_file("doc/tour.wat")?;
    /// use meshwright_wasm_host::{Host, LogLevel, StreamInfo};
    ///
    /// let stream = StreamInfo::new().request_header(":path", "/books").response_header(":status", "404");
    /// let report = Host::load(&wasm)?.plugin("", "").log(stream).run()?;
    /// assert!(report.logged(LogLevel::Info).any(|line| line == "/books"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn log(&self, stream: StreamInfo) -> Run<'_, StreamInfo> {
        Run { plugin: self, input: stream }
    }
}

/// One stream in a VM of its own: started, driven to its end, and all calls that it made answered.
#[derive(Debug)]
#[must_use = "nothing happens before `run`"]
pub struct Run<'a, T> {
    plugin: &'a Plugin,
    input: T,
}

impl Run<'_, Request> {
    /// Starts the plugin and drives the request.
    ///
    /// # Errors
    /// When the plugin does not start. What goes wrong in the request is in the outcome.
    pub fn run(self) -> Result<Outcome, StartError> {
        let mut worker = self.plugin.start()?;
        Ok(worker.request_and_settle(self.input))
    }
}

impl Run<'_, Tcp> {
    /// Starts the plugin and drives the connection.
    ///
    /// # Errors
    /// When the plugin does not start.
    pub fn run(self) -> Result<TcpOutcome, StartError> {
        Ok(self.plugin.start()?.tcp(self.input))
    }
}

impl Run<'_, StreamInfo> {
    /// Starts the plugin and lets it log the stream.
    ///
    /// # Errors
    /// When the plugin does not start.
    pub fn run(self) -> Result<Report, StartError> {
        Ok(self.plugin.start()?.log(self.input))
    }
}
