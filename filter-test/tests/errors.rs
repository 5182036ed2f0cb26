//! Files that are wrong: each error says where and what, and none is ignored.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;

use meshwright_filter_test::{LoadError, Scenario, load};

#[track_caller]
fn error(text: &str) -> String {
    Scenario::parse(Path::new("a.yaml"), text).unwrap_err().to_string()
}

#[test]
fn errors_have_line_path_and_what_is_allowed() {
    for (text, expected) in [
        ("request:\n  pth: /\n", "a.yaml:2: request.pth: unknown field `pth`, expected one of method, path"),
        ("request: {}\nexpect:\n  client:\n    status: ok\n", "a.yaml:4: expect.client.status: "),
        (
            "request: {}\nexpect:\n  client:\n    headers:\n      x: {starts: a}\n",
            "a.yaml:5: expect.client.headers.x.starts: unknown field `starts`",
        ),
        (
            "request: {}\nexpect:\n  client:\n    headers:\n      x: {regex: '('}\n",
            "a.yaml:5: expect.client.headers.x: `(` is no regular expression",
        ),
        (
            "request: {}\nexpect:\n  client:\n    headers:\n      x: {prefix: a, contains: b}\n",
            "expect.client.headers.x: found more than one condition",
        ),
        ("request: {}\nexpect:\n  client: {body: {}}\n", "expect.client.body: found an empty map"),
        ("request:\n  body: {base64: '!'}\n", "a.yaml:2: request.body: `!` is not base64"),
        ("request:\n  body: {}\n", "exactly one of `base64` and `json` is needed"),
        ("request:\n  headers:\n    x: 1.10\n", "a.yaml:3: request.headers.x: found the number 1.1: quote what is meant as text"),
        ("request: {}\nworld:\n  now: yesterday\n", "a.yaml:3: world.now: found `yesterday`"),
        (
            "request: {}\nworld:\n  properties:\n    a: 18446744073709551615\n",
            "world.properties.a: 18446744073709551615 is more than an attribute can hold",
        ),
        ("request: {}\nmodule:\n  log_level: loud\n", "module.log_level: "),
        ("request: {}\nrequest: {}\n", "a.yaml:2"),
        ("request: {}\nmatrix:\n  one:\n    expect: {clint: {}}\n", "a.yaml:4: matrix.one.expect.clint: unknown field `clint`"),
        ("[]\n", "a.yaml:1"),
        ("", "exactly one of `request`, `tcp` and `log` is needed"),
    ] {
        let error = error(text);
        assert!(error.contains(expected), "{text}\n{error}\n{expected}");
    }
}

#[test]
fn what_does_not_fit_together_is_an_error() {
    for (text, expected) in [
        ("request: {}\nworld: {clusters: {c: [{grpc: {}, status: 200}]}}\n", "world.clusters.c[0]: is more than one answer"),
        ("request: {}\nworld: {clusters: {c: [{grpc: {status: 17}}]}}\n", "world.clusters.c[0].grpc.status: found 17 (allowed: 0 to 16)"),
        (
            "request: {}\nworld: {faults: [{function: proxy_logs, status: empty}]}\n",
            "world.faults[0]: `proxy_logs` is no host function of the ABI",
        ),
        ("request: {}\nworld: {faults: [{function: proxy_log, status: empty}]}\n", "world.faults[0]: `proxy_log` never answers Empty"),
        (
            "request: {}\nworld: {faults: [{function: proxy_log, status: bad_argument, call: 0}]}\n",
            "world.faults[0].call: calls are counted from 1",
        ),
        ("request: {}\ntcp: {}\n", "exactly one of `request`, `tcp` and `log` is needed"),
        ("tcp: {}\nupstream: {status: 200}\n", "upstream: is the answer to a request, and there is none"),
        ("tcp: {}\nexpect: {client: {status: 200}}\n", "expect.client: cannot be expected of what this scenario does"),
        ("log: {}\nexpect: {tcp: {upstream_connected: true}}\n", "expect.tcp: cannot be expected of what this scenario does"),
        ("request: {}\nexpect: {refused: x, client: {status: 200}}\n", "expect.client: cannot be expected of a plugin that is refused"),
        ("request: {body: a, chunks: [b]}\n", "request: has both `body` and `chunks`"),
        ("request: {}\nupstream: {reset: true, status: 200}\n", "upstream: is a reset and a response at once"),
        ("request: {}\nupstream: {status: 99}\n", "upstream.status: found 99 (allowed: 100 to 599)"),
        ("request: {}\nupstream: {headers: {':status': 200}}\n", "upstream.headers: `:status` is no name of a header that can be set here"),
        ("request: {}\nworld: {clusters: {c: []}}\n", "world.clusters.c: has no answers"),
        ("request: {}\nworld: {clusters: {c: [{never: true, status: 200}]}}\n", "world.clusters.c[0]: is more than one answer"),
        ("request: {}\nexpect: {misuse: [rudeness]}\n", "expect.misuse: found `rudeness` (allowed: "),
        ("request: {}\nexpect: {logs: [{}]}\n", "expect.logs[0]: says nothing about the line"),
        ("request: {}\nexpect: {logs: [{level: info, absent: true, count: 1}]}\n", "expect.logs[0]: has both `absent` and `count`"),
        ("request: {}\nexpect: {snapshot: ../a.json}\n", "expect.snapshot: `../a.json` does not name a file beside or below"),
        ("request: {}\nexpect: {snapshot: a.json}\nmatrix: {a: {}, b: {}}\n", "would be the same file for all cases"),
        ("request: {}\nmatrix: {a: {matrix: {b: {}}}}\n", "matrix.a.matrix: a case has no matrix of its own"),
        ("request: {}\nmatrix: {a: {tcp: {}}}\n", "matrix.a: exactly one of"),
        ("request: {body: a}\nmatrix: {a: {request: {chunks: [b]}}}\n", "matrix.a: with the scenario's own parts, request: has both"),
    ] {
        let error = error(text);
        assert!(error.contains(expected), "{text}\n{error}");
    }
}

#[test]
fn a_folder_gives_the_first_error_of_every_file_and_an_empty_one_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let paths = [folder.path().to_owned()];
    assert!(matches!(load(&paths), Err(LoadError::None { .. })));
    put("c.json", "not a scenario");
    put(".hidden.yaml", "nor this");
    assert!(matches!(load(&paths), Err(LoadError::None { .. })));
    put("b.yaml", "reqest: {}");
    put("a.yml", "request: 1");
    let text = load(&paths).unwrap_err().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("a.yml:1: request") && lines[1].contains("unknown field `reqest`"), "{text}");
    let missing = [folder.path().join("none")];
    assert!(matches!(load(&missing), Err(LoadError::Unreadable { .. })));
}
