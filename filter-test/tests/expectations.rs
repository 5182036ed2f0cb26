//! Every expectation, met and not met, with a module of a few lines.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::Path;
use std::sync::LazyLock;

use meshwright_filter_test::{CaseResult, Compile, Scenario, failed, human, json, junit, load_module, run_all};
use meshwright_wasm_host::Host;

static HOST: LazyLock<Host> = LazyLock::new(|| {
    load_module(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/actions.wat"), &Compile { metered: true, cache: None }).unwrap()
});

fn run(text: &str) -> Vec<CaseResult> {
    let scenarios = Scenario::parse(Path::new("a.yaml"), text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    run_all(&HOST, &scenarios, false, &|_| {})
}

/// What fails when `expect` is expected of `input`.
fn failures(input: &str, expect: &str) -> Vec<String> {
    let results = run(&format!("{input}\nexpect: {expect}\n"));
    results.iter().flat_map(|result| &result.failures).map(ToString::to_string).collect()
}

#[test]
fn what_is_met_passes() {
    for (input, expect) in [
        (
            "request: {path: /g}\nworld: {clusters: {keys: [{grpc: {messages: ['yes']}}]}}",
            "{grpc_calls: [{cluster: keys, service: requests, method: decision, messages: [denied], streaming: false, timeout_milliseconds: 500}], client: {status: 200}}",
        ),
        ("request: {path: /g}\nworld: {clusters: {keys: [{grpc: {status: 8, status_message: no}}]}}", "{client: {status: 503}}"),
        ("request: {path: /}", "{cost: {max_allocations: 1, max_bytes_copied: 200, max_fuel: 1000}}"),
        (
            "request: {path: /}\nworld: {faults: [{function: proxy_add_header_map_value, status: bad_argument}]}",
            "{upstream: {headers: {x-seen: {absent: true}}}}",
        ),
        (
            "request: {path: /}\nmodule: {allowed_capabilities: [proxy_log]}",
            "{upstream: {headers: {x-seen: {absent: true}}}, logs: [{level: info, absent: true}]}",
        ),
        ("request: {path: /}", "{}"),
        (
            "request: {path: /x, headers: {a: [b, c]}, body: hi}",
            "{upstream: {headers: {x-seen: {present: true}, a: [b, c], b: {absent: true}}, body: hi}}",
        ),
        (
            "request: {path: /}\nupstream: {status: 201, headers: {y: z}, chunks: [o, k], trailers: {t: v}}",
            "{client: {status: 201, headers: {y: z}, body: ok, trailers: {t: v}}, local_reply: {sent: false}, code_details: via_upstream}",
        ),
        ("request: {path: /}\nupstream: {reset: true}", "{client: {status: 503}, code_details: {prefix: upstream_reset}}"),
        (
            "request: {path: /d}",
            "{upstream: {reached: false}, client: {status: 403, body: denied}, local_reply: {status: 403, body: denied, details: denied_by_letter}, properties: {decision: {json: {reason: letter d, rule: 3}}, other: {absent: true}}}",
        ),
        (
            "request: {path: /k}\nworld: {clusters: {keys: [{status: 200, after_milliseconds: 20}]}}",
            "{calls: [{cluster: keys, headers: {':path': /k}, body: denied, timeout_milliseconds: 500}], client: {status: 200}}",
        ),
        ("request: {path: /k}\nworld: {clusters: {keys: [{never: true}]}}", "{calls: [{}]}"),
        ("request: {path: /k}", "{ended: hung, calls: [], misuse: [pause_for_nothing]}"),
        ("request: {path: /h}", "{ended: hung, client: {reached: false}, misuse: [pause_for_nothing]}"),
        ("request: {path: /c}", "{ended: closed}"),
        ("request: {path: /t}", "{trap: {contains: proxy_on_request_headers}, client: {status: 503}}"),
        ("request: {path: /m}", "{misuse: [resume_response_in_request], ended: envoy_crash}"),
        (
            "request: {path: /}",
            "{metrics: {requests: 1}, logs: [{level: info, equals: /}, {regex: '^/$', count: 1}, {level: error, absent: true}]}",
        ),
        ("request: {path: /}", "{cost: {max_hostcalls: 6, max_hostcalls_of: {proxy_get_header_map_value: 1}, max_memory: 131072}}"),
        ("module: {configuration: '!'}\nrequest: {}", "{refused: {contains: proxy_on_configure}, logs: [{level: warn, equals: '!'}]}"),
        ("module: {configuration: {a: 1}, log_level: error}\nrequest: {}", "{logs: [{level: warn, absent: true}]}"),
        (
            "tcp: {steps: [{downstream: ping}, {upstream: pong}, downstream_close]}",
            "{tcp: {upstream_connected: true, to_upstream: ping, to_downstream: pong}}",
        ),
        ("log: {request_headers: {':path': /}}", "{ended: completed}"),
    ] {
        let failures = failures(input, expect);
        assert!(failures.is_empty(), "{input}\n{expect}\n{}", failures.join("\n"));
    }
}

#[test]
fn what_is_not_met_fails_with_both_sides() {
    for (input, expect, failure) in [
        (
            "request: {path: /g}\nworld: {clusters: {keys: [{grpc: {messages: ['yes']}}]}}",
            "{grpc_calls: [{messages: [no]}]}",
            "expect.grpc_calls[0].messages[0]: expected \"no\", found \"denied\"",
        ),
        ("request: {path: /}", "{grpc_calls: [{}]}", "expect.grpc_calls: expected 1 call, found none"),
        ("request: {path: /}", "{cost: {max_allocations: 0}}", "expect.cost.max_allocations: expected at most 0, found 1"),
        ("request: {path: /}", "{cost: {max_bytes_copied: 1}}", "expect.cost.max_bytes_copied: expected at most 1, found "),
        ("request: {path: /}", "{cost: {max_fuel: 1}}", "expect.cost.max_fuel: expected at most 1, found "),
        ("request: {path: /d}", "{client: {status: 200}}", "expect.client.status: expected 200, found 403 (denied_by_letter)"),
        (
            "request: {path: /d}",
            "{upstream: {}}",
            r#"expect.upstream.reached: expected a message, found none: the filter replied 403 "denied""#,
        ),
        ("request: {path: /}", "{upstream: {reached: false}}", "expect.upstream.reached: expected nothing, found :authority: example.test"),
        ("request: {path: /}", "{upstream: {headers: {x-seen: no}}}", r#"expect.upstream.headers.x-seen: expected "no", found "{"#),
        ("request: {path: /}", "{client: {headers: {x: {present: true}}}}", "expect.client.headers.x: expected a value, found nothing"),
        ("request: {path: /}", "{local_reply: {}}", "expect.local_reply.sent: expected a reply of the filter, found none"),
        (
            "request: {path: /d}",
            "{local_reply: {sent: false}}",
            r#"expect.local_reply.sent: expected no reply of the filter, found 403 "denied" (denied_by_letter)"#,
        ),
        ("request: {path: /d}", "{local_reply: {status: 401, grpc_status: 7}}", "expect.local_reply.status: expected 401, found 403"),
        ("request: {path: /d}", "{properties: {decision: {json_subset: {rule: 4}}}}", "-  \"rule\": 4\n+  \"reason\": \"letter d\""),
        ("request: {path: /}", "{calls: [{cluster: keys}]}", "expect.calls: expected 1 call, found none"),
        (
            "request: {path: /k}\nworld: {clusters: {keys: [{status: 200}]}}",
            "{calls: [{cluster: other}]}",
            r#"expect.calls[0].cluster: expected "other", found "keys""#,
        ),
        (
            "request: {path: /}",
            "{logs: [{level: error, contains: oops}]}",
            "expect.logs[0]: expected a line of level error that contains \"oops\", found 0 among these:\n    info: /",
        ),
        ("request: {path: /}", "{logs: [{level: info, absent: true}]}", "expect.logs[0]: expected no line of level info"),
        ("request: {path: /}", "{logs: [{level: info, count: 2}]}", "expect.logs[0]: expected 2 lines"),
        ("request: {path: /}", "{metrics: {requests: 2}}", "expect.metrics.requests: expected 2, found 1"),
        ("request: {path: /}", "{metrics: {others: 2}}", "expect.metrics.others: expected 2, found no such metric (there are: requests)"),
        ("request: {path: /m}", "{ended: envoy_crash}", "expect.misuse: expected no misuse, found resume_response_in_request: "),
        ("request: {path: /}", "{misuse: [reply_in_log]}", "expect.misuse: expected reply_in_log, found nothing of that name"),
        ("request: {path: /t}", "{ended: trapped}", "expect.trap: expected no trap, found proxy_on_request_headers: "),
        ("request: {path: /}", "{trap: {present: true}}", "expect.trap: expected a value, found nothing"),
        ("request: {path: /h}", "{}", "expect.ended: expected completed, found hung"),
        ("request: {path: /}", "{cost: {max_hostcalls: 5}}", "expect.cost.max_hostcalls: expected at most 5, found 6"),
        (
            "request: {path: /}",
            "{cost: {max_hostcalls_of: {proxy_log: 0}}}",
            "expect.cost.max_hostcalls_of.proxy_log: expected at most 0, found 1",
        ),
        ("request: {path: /}", "{cost: {max_memory: 65536}}", "expect.cost.max_memory: expected at most 65536, found 131072"),
        (
            "module: {configuration: '!'}\nrequest: {}",
            "{}",
            "expect.refused: expected the plugin to start, found the plugin's configuration is refused",
        ),
        ("request: {}", "{refused: x}", "expect.refused: expected the plugin to be refused, found that it started"),
        ("tcp: {}", "{tcp: {upstream_connected: false}}", "expect.tcp.upstream_connected: expected false, found true"),
    ] {
        let failures = failures(input, expect);
        assert!(failures.iter().any(|found| found.contains(failure)), "{input}\n{expect}\nexpected: {failure}\n{failures:#?}");
    }
}

#[test]
fn a_matrix_overrides_merges_and_removes() {
    let results = run(r"
request: {path: /, headers: {a: '1', b: '2'}}
expect: {upstream: {headers: {a: {contains: '1'}}}}
matrix:
  same: {}
  merged: {request: {headers: {a: '3'}}, expect: {upstream: {headers: {a: {equals: '3'}, b: '2'}}}}
  removed: {request: {headers: {a: null}}, expect: {upstream: {headers: {a: {absent: true}, b: {present: true}}}}}
  tcp: {request: null, tcp: {}, expect: {upstream: null}}
  wrong: {expect: {client: {status: 404}}}
");
    let outcomes: Vec<(&str, bool)> = results.iter().map(|result| (result.name.as_str(), result.passed())).collect();
    let expected = [("merged", true), ("removed", true), ("same", true), ("tcp", true), ("wrong", false)];
    assert_eq!(outcomes, expected.map(|(name, passed)| (format!("a.yaml::{name}"), passed)).each_ref().map(|(n, p)| (n.as_str(), *p)));
}

#[test]
fn reports_say_what_failed() {
    let results = run("request: {path: /}\nmatrix: {good: {}, bad: {expect: {client: {status: 404}}}}");
    assert_eq!(failed(&results), 1);
    let text = human(&results, std::time::Duration::from_millis(1500));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        ["FAILED a.yaml::bad", "  expect.client.status: expected 404, found 200 (via_upstream)", "1 passed, 1 failed in 1.50 s"]
    );
    let json = json(&results);
    assert_eq!((&json["passed"], &json["cases"][0]["failures"][0]["path"]), (&1.into(), &"expect.client.status".into()));
    let xml = junit(&results).unwrap();
    for part in [r#"tests="2""#, r#"failures="1""#, r#"name="bad" classname="a.yaml""#, "expected 404, found 200"] {
        assert!(xml.contains(part), "{part}\n{xml}");
    }
}

#[test]
fn snapshots_are_compared_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    let scenarios = |path: &str| {
        let text = format!("request: {{path: {path}}}\nexpect: {{snapshot: 'snapshots/{{case}}.json'}}\nmatrix: {{only: {{}}}}");
        Scenario::parse(&file, &text).unwrap()
    };
    let one = |path: &str, update| run_all(&HOST, &scenarios(path), update, &|_| {}).remove(0);
    assert!(one("/", false).failures[0].to_string().contains("`--update` writes it"));
    assert!(one("/", true).snapshot_written);
    let again = one("/", true);
    assert!(again.passed() && !again.snapshot_written);
    assert!(one("/", false).passed());
    let changed = one("/d", false);
    assert!(changed.failures[0].to_string().contains("+    \"body\": \"denied\","), "{}", changed.failures[0]);
    let snapshot: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("snapshots/only.json")).unwrap()).unwrap();
    assert_eq!((&snapshot["ended"], &snapshot["cost"]), (&"completed".into(), &serde_json::Value::Null));
}

#[test]
fn an_answer_has_everything_that_happened() {
    let text = "request: {path: /k, headers: {x: {base64: /w==}}}\nworld: {clusters: {keys: [{status: 200}]}}";
    let answer = Scenario::parse(Path::new("a.yaml"), text).unwrap()[0].answer(&HOST);
    assert_eq!(answer["upstream"]["headers"][4], serde_json::json!(["x", {"base64": "/w=="}]));
    assert_eq!(answer["calls"][0]["cluster"], "keys");
    assert_eq!(answer["trace"][0], serde_json::json!({"callback": "proxy_on_configure", "context": 1, "result": 1}));
    assert_eq!(answer["metrics"]["requests"], serde_json::json!({"kind": "counter", "value": 1}));
    assert_eq!(answer["cost"]["hostcalls"]["proxy_http_call"], 1);
    let names: Vec<&String> = answer.as_object().unwrap().keys().collect();
    let all = [
        "calls",
        "client",
        "code_details",
        "cost",
        "dropped",
        "ended",
        "filter_state",
        "grpc_calls",
        "local_reply",
        "logs",
        "metrics",
        "misuse",
        "properties",
        "refused",
        "trace",
        "traps",
        "upstream",
    ];
    assert_eq!(names, all);
}
