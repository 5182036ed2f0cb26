//! What a host showed, in a form that two hosts can be compared by.

use std::fmt;

use meshwright_filter_envoy::Observed;
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
        let mut pairs: Vec<(String, String)> =
            pairs.map(|(name, value)| (String::from_utf8_lossy(name).into(), String::from_utf8_lossy(value).into())).collect();
        pairs.sort_by(|one, other| one.0.cmp(&other.0));
        format!("{pairs:?}")
    };
    let body = String::from_utf8_lossy(&message.body);
    format!("{} {body:?} {} {}", text(&message.headers), text(&message.trailers), if message.complete { "complete" } else { "cut" })
}

fn journal(report: &Report) -> Vec<String> {
    report.logs.iter().map(|line| line.message.clone()).collect()
}

pub(crate) fn of_outcome(outcome: Outcome) -> Seen {
    let end = match outcome.ended {
        Ended::Hung => "hung",
        Ended::EnvoyCrash => "crash",
        Ended::Completed | Ended::Closed | Ended::Trapped | _ => "over",
    };
    Seen {
        journal: journal(&outcome.report),
        upstream: outcome.upstream_request.as_ref().map(message),
        client: outcome.client_response.as_ref().map(message),
        surplus: false,
        calls: outcome.report.calls.iter().map(|call| format!("{} {}", call.cluster, message(&call.request))).collect(),
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

pub(crate) fn of_envoy(observed: &Observed, access_log: bool) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let end = if observed.crash.is_some() { "crash" } else if observed.hung { "hung" } else { "over" };
    Seen {
        journal: observed.lines.iter().filter(|line| line.worker).map(|line| line.message.clone()).collect(),
        upstream: observed.upstream.as_ref().filter(|_| !access_log).map(message),
        client: observed.client.as_ref().filter(|_| !access_log).map(message),
        surplus: !observed.surplus.is_empty(),
        calls: observed.calls.iter().map(|(cluster, call)| format!("{cluster} {}", message(call))).collect(),
        tcp: observed.tcp.as_ref().map(|tcp| format!("{:?} {:?}", text(&tcp.to_upstream), text(&tcp.to_downstream))),
        end,
    }
}
