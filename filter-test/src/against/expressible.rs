//! Which scenarios a real Envoy can be asked for, and how. What only a scripted world has (a set clock, attributes by hand, faults) cannot be
//! made there, and the scenario says so rather than being compared with something else.

use std::time::Duration;

use meshwright_filter_envoy::{Case, Cluster, Exchange, Reply, Traffic};
use meshwright_wasm_host::{Ended, Headers, Host, LogLevel, Outcome, Request, Response, TraceEvent, Value};

use crate::build::{Input, Setup, answered};
use crate::scenario::Scenario;
use crate::wire::{AnswerWire, ProfileWire};

/// How long a client waits that is to be answered, and one that is not.
const PATIENCE: Duration = Duration::from_secs(4);
const IMPATIENCE: Duration = Duration::from_secs(1);
/// Services that take longer are not waited for.
const SLOWEST: Duration = Duration::from_secs(2);

type Ready = (Case, LogLevel, Box<Outcome>);

/// The case for Envoy and what our host makes of the same, or why there is none.
pub(super) fn question(scenario: &Scenario, host: &Host, wasm: &[u8], index: usize) -> Result<Ready, String> {
    let request = match &scenario.input {
        Input::Request(request) => request,
        Input::Tcp(_) => return Err("it is a TCP connection, not a request".to_owned()),
        Input::Log(_) => return Err("it is an ended stream that no client made".to_owned()),
    };
    let setup = &scenario.setup;
    let clusters = clusters(setup)?;
    let filter_state = world(setup, request)?;
    let exchange = exchange(request)?;
    let shown = as_shown(request, &exchange);
    let (module, log_level) = setup.envoy_plugin();
    let here = setup.plugin(host).request(shown).run().map_err(|error| format!("the plugin does not start here: {error}"))?;
    if calls_before_streams(&here) {
        return Err("it calls a service before there is a stream, which each of Envoy's VMs would do".to_owned());
    }
    let hangs = here.ended == Ended::Hung;
    let vm_id = if module.vm_id.is_empty() { format!("case-{index}") } else { module.vm_id.clone() };
    let case = Case {
        vm_id,
        wasm: wasm.to_vec(),
        filter_state,
        clusters,
        traffic: Traffic::Http(exchange),
        patience: if hangs { IMPATIENCE } else { PATIENCE },
        ..module
    };
    Ok((case, log_level, Box::new(here)))
}

fn world(setup: &Setup, request: &Request) -> Result<Vec<(String, String)>, String> {
    let world = setup.world();
    let reasons = [
        (world.now.is_some(), "`world.now` sets the clock"),
        (world.seed.is_some(), "`world.seed` sets the random numbers"),
        (!world.properties.is_empty(), "`world.properties` sets attributes by hand"),
        (!world.shared_data.is_empty(), "`world.shared_data` is there before the plugin"),
        (!world.faults.is_empty(), "`world.faults` lets host functions fail"),
        (world.profile == Some(ProfileWire::Spec), "`world.profile` is not Envoy's"),
        (request.has_properties(), "`request.properties` sets attributes by hand"),
    ];
    if let Some((_, why)) = reasons.into_iter().find(|(given, _)| *given) {
        return Err(why.to_owned());
    }
    let text = |(name, value): (&[u8], &Value)| match value {
        Value::Bytes(bytes) => Some((String::from_utf8(name.to_vec()).ok()?, String::from_utf8(bytes.clone()).ok()?)),
        Value::Integer(_) | Value::Double(_) | Value::Bool(_) | Value::Map(_) | Value::List(_) | _ => None,
    };
    let texts = request.given_filter_state().map(text).collect::<Option<Vec<_>>>();
    texts.ok_or_else(|| "`request.filter_state` has a value that is no text".to_owned())
}

fn clusters(setup: &Setup) -> Result<Vec<Cluster>, String> {
    let clusters = setup.world().clusters.iter().filter_map(|(name, answers)| Some((name, answers.as_ref()?)));
    let clusters = clusters.map(|(name, wires)| {
        let replies = wires.iter().map(|wire| reply(name, wire));
        Ok(Cluster { name: name.clone(), grpc: false, replies: replies.collect::<Result<_, String>>()? })
    });
    clusters.collect()
}

fn reply(cluster: &str, wire: &AnswerWire) -> Result<Reply, String> {
    let after = Duration::from_millis(wire.after_milliseconds);
    if wire.grpc.is_some() {
        return Err(format!("cluster `{cluster}` speaks gRPC"));
    }
    if wire.failure {
        return Err(format!("cluster `{cluster}` fails in a way that no service can bring about"));
    }
    if after > SLOWEST {
        return Err(format!("cluster `{cluster}` answers after {} s, too long to wait", after.as_secs()));
    }
    Ok(match (wire.reset, wire.never, wire.connection_failure) {
        (true, ..) => Reply::Reset,
        (_, true, _) => Reply::Never,
        (.., true) => Reply::Refused,
        (false, false, false) => {
            let response = answered(cluster, wire).map_err(|wrong| wrong.message)?;
            Reply::Response {
                headers: response.headers().clone(),
                chunks: response.chunks().to_vec(),
                trailers: response.trailers().clone(),
                after,
            }
        }
    })
}

/// What goes over HTTP/1.1.
fn exchange(request: &Request) -> Result<Exchange, String> {
    let headers = request.headers();
    if [":method", ":path", ":authority"].iter().any(|name| headers.get(name).is_none_or(<[u8]>::is_empty)) {
        return Err("a request without `:method`, `:path` or `:authority` cannot be sent".to_owned());
    }
    let answers = request.response();
    let sent = [Some(headers), Some(request.trailers()), answers.map(Response::headers), answers.map(Response::trailers)];
    for (name, value) in sent.into_iter().flatten().flat_map(Headers::iter) {
        if value.iter().chain(name).any(u8::is_ascii_control) {
            return Err(format!("`{}` cannot be sent in HTTP/1.1", String::from_utf8_lossy(name)));
        }
    }
    let size: usize = request.chunks().iter().map(Vec::len).sum();
    if headers.text("content-length").is_some_and(|length| length.parse() != Ok(size)) {
        return Err("`content-length` is not the body's".to_owned());
    }
    let reply = answers.map_or(Reply::Reset, |response| Reply::Response {
        headers: response.headers().clone(),
        chunks: response.chunks().to_vec(),
        trailers: response.trailers().clone(),
        after: Duration::ZERO,
    });
    let headers = headers.iter().filter(|(name, _)| *name != b":scheme");
    Ok(Exchange {
        headers: headers.map(|(name, value)| (name, value.to_vec())).collect(),
        chunks: request.chunks().to_vec(),
        trailers: request.trailers().clone(),
        reply,
    })
}

/// The request as a listener without TLS shows it to its filters, and the response as the upstream's HTTP/1.1 has it.
fn as_shown(request: &Request, exchange: &Exchange) -> Request {
    let mut shown =
        Request::get("/").without_header(":authority").without_header(":path").without_header(":method").without_header(":scheme");
    let (pseudo, others): (Vec<_>, Vec<_>) = exchange.headers.iter().partition(|(name, _)| name.starts_with(b":"));
    let names = pseudo.into_iter().chain([(&b":scheme"[..], &b"http"[..])]).chain(others);
    for (name, value) in names.chain([(&b"x-forwarded-proto"[..], &b"http"[..])]) {
        shown = shown.header(name, value);
    }
    for chunk in request.chunks() {
        shown = shown.chunk(chunk.clone());
    }
    for (name, value) in request.trailers().iter() {
        shown = shown.trailer(name, value);
    }
    for (name, value) in request.given_filter_state() {
        shown = shown.filter_state(name, value.clone());
    }
    let Some(response) = request.response() else { return shown.upstream_reset() };
    let framed = response.headers().get("content-length").is_some() || matches!(response.headers().text(":status"), Some("204" | "304"));
    let empty = response.chunks().is_empty() && response.trailers().is_empty();
    shown.upstream(match (framed, empty) {
        (true, _) => response.clone(),
        (false, true) => response.clone().header("content-length", "0"),
        (false, false) => response.clone().header("transfer-encoding", "chunked"),
    })
}

fn calls_before_streams(here: &Outcome) -> bool {
    let before = here
        .report
        .trace
        .iter()
        .take_while(|event| !matches!(event, TraceEvent::Callback { name, .. } if name.starts_with("proxy_on_request")));
    let is_call = |name: &str| matches!(name, "proxy_http_call" | "proxy_grpc_call" | "proxy_grpc_stream");
    before.into_iter().any(|event| matches!(event, TraceEvent::Hostcall { name, .. } if is_call(name)))
}
