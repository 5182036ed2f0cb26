//! `log_in_vm`: each record of the access log is of its own request, although what passes is never written to the stream.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{Shutdown, SocketAddr};
use std::thread;

use serde_json::{Value, json};

use crate::bootstrap::{access_log, bootstrap, http, http_filters};
use crate::envoy::{Envoy, holding_app};
use crate::pki::{read_all, request, tcp as connect};

/// Rule n lets paths pass that begin with `/n`; a third policy denies, and one in dry-run says something about the fourth.
fn authz(log_in_vm: bool) -> Value {
    let to = |path: &str| json!({"to": [{"operation": {"paths": [path]}}]});
    json!({
        "version": 1, "protocol": "http", "trust_domain": "mesh.local", "log_in_vm": log_in_vm,
        "authorization": [
            {"namespace": "shop", "name": "paths", "action": "ALLOW", "rules": [to("/0*"), to("/1*"), to("/2*")]},
            {"namespace": "shop", "name": "closed", "action": "DENY", "rules": [to("*/closed")]},
        ],
    })
}

/// The filter state as Envoy itself sees it when the stream has ended.
fn state_log() -> Value {
    let format = json!({"text_format_source": {"inline_string": "state %REQ(:PATH)% %FILTER_STATE(wasm.meshwright.decision:PLAIN)%\n"}});
    json!({"name": "envoy.access_loggers.stderr", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog", "log_format": format,
    }})
}

fn start(folder: &std::path::Path, log_in_vm: bool, logs: &Value) -> Envoy {
    let mut filters = http(http_filters(&authz(log_in_vm)));
    filters[0]["typed_config"]["access_log"] = logs.clone();
    Envoy::start(folder, &bootstrap(&filters, holding_app(), None))
}

fn with_state(mut logs: Value) -> Value {
    logs.as_array_mut().unwrap().push(state_log());
    logs
}

fn status(address: SocketAddr, path: &str) -> u16 {
    request(connect(address), "GET", path, &[]).0
}

/// The verdict and the rule, and what is in the filter state.
fn next(envoy: &Envoy) -> (Value, Value, String) {
    let record = envoy.record();
    let state = envoy.line("state ");
    let (path, state) = state.rsplit_once("state ").unwrap().1.split_once(' ').unwrap();
    assert_eq!(record["path"], path, "both logs are of one stream: {record}");
    (record["verdict"].clone(), record["rule"].clone(), state.to_owned())
}

#[test]
fn what_passes_is_recorded_without_filter_state_and_a_denial_with() {
    let folder = tempfile::tempdir().unwrap();
    let envoy = start(folder.path(), true, &with_state(access_log("http")));
    // The second time the request is known as a whole.
    for path in ["/0", "/0", "/1/a", "/2", "/2"] {
        assert_eq!(status(envoy.address, path), 200);
        let rule: u32 = path[1..2].parse().unwrap();
        assert_eq!(next(&envoy), (json!("ALLOW"), json!(rule), "-".to_owned()), "{path}");
    }
    for path in ["/0/closed", "/9"] {
        assert_eq!(status(envoy.address, path), 403);
        let (verdict, _, state) = next(&envoy);
        assert!(verdict == "DENY" && state.contains("\"verdict\":\"DENY\""), "{path}: {state}");
    }
}

#[test]
fn without_the_field_or_without_a_log_beside_it_the_filter_state_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for (log_in_vm, logs) in [(false, with_state(access_log("http"))), (true, json!([state_log()]))] {
        let envoy = start(folder.path(), log_in_vm, &logs);
        assert_eq!(status(envoy.address, "/1"), 200);
        let state = envoy.line("state /1 ");
        assert!(state.contains("\"verdict\":\"ALLOW\""), "{log_in_vm}: {state}");
    }
}

/// Streams end in another order than they began in, before they were answered, and without a request that anybody could decide about.
#[test]
fn a_record_is_of_its_own_stream_whichever_ends_when() {
    let folder = tempfile::tempdir().unwrap();
    let envoy = start(folder.path(), true, &with_state(access_log("http")));
    let open = |path: &str| {
        let mut stream = connect(envoy.address);
        write!(stream, "GET {path} HTTP/1.1\r\nhost: app.test\r\n\r\n").unwrap();
        stream
    };
    let held = [open("/0/held"), open("/1/held"), open("/2/held")];
    for (path, code, verdict) in [("/1", 200, json!("ALLOW")), ("/9", 403, json!("DENY")), ("/2", 200, json!("ALLOW"))] {
        assert_eq!(status(envoy.address, path), code);
        assert_eq!(next(&envoy).0, verdict, "{path}");
    }
    // Refused by the codec, and by Envoy for want of a host: nobody was asked, and neither has another's verdict.
    for bad in ["GET /0 HTTP/1.1\r\nhost: app.test\r\ncontent-length: no\r\n\r\n", "GET /0 HTTP/1.1\r\n\r\n"] {
        let mut stream = connect(envoy.address);
        stream.write_all(bad.as_bytes()).unwrap();
        assert!(read_all(stream).starts_with("HTTP/1.1 400"));
        let record = envoy.record();
        assert_eq!((&record["verdict"], &record["status"]), (&Value::Null, &json!(400)), "{record}");
    }
    for (rule, stream) in held.into_iter().enumerate().rev() {
        stream.shutdown(Shutdown::Both).unwrap();
        let record = envoy.record();
        assert_eq!(
            (&record["path"], &record["verdict"], &record["rule"]),
            (&json!(format!("/{rule}/held")), &json!("ALLOW"), &json!(rule)),
            "{record}"
        );
    }
}

#[test]
fn of_many_at_once_each_has_its_own_record() {
    const CLIENTS: usize = 6;
    const EACH: usize = 25;
    let folder = tempfile::tempdir().unwrap();
    let envoy = start(folder.path(), true, &access_log("http"));
    let address = envoy.address;
    let clients = (0..CLIENTS).map(|client| {
        thread::spawn(move || {
            for number in 0..EACH {
                let path = format!("/{}/{client}.{number}", (client + number) % 5);
                status(address, &path);
            }
        })
    });
    clients.collect::<Vec<_>>().into_iter().for_each(|client| client.join().unwrap());
    let mut seen = BTreeSet::new();
    for _ in 0..CLIENTS * EACH {
        let record = envoy.record();
        let path = record["path"].as_str().unwrap().to_owned();
        let expected = match path[1..2].parse::<u32>().unwrap() {
            rule @ 0..=2 => (json!("ALLOW"), json!(rule)),
            _ => (json!("DENY"), Value::Null),
        };
        assert_eq!((record["verdict"].clone(), record["rule"].clone()), expected, "{record}");
        seen.insert(path);
    }
    assert_eq!(seen.len(), CLIENTS * EACH);
}
