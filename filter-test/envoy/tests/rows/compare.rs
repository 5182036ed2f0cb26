//! What a host showed, in a form that two hosts can be compared by.

use std::fmt;

use meshwright_filter_envoy::{Case, Observed, Traffic};
use meshwright_wasm_host::{Ended, Message, Outcome, Report, TcpOutcome};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) journal: Vec<String>,
    upstream: Option<String>,
    client: Option<String>,
    /// Sent after the response: the part of a second one.
    surplus: bool,
    calls: Vec<String>,
    tcp: Option<String>,
    end: &'static str,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.journal {
            writeln!(f, "{line}")?;
        }
        for (name, text) in [("upstream", &self.upstream), ("client", &self.client), ("tcp", &self.tcp)] {
            writeln!(f, "{name}: {}", text.as_deref().unwrap_or("nothing"))?;
        }
        for call in &self.calls {
            writeln!(f, "call: {call}")?;
        }
        writeln!(f, "end: {}{}", self.end, if self.surplus { ", with more after the response" } else { "" })
    }
}

impl Seen {
    /// Whether Envoy showed what our host does. Where it crashes, it shows only what came before.
    pub(crate) fn agrees_with(&self, envoy: &Self) -> bool {
        if self.end == "crash" && envoy.end == "crash" { self.journal.starts_with(&envoy.journal) } else { self == envoy }
    }
}

/// Added by Envoy's codec and connection manager, of which a filter and our host know nothing.
const ENVOYS_OWN: [&str; 9] = [
    "date",
    "server",
    "transfer-encoding",
    "connection",
    "x-forwarded-proto",
    "x-forwarded-for",
    "x-envoy-internal",
    "x-envoy-expected-rq-timeout-ms",
    ":scheme",
];

fn message(message: &Message) -> String {
    let own = |name: &[u8], value: &[u8]| {
        ENVOYS_OWN.iter().any(|own| own.as_bytes() == name) || name == b"content-length" && value == b"0" && message.body.is_empty()
    };
    let text = |headers: &meshwright_wasm_host::Headers| {
        let pairs = headers.iter().filter(|(name, value)| !own(name, value));
        let mut pairs: Vec<(String, String)> = pairs.flat_map(|(name, value)| on_the_wire(name, value)).collect();
        pairs.sort_by(|one, other| one.0.cmp(&other.0));
        format!("{pairs:?}")
    };
    let body = String::from_utf8_lossy(&message.body);
    format!("{} {body:?} {} {}", text(&message.headers), text(&message.trailers), if message.complete { "complete" } else { "cut" })
}

/// A line break in a value is one on the wire, where another header begins.
fn on_the_wire(name: &[u8], value: &[u8]) -> Vec<(String, String)> {
    let text = format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
    let split = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    let lines: Option<Vec<_>> = text
        .split("\r\n")
        .map(|line| line.strip_prefix(':').map_or_else(|| split(line), |rest| split(rest).map(|(name, value)| (format!(":{name}"), value))))
        .collect();
    lines.unwrap_or_default()
}

fn journal(report: &Report) -> Vec<String> {
    // Said by the host itself, and not in the filter's name.
    let own = |message: &str| message.starts_with("Attempted call to restricted");
    report.logs.iter().map(|line| line.message.clone()).filter(|line| !own(line)).collect()
}

pub(crate) fn of_outcome(outcome: Outcome, heard: &dyn Fn(&str) -> bool) -> Seen {
    let end = match outcome.ended {
        Ended::Hung => "hung",
        Ended::EnvoyCrash => "crash",
        Ended::Completed | Ended::Closed | Ended::Trapped | _ => "over",
    };
    if end == "crash" {
        return Seen { journal: journal(&outcome.report), end, ..Seen::default() };
    }
    Seen {
        journal: journal(&outcome.report),
        upstream: outcome.upstream_request.as_ref().map(message),
        client: outcome.client_response.as_ref().map(message),
        surplus: false,
        calls: outcome
            .report
            .calls
            .iter()
            .filter(|call| heard(&call.cluster))
            .map(|call| format!("{} {}", call.cluster, message(&call.request)))
            .collect(),
        tcp: None,
        end,
    }
}

pub(crate) fn of_tcp(outcome: TcpOutcome) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let tcp = format!("{:?} {:?}", text(&outcome.to_upstream), text(&outcome.to_downstream));
    Seen { journal: journal(&outcome.report), tcp: Some(tcp), end: "over", ..Seen::default() }
}

pub(crate) fn of_log(report: Report) -> Seen {
    Seen { journal: journal(&report), end: "over", ..Seen::default() }
}

pub(crate) fn of_envoy(observed: &Observed, case: &Case) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let access_log = matches!(case.traffic, Traffic::AccessLog(_));
    let grpc = |name: &str| case.clusters.iter().any(|cluster| cluster.name == name && cluster.grpc);
    // A stream that ends Envoy because it logs without end has no end of its journal either.
    let lines = observed.lines.iter().filter(|line| line.worker).map(|line| line.message.clone());
    let end = if observed.crash.is_some() {
        "crash"
    } else if observed.hung {
        "hung"
    } else {
        "over"
    };
    if observed.crash.is_some() {
        return Seen { journal: until_again(lines.collect()), end, ..Seen::default() };
    }
    Seen {
        journal: lines.collect(),
        upstream: observed.upstream.as_ref().filter(|_| !access_log).map(message),
        client: observed.client.as_ref().filter(|_| !access_log).map(message),
        surplus: !observed.surplus.is_empty(),
        calls: observed
            .calls
            .iter()
            .filter(|(name, _)| !grpc(name))
            .map(|(cluster, call)| format!("{cluster} {}", message(call)))
            .collect(),
        tcp: observed.tcp.as_ref().map(|tcp| format!("{:?} {:?}", text(&tcp.to_upstream), text(&tcp.to_downstream))),
        end,
    }
}

/// Up to where the first line comes again.
fn until_again(lines: Vec<String>) -> Vec<String> {
    let again = lines.iter().skip(1).position(|line| Some(line) == lines.first());
    lines.into_iter().take(again.map_or(usize::MAX, |place| place + 1)).collect()
}
