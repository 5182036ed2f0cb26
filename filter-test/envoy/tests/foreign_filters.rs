//! Filters that know nothing of Meshwright, in three languages, do in a real Envoy what they do in our host. `make test-filters` builds them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use meshwright_filter_envoy::{Case, Cluster, Exchange, Observed, Options, Reply, Traffic};
use meshwright_wasm_host::{Answer, Host, LogLevel, Message, Outcome, Request, Response, Upstream};

/// An exchange for both hosts.
struct Example {
    module: &'static str,
    path: &'static str,
    header: (&'static str, &'static str),
    configuration: &'static str,
    /// The upstream's body, in pieces.
    body: &'static [&'static str],
    /// A cluster that the filter calls, and its body.
    cluster: Option<(&'static str, &'static str)>,
}

const PLAIN: Example = Example { module: "", path: "/", header: ("x-a", "1"), configuration: "", body: &["an", "swer"], cluster: None };

const EXAMPLES: [Example; 13] = [
    Example { module: "http_headers", ..PLAIN },
    Example { module: "http_headers", path: "/hello", ..PLAIN },
    Example { module: "http_body", ..PLAIN },
    Example { module: "http_body", body: &["a sec", "ret"], ..PLAIN },
    Example { module: "http_config", configuration: "good day", ..PLAIN },
    Example { module: "http_auth_random", cluster: Some(("httpbin", "B")), ..PLAIN },
    Example { module: "http_auth_random", cluster: Some(("httpbin", "A")), ..PLAIN },
    Example { module: "grpc_auth_random", ..PLAIN },
    Example { module: "guard", configuration: "sesame", ..PLAIN },
    Example { module: "guard", configuration: "sesame", header: ("x-key", "sesame"), ..PLAIN },
    Example { module: "greeter", configuration: "good day", ..PLAIN },
    Example { module: "greeter", configuration: "good day", path: "/private", ..PLAIN },
    Example { module: "greeter", configuration: "good day", path: "/ask", cluster: Some(("names", "eve")), ..PLAIN },
];

/// Names, and the values that were found.
type Found = Vec<(&'static str, Option<String>)>;

/// What both hosts must show alike: statuses, bodies, the headers that filters touch, calls.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    upstream: Option<Found>,
    client: (Option<u16>, String, Found),
    calls: Vec<String>,
}

fn headers(message: &Message, names: &[&'static str]) -> Found {
    names.iter().map(|name| (*name, message.headers.text(name).map(str::to_owned))).collect()
}

fn seen<'a>(upstream: Option<&Message>, client: Option<&Message>, calls: impl Iterator<Item = &'a Message>) -> Seen {
    let client = client.unwrap_or_else(|| panic!("the client got nothing"));
    let answered = headers(client, &["hello", "powered-by", "custom-header", "x-greeting", "x-by"]);
    Seen {
        upstream: upstream.map(|message| headers(message, &[":path", "x-a", "x-key", "x-asked"])),
        client: (client.status(), String::from_utf8_lossy(&client.body).into_owned(), answered),
        calls: calls.map(|call| format!("{:?} {:?}", call.headers.text(":path"), call.headers.text(":authority"))).collect(),
    }
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from)
}

fn wasm(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("MESHWRIGHT_TEST_FILTERS").map_or_else(|| target().join("test-filters"), PathBuf::from);
    let file = folder.join(format!("{name}.wasm"));
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}; `make test-filters` builds it", file.display()))
}

/// The cluster's name in one run must be one example's alone; the filters' are fixed, so an example runs in an Envoy with no other of its name.
fn case(index: usize, example: &Example) -> Case {
    let request = [(":method", "GET"), (":path", example.path), (":authority", "example.test"), example.header];
    let response = |body: &[&str]| Reply::Response {
        headers: [(":status", "200")].into_iter().collect(),
        chunks: body.iter().map(|piece| piece.as_bytes().to_vec()).collect(),
        trailers: meshwright_wasm_host::Headers::new(),
        after: Duration::ZERO,
    };
    Case {
        name: example.module.to_owned(),
        root_id: example.module.to_owned(),
        vm_id: format!("example-{index}"),
        wasm: wasm(example.module),
        configuration: example.configuration.into(),
        clusters: example
            .cluster
            .iter()
            .map(|(name, body)| Cluster { name: (*name).to_owned(), grpc: false, replies: vec![response(&[body])] })
            .collect(),
        traffic: Traffic::Http(Exchange { headers: request.into_iter().collect(), reply: response(example.body), ..Exchange::default() }),
        patience: Duration::from_secs(20),
        ..Case::default()
    }
}

fn in_our_host(example: &Example) -> Outcome {
    let mut plugin = Host::load(&wasm(example.module)).unwrap().plugin(example.module, example.configuration).name(example.module);
    if let Some((name, body)) = example.cluster {
        plugin = plugin.upstream(name, Upstream::new(Answer::response(Response::new(200).body(body))));
    }
    let response = example.body.iter().fold(Response::new(200), |response, piece| response.chunk(*piece));
    plugin.request(Request::get(example.path).header(example.header.0, example.header.1).upstream(response)).run().unwrap()
}

fn in_envoy(examples: &[(usize, &Example)]) -> Vec<Observed> {
    let fallback = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/envoy/1.40.0/envoy"));
    let envoy = std::env::var_os("ENVOY").map_or_else(fallback, PathBuf::from);
    let cases: Vec<Case> = examples.iter().map(|(index, example)| case(*index, example)).collect();
    meshwright_filter_envoy::run(&cases, &Options { envoy, log_level: LogLevel::Info, pace: Duration::from_millis(50) }).unwrap()
}

#[test]
fn envoy_and_our_host_show_the_same() {
    let numbered: Vec<(usize, &Example)> = EXAMPLES.iter().enumerate().collect();
    // Two examples of one filter call the same cluster for different answers: the second is alone.
    let (alone, together) = numbered.into_iter().partition::<Vec<_>, _>(|(_, example)| example.cluster == Some(("httpbin", "A")));
    for examples in [together, alone] {
        for ((index, example), observed) in examples.iter().zip(in_envoy(&examples)) {
            let ours = in_our_host(example);
            let ours =
                seen(ours.upstream_request.as_ref(), ours.client_response.as_ref(), ours.report.calls.iter().map(|call| &call.request));
            let envoys = seen(observed.upstream.as_ref(), observed.client.as_ref(), observed.calls.iter().map(|(_, call)| call));
            assert_eq!(ours, envoys, "{index}: {} {}; ours is left", example.module, example.path);
        }
    }
}
