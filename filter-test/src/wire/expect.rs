//! What must come of a scenario. What is not mentioned may be anything, but for four things: the module starts, the stream ends as streams
//! should, nothing traps, and nothing is misused.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Level, Matcher};

pub(crate) type Matchers = BTreeMap<String, Option<Matcher>>;

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expectation {
    /// The module does not load or does not start, and this is why. Nothing else can be expected then but logs.
    pub(crate) refused: Option<Matcher>,
    /// How the stream ended: completed if not said.
    pub(crate) ended: Option<EndedWire>,
    /// What the upstream got.
    pub(crate) upstream: Option<MessageExpectation>,
    /// What the client got.
    pub(crate) client: Option<MessageExpectation>,
    /// The reply that the filter made itself.
    pub(crate) local_reply: Option<LocalReplyExpectation>,
    /// Attribute `response.code_details`.
    pub(crate) code_details: Option<Matcher>,
    /// TCP: what went on.
    pub(crate) tcp: Option<TcpExpectation>,
    /// The HTTP calls that the filter made: these, in this order, and no others.
    pub(crate) calls: Option<Vec<CallExpectation>>,
    /// The gRPC calls and streams that it started: these, in this order, and no others.
    pub(crate) grpc_calls: Option<Vec<GrpcCallExpectation>>,
    /// Each must be met by a line.
    pub(crate) logs: Option<Vec<LogExpectation>>,
    /// By name: the sum of a counter, the value of a gauge, the number of records of a histogram.
    pub(crate) metrics: BTreeMap<String, Option<i64>>,
    /// What the filter set by `proxy_set_property`. Dots in a name stand as they are; segments are separated by NUL.
    pub(crate) properties: Matchers,
    /// All of the stream's filter state at its end, by name; what `proxy_set_property` set has the name `wasm.NAME`.
    pub(crate) filter_state: Matchers,
    /// Names of everything that the filter did and must not do; none if not said.
    pub(crate) misuse: Option<Vec<String>>,
    /// The filter traps, and this is in the first line of why. None if not said.
    pub(crate) trap: Option<Matcher>,
    pub(crate) cost: CostExpectation,
    /// A file beside the scenario with everything that happened, written by `--update`. `{case}` in its name stands for the case.
    pub(crate) snapshot: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Ended")]
pub(crate) enum EndedWire {
    Completed,
    Closed,
    Hung,
    Trapped,
    EnvoyCrash,
}

/// An HTTP message.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MessageExpectation {
    /// Whether there was one at all; true if not said but anything else is.
    pub(crate) reached: Option<bool>,
    /// Of a response.
    pub(crate) status: Option<u16>,
    pub(crate) headers: Matchers,
    pub(crate) body: Option<Matcher>,
    pub(crate) trailers: Matchers,
    /// Whether all of it came; true if not said.
    pub(crate) complete: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LocalReplyExpectation {
    /// Whether the filter replied; true if not said.
    pub(crate) sent: Option<bool>,
    pub(crate) status: Option<u32>,
    pub(crate) details: Option<Matcher>,
    pub(crate) headers: Matchers,
    pub(crate) body: Option<Matcher>,
    pub(crate) grpc_status: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TcpExpectation {
    pub(crate) upstream_connected: Option<bool>,
    pub(crate) to_upstream: Option<Matcher>,
    pub(crate) to_downstream: Option<Matcher>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CallExpectation {
    pub(crate) cluster: Option<String>,
    pub(crate) headers: Matchers,
    pub(crate) body: Option<Matcher>,
    pub(crate) trailers: Matchers,
    pub(crate) timeout_milliseconds: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GrpcCallExpectation {
    pub(crate) cluster: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) initial_metadata: Matchers,
    /// Each message that was sent, in order.
    pub(crate) messages: Option<Vec<Matcher>>,
    pub(crate) streaming: Option<bool>,
    pub(crate) timeout_milliseconds: Option<u32>,
}

/// A line of the log: `level`, and one of `equals`, `contains` and `regex`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogExpectation {
    pub(crate) level: Option<Level>,
    pub(crate) equals: Option<String>,
    pub(crate) contains: Option<String>,
    pub(crate) regex: Option<Pattern>,
    /// True: there must be no such line.
    pub(crate) absent: bool,
    /// Exactly so many lines.
    pub(crate) count: Option<usize>,
}

/// A regular expression.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(pub(crate) regex::Regex);

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let compiled = regex::Regex::new(&text);
        compiled.map(Self).map_err(|error| serde::de::Error::custom(format!("`{text}` is no regular expression: {error}")))
    }
}

super::content::schema!(Pattern, _generator, schemars::json_schema!({"type": "string"}));

/// The most that a run, with the module's start, may cost.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CostExpectation {
    /// Of all host functions together.
    pub(crate) max_hostcalls: Option<u64>,
    /// Of one host function, by its name.
    pub(crate) max_hostcalls_of: BTreeMap<String, Option<u64>>,
    /// Bytes of the guest's memory at the end.
    pub(crate) max_memory: Option<u64>,
    /// Calls of the guest's allocator by the host.
    pub(crate) max_allocations: Option<u64>,
    /// Bytes that went between host and guest, either way.
    pub(crate) max_bytes_copied: Option<u64>,
    /// What the guest executed, about one for each instruction: the same on every machine.
    pub(crate) max_fuel: Option<u64>,
}
