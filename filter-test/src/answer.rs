//! Everything that a run did, as JSON: the answer of `meshwright filter run`, and what a snapshot holds but for its cost. The shape is
//! described in docs/filter-testing.md.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshwright_wasm_host::{
    Ended, GrpcCall, Headers, HttpCall, LogLevel, Message, MetricType, Outcome, Report, TcpOutcome, TraceEvent, TrapKind, Value,
};
use serde_json::{Map, json};

/// What happened in one case.
#[derive(Debug, Clone)]
pub(crate) enum Ran {
    /// The plugin did not start; the report is of what it did until then.
    Refused(String, Box<Report>),
    Http(Box<Outcome>),
    Tcp(Box<TcpOutcome>),
    Log(Box<Report>),
}

impl Ran {
    pub(crate) const fn report(&self) -> &Report {
        match self {
            Self::Refused(_, report) | Self::Log(report) => report,
            Self::Http(outcome) => &outcome.report,
            Self::Tcp(outcome) => &outcome.report,
        }
    }

    /// `None` when there was no stream.
    pub(crate) fn ended(&self) -> Option<Ended> {
        match self {
            Self::Refused(..) => None,
            Self::Http(outcome) => Some(outcome.ended),
            Self::Tcp(outcome) => Some(outcome.ended),
            Self::Log(report) => Some(if report.traps.is_empty() { Ended::Completed } else { Ended::Trapped }),
        }
    }

    /// All of it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let report = self.report();
        let mut answer = self.outcome();
        answer.extend(about(report));
        answer.insert(
            "cost".to_owned(),
            json!({
                "hostcalls": report.hostcalls, "memory": report.cost.memory, "fuel": report.cost.fuel,
                "bytes_from_guest": report.cost.bytes_from_guest, "bytes_to_guest": report.cost.bytes_to_guest,
                "allocations": report.cost.allocations,
            }),
        );
        serde_json::Value::Object(answer)
    }

    /// What does not depend on how the module was compiled.
    pub(crate) fn to_snapshot(&self) -> serde_json::Value {
        let mut answer = self.outcome();
        answer.extend(about(self.report()));
        serde_json::Value::Object(answer)
    }

    fn outcome(&self) -> Map<String, serde_json::Value> {
        let mut answer = Map::new();
        let mut put = |name: &str, value| answer.insert(name.to_owned(), value);
        put(
            "refused",
            match self {
                Self::Refused(why, _) => json!(first_line(why)),
                Self::Http(_) | Self::Tcp(_) | Self::Log(_) => serde_json::Value::Null,
            },
        );
        put("ended", json!(self.ended().map(ended_name)));
        match self {
            Self::Http(outcome) => {
                put("upstream", json!(outcome.upstream_request.as_ref().map(message)));
                put("client", json!(outcome.client_response.as_ref().map(message)));
                put("code_details", json!(outcome.code_details));
                let reply = outcome.local_reply.as_ref().map(|reply| {
                    json!({
                        "status": reply.status, "details": reply.details, "headers": headers(&reply.headers), "body": bytes(&reply.body),
                        "grpc_status": reply.grpc_status,
                    })
                });
                put("local_reply", json!(reply));
            }
            Self::Tcp(outcome) => {
                put(
                    "tcp",
                    json!({
                        "upstream_connected": outcome.upstream_connected, "to_upstream": bytes(&outcome.to_upstream),
                        "to_downstream": bytes(&outcome.to_downstream),
                    }),
                );
            }
            Self::Refused(..) | Self::Log(_) => {}
        }
        answer
    }
}

fn about(report: &Report) -> Map<String, serde_json::Value> {
    let properties: BTreeMap<String, serde_json::Value> =
        report.properties.iter().map(|(path, value)| (text(path), bytes(value))).collect();
    let state: BTreeMap<String, serde_json::Value> =
        report.filter_state.iter().map(|(name, value)| (text(name), property(value))).collect();
    let metrics: BTreeMap<&str, serde_json::Value> = report
        .metrics
        .iter()
        .map(|(name, metric)| {
            let mut json = json!({"kind": metric_name(metric.kind), "value": metric.value});
            if let (MetricType::Histogram, Some(map)) = (metric.kind, json.as_object_mut()) {
                map.insert("records".to_owned(), json!(metric.records));
            }
            (name.as_str(), json)
        })
        .collect();
    let logs: Vec<serde_json::Value> =
        report.logs.iter().map(|line| json!({"level": level_name(line.level), "context": line.context, "message": line.message})).collect();
    let traps: Vec<serde_json::Value> = report
        .traps
        .iter()
        .map(|trap| json!({"callback": trap.callback, "kind": trap_name(trap.kind), "message": first_line(&trap.message)}))
        .collect();
    let misuse: Vec<serde_json::Value> = report
        .misuse
        .iter()
        .map(|misuse| json!({"name": misuse.name(), "severity": misuse.severity().name(), "message": misuse.to_string()}))
        .collect();
    let about = json!({
        "calls": report.calls.iter().map(call).collect::<Vec<_>>(),
        "grpc_calls": report.grpc_calls.iter().map(grpc_call).collect::<Vec<_>>(), "trace": report.trace.iter().map(event).collect::<Vec<_>>(),
        "logs": logs, "metrics": metrics, "properties": properties, "filter_state": state, "traps": traps, "misuse": misuse,
        "dropped": report.dropped,
    });
    about.as_object().cloned().unwrap_or_default()
}

fn message(message: &Message) -> serde_json::Value {
    json!({
        "headers": headers(&message.headers), "body": bytes(&message.body), "trailers": headers(&message.trailers),
        "complete": message.complete,
    })
}

fn call(call: &HttpCall) -> serde_json::Value {
    json!({
        "token": call.token, "cluster": call.cluster, "timeout_milliseconds": call.timeout_milliseconds,
        "headers": headers(&call.request.headers), "body": bytes(&call.request.body), "trailers": headers(&call.request.trailers),
    })
}

fn grpc_call(call: &GrpcCall) -> serde_json::Value {
    json!({
        "token": call.token, "cluster": call.cluster, "service": call.service, "method": call.method, "streaming": call.streaming,
        "timeout_milliseconds": call.timeout_milliseconds, "initial_metadata": headers(&call.initial_metadata),
        "messages": call.messages.iter().map(|message| bytes(message)).collect::<Vec<_>>(),
    })
}

fn event(event: &TraceEvent) -> serde_json::Value {
    match event {
        TraceEvent::Callback { name, context, result } => json!({"callback": name, "context": context, "result": result}),
        TraceEvent::Hostcall { name, status } => json!({"hostcall": name, "status": status.code()}),
        _ => serde_json::Value::Null,
    }
}

/// Pairs in order: a name can come more than once.
fn headers(headers: &Headers) -> Vec<[serde_json::Value; 2]> {
    headers.iter().map(|(name, value)| [json!(text(name)), bytes(value)]).collect()
}

/// Text if it is, else `{"base64": …}`.
pub(crate) fn bytes(bytes: &[u8]) -> serde_json::Value {
    std::str::from_utf8(bytes).map_or_else(|_| json!({"base64": STANDARD.encode(bytes)}), |text| json!(text))
}

fn property(value: &Value) -> serde_json::Value {
    match value {
        Value::Bytes(content) => bytes(content),
        Value::Integer(number) => json!(number),
        Value::Double(number) => json!(number),
        Value::Bool(value) => json!(value),
        Value::Map(map) => map.iter().map(|(key, value)| (text(key), property(value))).collect::<Map<_, _>>().into(),
        Value::List(list) => list.iter().map(property).collect::<Vec<_>>().into(),
        _ => serde_json::Value::Null,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The rest is the guest's stack, with addresses that change with every build.
pub(crate) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

pub(crate) const fn ended_name(ended: Ended) -> &'static str {
    match ended {
        Ended::Completed => "completed",
        Ended::Closed => "closed",
        Ended::Hung => "hung",
        Ended::Trapped => "trapped",
        Ended::EnvoyCrash => "envoy_crash",
        _ => "other",
    }
}

pub(crate) const fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
        LogLevel::Critical => "critical",
    }
}

const fn metric_name(kind: MetricType) -> &'static str {
    match kind {
        MetricType::Counter => "counter",
        MetricType::Gauge => "gauge",
        MetricType::Histogram => "histogram",
    }
}

const fn trap_name(kind: TrapKind) -> &'static str {
    match kind {
        TrapKind::Unreachable => "unreachable",
        TrapKind::Deadline => "deadline",
        TrapKind::StackOverflow => "stack_overflow",
        TrapKind::Restricted => "restricted",
        TrapKind::Flood => "flood",
        TrapKind::Other | _ => "other",
    }
}

/// In one line.
pub(crate) fn headers_text(headers: &Headers) -> String {
    let pairs: Vec<String> = headers.iter().map(|(name, value)| format!("{}: {}", text(name), value.escape_ascii())).collect();
    pairs.join(", ")
}
