//! What our host showed of an exchange and what Envoy showed of it.

use meshwright_filter_envoy::{Case, Observed};
use meshwright_wasm_host::{Ended, Headers, LogLevel, Message, Outcome};

use crate::failure::Failure;

/// Added or taken away by Envoy's codec, connection manager and router, of which a filter and our host know nothing.
const ENVOYS_OWN: [&[u8]; 10] = [
    b"date",
    b"server",
    b"transfer-encoding",
    b"connection",
    b"x-forwarded-proto",
    b"x-forwarded-for",
    b"x-envoy-internal",
    b"x-envoy-expected-rq-timeout-ms",
    b"x-envoy-upstream-service-time",
    b":scheme",
];

/// `-` is our host, `+` is Envoy.
pub(super) fn differences(here: &Outcome, envoy: &Observed, case: &Case) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut compare = |path: &str, here: String, envoy: String| {
        if here != envoy {
            failures.push(Failure::texts(path, &here, &envoy));
        }
    };
    let end = match here.ended {
        Ended::Hung => "hangs",
        Ended::EnvoyCrash => "crashes Envoy",
        Ended::Completed | Ended::Closed | Ended::Trapped | _ => "ends",
    };
    let envoys_end = match (&envoy.crash, envoy.hung) {
        (Some(_), _) => "crashes Envoy",
        (None, true) => "hangs",
        (None, false) => "ends",
    };
    compare("the stream", end.to_owned(), envoys_end.to_owned());
    if envoy.crash.is_some() {
        return failures;
    }
    compare("upstream", optional(here.upstream_request.as_ref()), optional(envoy.upstream.as_ref()));
    compare("client", optional(here.client_response.as_ref()), optional(envoy.client.as_ref()));
    if !envoy.surplus.is_empty() {
        compare("client, after the response", String::new(), String::from_utf8_lossy(&envoy.surplus).into_owned());
    }
    let heard = |name: &str| case.clusters.iter().any(|cluster| cluster.name == name && cluster.is_heard());
    let calls = here.report.calls.iter().filter(|call| heard(&call.cluster));
    let calls: String = calls.map(|call| format!("{}\n{}", call.cluster, text(&call.request))).collect();
    let envoys_calls = envoy.calls.iter().filter(|(cluster, _)| heard(cluster));
    compare("calls", calls, envoys_calls.map(|(cluster, call)| format!("{cluster}\n{}", text(call))).collect());
    // Said by the host itself, and not in the filter's name.
    let own = |message: &str| message.starts_with("Attempted call to restricted") || message.starts_with("proc_exit(");
    let logs = here.report.logs.iter().filter(|line| !own(&line.message)).map(|line| log_line(line.level, &line.message));
    let envoys_logs = envoy.lines.iter().filter(|line| line.worker).map(|line| log_line(line.level, &line.message));
    compare("logs", logs.collect(), envoys_logs.collect());
    failures
}

fn log_line(level: LogLevel, message: &str) -> String {
    format!("{level:?} {message}\n").to_lowercase().replacen(&message.to_lowercase(), message, 1)
}

fn optional(message: Option<&Message>) -> String {
    message.map_or_else(|| "nothing\n".to_owned(), text)
}

fn text(message: &Message) -> String {
    let own =
        |name: &[u8], value: &[u8]| ENVOYS_OWN.contains(&name) || name == b"content-length" && value == b"0" && message.body.is_empty();
    let lines = |headers: &Headers| {
        let pairs = headers.iter().filter(|(name, value)| !own(name, value));
        let mut lines: Vec<(String, String)> =
            pairs.map(|(name, value)| (String::from_utf8_lossy(name).into(), String::from_utf8_lossy(value).into())).collect();
        lines.sort_by(|one, other| one.0.cmp(&other.0));
        lines.into_iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>()
    };
    let mut out = lines(&message.headers);
    if !message.body.is_empty() {
        out.push_str(&format!("\n{}\n", String::from_utf8_lossy(&message.body)));
    }
    if !message.trailers.is_empty() {
        out.push_str(&format!("\n{}", lines(&message.trailers)));
    }
    if !message.complete {
        out.push_str("(cut short)\n");
    }
    out
}
