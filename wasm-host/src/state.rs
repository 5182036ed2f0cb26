//! All that belongs to one VM beside its memory: the store's data. Host functions act on it, the state machines drive it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Memory, StoreLimits, StoreLimitsBuilder, TypedFunc};

use crate::abi::{AbiVersion, LogLevel, Status};
use crate::calls::Calls;
use crate::foreign::{Declared, Expressions};
use crate::grpc::GrpcCalls;
use crate::metrics::Metrics;
use crate::plugin::Settings;
use crate::random::Random;
use crate::recorder::{Copied, Recorder};
use crate::report::{Cost, Report};
use crate::stream::Stream;
use crate::timeline::Timeline;

pub(crate) struct State {
    pub(crate) abi: AbiVersion,
    pub(crate) settings: Arc<Settings>,
    /// By which VMs that share queues know each other.
    pub(crate) vm: u64,
    pub(crate) limiter: StoreLimits,
    pub(crate) memory: Option<Memory>,
    pub(crate) allocator: Option<TypedFunc<u32, u32>>,
    /// Why host functions other than logging may not be called now.
    pub(crate) restricted: Option<&'static str>,
    /// The context whose callback runs; 0 when none does.
    pub(crate) current: u32,
    pub(crate) effective: Option<u32>,
    last_context: u32,
    /// The root that new streams belong to.
    pub(crate) serving: u32,
    /// What it was configured with.
    pub(crate) serving_configuration: Vec<u8>,
    /// The root that logs streams beside their filter.
    pub(crate) logger: Option<u32>,
    /// Live contexts that are roots.
    pub(crate) roots: BTreeMap<u32, Root>,
    /// Live streams; a root has one while it logs.
    pub(crate) streams: BTreeMap<u32, Stream>,
    /// The plugin configuration, readable only while the plugin is configured.
    pub(crate) configuring: Option<Vec<u8>>,
    /// Buffer 8 of each context. Whatever it asked for last stays in it, as in Envoy.
    pub(crate) scratch: BTreeMap<u32, Vec<u8>>,
    pub(crate) last_status: (u32, String),
    /// Queues that this VM registered, and the context to tell of entries.
    pub(crate) queues: BTreeMap<u32, u32>,
    pub(crate) timeline: Timeline,
    pub(crate) random: Random,
    pub(crate) metrics: Metrics,
    pub(crate) calls: Calls,
    pub(crate) grpc: GrpcCalls,
    /// The last token of a name that was asked for. There is no first.
    pub(crate) dns_tokens: u32,
    /// By `declare_property`, for each context. Only what roots declare has an effect.
    pub(crate) declared_properties: BTreeMap<u32, BTreeMap<Vec<u8>, Declared>>,
    /// By `expr_create`, for each root.
    pub(crate) expressions: BTreeMap<u32, Expressions>,
    pub(crate) recorder: Recorder,
    /// Calls of functions that have faults, since the VM started.
    counted: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Root {
    pub(crate) root_id: String,
    pub(crate) tick_period: Duration,
    /// Counts how often the timer was set, so that an old one is known.
    pub(crate) armed: u64,
    /// It answered false to `proxy_on_done` and `proxy_done` is awaited.
    pub(crate) finishing: bool,
    pub(crate) done: bool,
    /// Another serves new streams; it ends with its last.
    pub(crate) retiring: bool,
}

impl State {
    pub(crate) fn new(abi: AbiVersion, settings: Arc<Settings>) -> Self {
        Self {
            abi,
            vm: settings.shared.next_vm(),
            limiter: StoreLimitsBuilder::new().memory_size(settings.limits.memory).memories(1).tables(16).table_elements(1 << 20).build(),
            memory: None,
            allocator: None,
            restricted: None,
            current: 0,
            effective: None,
            last_context: 0,
            serving: 0,
            serving_configuration: Vec::new(),
            logger: None,
            roots: BTreeMap::new(),
            streams: BTreeMap::new(),
            configuring: None,
            scratch: BTreeMap::new(),
            last_status: (0, String::new()),
            queues: BTreeMap::new(),
            timeline: Timeline::new(settings.now),
            random: Random::new(settings.seed),
            metrics: Metrics::default(),
            calls: Calls::default(),
            grpc: GrpcCalls::default(),
            dns_tokens: 1,
            declared_properties: BTreeMap::new(),
            expressions: BTreeMap::new(),
            recorder: Recorder::default(),
            counted: BTreeMap::new(),
            settings,
        }
    }

    /// Roots and streams share one counter, and no id is used twice.
    pub(crate) const fn next_context(&mut self) -> u32 {
        self.last_context += 1;
        self.last_context
    }

    /// The context that a host function acts on.
    pub(crate) fn context(&self) -> u32 {
        self.effective.unwrap_or(self.current)
    }

    /// The root of the context that a host function acts on: itself, or that of its stream.
    pub(crate) fn root(&self) -> Option<u32> {
        let context = self.context();
        let root = if self.roots.contains_key(&context) { context } else { self.streams.get(&context)?.root };
        Some(root).filter(|root| self.roots.contains_key(root))
    }

    /// What the context's root declared of a property.
    pub(crate) fn declared(&self, name: &[u8]) -> Declared {
        self.root().and_then(|root| self.declared_properties.get(&root)?.get(name).copied()).unwrap_or_default()
    }

    /// Roots that were replaced and have no streams any more.
    pub(crate) fn idle_roots(&self) -> Vec<u32> {
        let is_idle = |id: &u32| !self.streams.values().any(|stream| stream.root == *id);
        self.roots.iter().filter(|(id, root)| root.retiring && is_idle(id)).map(|(id, _)| *id).collect()
    }

    pub(crate) fn stream(&self) -> Option<&Stream> {
        self.streams.get(&self.context())
    }

    pub(crate) fn stream_mut(&mut self) -> Option<&mut Stream> {
        let context = self.context();
        self.streams.get_mut(&context)
    }

    /// Whether the guest has the capability: a host function or a callback, by its name.
    pub(crate) fn may(&self, name: &str) -> bool {
        self.settings.capabilities.as_ref().is_none_or(|allowed| allowed.contains(name))
    }

    /// What a host function answers instead of being called: it is restricted, or told to fail.
    pub(crate) fn prevented(&mut self, name: &'static str) -> Option<Status> {
        if !self.may(name) {
            let message = format!("Attempted call to restricted proxy-wasm capability: {name}");
            self.recorder.log(LogLevel::Error, self.context(), message.as_bytes());
            return Some(Status::InternalFailure);
        }
        if self.settings.faults.is_empty() {
            return None;
        }
        let call = self.counted.entry(name).or_default();
        *call += 1;
        self.settings.faults.iter().find_map(|fault| fault.answers(name, *call))
    }

    /// The report so far; recording starts anew. Metrics and memory go on.
    pub(crate) fn take_report(&mut self, memory: u64, fuel: Option<u64>) -> Report {
        let hostcalls = self.recorder.take_hostcalls();
        let Recorder { logs, calls, trace, traps, misuse, properties, dropped, copied, .. } = std::mem::take(&mut self.recorder);
        let metrics = self.metrics.snapshot();
        let grpc_calls = std::mem::take(&mut self.grpc.made);
        let filter_state = BTreeMap::new();
        let Copied { from_guest, to_guest, allocations } = copied;
        let cost = Cost { memory, fuel, bytes_from_guest: from_guest, bytes_to_guest: to_guest, allocations };
        Report { logs, metrics, properties, filter_state, calls, grpc_calls, trace, dropped, hostcalls, traps, misuse, cost }
    }
}
