//! A scenario file as it is written. Unknown fields are errors; every field can be left out, since a matrix case says only what differs.

mod content;
mod expect;
mod matcher;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use content::{Bytes, Configuration, HeaderValues, PropertyValue, Time};
pub(crate) use expect::{
    CallExpectation, CostExpectation, EndedWire, Expectation, GrpcCallExpectation, LocalReplyExpectation, LogExpectation, Matchers,
    MessageExpectation, TcpExpectation,
};
pub(crate) use matcher::Matcher;

/// Headers or trailers. A null is as if it were not there: it removes one in a matrix case, or a pseudo header that a request has by itself.
pub(crate) type HeaderMap = BTreeMap<String, Option<HeaderValues>>;
/// Attributes. Dots in a name separate the segments of its path; names inside a map are taken as they are.
pub(crate) type PropertyMap = BTreeMap<String, Option<PropertyValue>>;

/// One filter, one exchange, what must come of it; and a matrix of cases that differ in parts.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Scenario")]
pub(crate) struct ScenarioWire {
    /// What this is about, for readers.
    pub(crate) description: Option<String>,
    pub(crate) module: ModuleWire,
    pub(crate) world: WorldWire,
    /// An HTTP request. Exactly one of `request`, `tcp` and `log` is needed.
    pub(crate) request: Option<RequestWire>,
    /// A TCP connection.
    pub(crate) tcp: Option<TcpWire>,
    /// An ended stream, for an access logger.
    pub(crate) log: Option<LogWire>,
    /// What the upstream answers to the request; 200 without a body if not said.
    pub(crate) upstream: Option<UpstreamWire>,
    pub(crate) expect: Expectation,
    /// Named cases, each a scenario that overrides parts of this one: maps are merged, everything else is replaced, null removes. With a
    /// matrix, only its cases run.
    pub(crate) matrix: BTreeMap<String, Self>,
}

/// What Envoy's `PluginConfig` and `VmConfig` say.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Module")]
pub(crate) struct ModuleWire {
    pub(crate) name: Option<String>,
    pub(crate) root_id: Option<String>,
    pub(crate) vm_id: Option<String>,
    /// A text as it is, or anything else as JSON.
    pub(crate) configuration: Option<Configuration>,
    pub(crate) vm_configuration: Option<Configuration>,
    pub(crate) environment: BTreeMap<String, Option<String>>,
    /// Lines below this level are not kept: trace (the default), debug, info, warn, error, critical.
    pub(crate) log_level: Option<Level>,
    /// Restricts the module to these capabilities, as Envoy's `capability_restriction_config`: names of host functions and callbacks.
    pub(crate) allowed_capabilities: Option<Vec<String>>,
}

/// What surrounds the filter.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "World")]
pub(crate) struct WorldWire {
    /// Where the clock stands when the module starts; 2026-01-01T00:00:00Z if not said.
    pub(crate) now: Option<Time>,
    /// Of the random numbers; 0 if not said.
    pub(crate) seed: Option<u64>,
    /// Attributes that every context sees.
    pub(crate) properties: PropertyMap,
    /// Data that the VMs of this `vm_id` share when the module starts.
    pub(crate) shared_data: BTreeMap<String, Option<Bytes>>,
    /// Clusters that the filter can call: each a list of answers in order, of which the last is given again to every later call.
    pub(crate) clusters: BTreeMap<String, Option<Vec<AnswerWire>>>,
    pub(crate) limits: LimitsWire,
    /// Whose behaviour is shown where Envoy and the specification differ; Envoy's if not said.
    pub(crate) profile: Option<ProfileWire>,
    /// Host functions that fail instead of doing anything.
    pub(crate) faults: Vec<FaultWire>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Profile")]
pub(crate) enum ProfileWire {
    Envoy,
    Spec,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Fault")]
pub(crate) struct FaultWire {
    /// Such as `proxy_get_property`.
    pub(crate) function: String,
    /// One that the function can answer in Envoy.
    pub(crate) status: StatusWire,
    /// Only this call since the module started, from 1; every call if not said.
    pub(crate) call: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Status")]
pub(crate) enum StatusWire {
    NotFound,
    BadArgument,
    SerializationFailure,
    ParseFailure,
    InvalidMemoryAccess,
    Empty,
    CasMismatch,
    InternalFailure,
    Unimplemented,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Limits")]
pub(crate) struct LimitsWire {
    /// Bytes of the guest's memory; 1 GiB if not said.
    pub(crate) memory: Option<u64>,
    /// Wall-clock milliseconds of one callback; 10 000 if not said.
    pub(crate) callback_milliseconds: Option<u64>,
}

/// One answer of a cluster: a response, or one of `grpc`, `reset`, `connection_failure` and `never`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Answer")]
pub(crate) struct AnswerWire {
    pub(crate) status: Option<u16>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    pub(crate) trailers: HeaderMap,
    /// The service closes the connection instead: the filter gets Envoy's 503.
    pub(crate) reset: bool,
    /// Envoy gives the call up, as when the answer is too large: the filter gets a response without headers.
    pub(crate) failure: bool,
    /// The filter gets Envoy's 503.
    pub(crate) connection_failure: bool,
    /// The filter gets Envoy's 504 when its timeout is over, or nothing if it set none.
    pub(crate) never: bool,
    /// On the virtual clock.
    pub(crate) after_milliseconds: u64,
    /// The answer to a gRPC call or stream.
    pub(crate) grpc: Option<GrpcWire>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Grpc")]
pub(crate) struct GrpcWire {
    /// Only streams are told of it.
    pub(crate) initial_metadata: HeaderMap,
    pub(crate) messages: Vec<Bytes>,
    /// Only streams are told of it.
    pub(crate) trailing_metadata: HeaderMap,
    /// 0 (OK) if not said.
    pub(crate) status: u32,
    pub(crate) status_message: String,
    /// Of a stream: each message answers one that the filter sent, and the stream ends when the filter has closed its half.
    pub(crate) on_send: bool,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Request")]
pub(crate) struct RequestWire {
    /// GET if not said.
    pub(crate) method: Option<String>,
    /// `/` if not said.
    pub(crate) path: Option<String>,
    /// example.test if not said.
    pub(crate) authority: Option<String>,
    /// https if not said.
    pub(crate) scheme: Option<String>,
    pub(crate) headers: HeaderMap,
    /// The body in one piece.
    pub(crate) body: Option<Bytes>,
    /// The body in pieces, each of which the filter gets in a call of its own.
    pub(crate) chunks: Option<Vec<Bytes>>,
    pub(crate) trailers: HeaderMap,
    /// Attributes of the stream.
    pub(crate) properties: PropertyMap,
    /// Filter state of the stream, by name; dots mean nothing in it.
    pub(crate) filter_state: PropertyMap,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Tcp")]
pub(crate) struct TcpWire {
    /// What the two ends do, in order. The client closes at the end if nobody did.
    pub(crate) steps: Vec<TcpStepWire>,
    pub(crate) properties: PropertyMap,
    pub(crate) filter_state: PropertyMap,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "TcpStep")]
pub(crate) enum TcpStepWire {
    /// The client sends this.
    Downstream(Bytes),
    /// The upstream sends this.
    Upstream(Bytes),
    DownstreamClose,
    UpstreamClose,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Log")]
pub(crate) struct LogWire {
    pub(crate) request_headers: HeaderMap,
    pub(crate) response_headers: HeaderMap,
    pub(crate) response_trailers: HeaderMap,
    pub(crate) properties: PropertyMap,
    pub(crate) filter_state: PropertyMap,
}

/// A response, or a reset.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "UpstreamReply")]
pub(crate) struct UpstreamWire {
    /// 200 if not said.
    pub(crate) status: Option<u16>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    pub(crate) chunks: Option<Vec<Bytes>>,
    pub(crate) trailers: HeaderMap,
    /// The upstream resets the stream instead of answering.
    pub(crate) reset: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}
