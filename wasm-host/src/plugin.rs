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
    #[must_use]
    pub fn allowed_capabilities<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names: BTreeSet<String> = names.into_iter().map(Into::into).collect();
        self.settings.capabilities = (!names.is_empty()).then_some(names);
        self
    }

    /// Lets a host function fail.
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
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use meshwright_wasm_host::{Host, Request};
    ///
    /// let wasm = wat::parse_str(r#"
    ///     (module
    ///       (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
    ///       (memory (export "memory") 1)
    ///       (data (i32.const 8) "x-seen1")
    ///       (func (export "proxy_abi_version_0_2_1"))
    ///       (func (export "malloc") (param i32) (result i32) (i32.const 1024))
    ///       (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    ///         (drop (call $add (i32.const 0) (i32.const 8) (i32.const 6) (i32.const 14) (i32.const 1)))
    ///         (i32.const 0)))
    /// "#)?;
    /// let outcome = Host::load(&wasm)?.plugin("", "").request(Request::get("/")).run()?;
    /// assert_eq!(outcome.status(), Some(200));
    /// assert_eq!(outcome.upstream_request.unwrap().headers.text("x-seen"), Some("1"));
    /// assert_eq!(outcome.report.hostcalls["proxy_add_header_map_value"], 1);
    /// # Ok(())
    /// # }
    /// ```
    pub const fn request(&self, request: Request) -> Run<'_, Request> {
        Run { plugin: self, input: request }
    }

    /// A run of one TCP connection in a fresh VM.
    pub const fn tcp(&self, connection: Tcp) -> Run<'_, Tcp> {
        Run { plugin: self, input: connection }
    }

    /// A run of the plugin as an access logger of one stream, in a fresh VM.
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
