//! `hcm` against the real Envoy, set up as the inbound listener is: the same requests go through both, and what the app receives is compared
//! byte for byte. Hand-picked requests, and generated ones.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod app;
mod envoy;

use meshwright_explain::{Explainer, NativeEngine};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};
use serde_json::json;

use crate::envoy::{Envoy, MODES};

/// What one side made of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// As the app received it.
    Passed { target: String, host: String, headers: Vec<(String, String)> },
    /// Answered by Envoy itself.
    Refused,
}

#[derive(Debug, Clone)]
struct Asked {
    mode: usize,
    method: String,
    path: String,
    host: String,
    headers: Vec<(String, String)>,
}

fn explained(explainer: &mut Explainer, asked: &Asked) -> Outcome {
    let documents = format!(
        "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {{name: m}}\nspec: {{trustDomain: t, pathNormalization: {}}}\n",
        MODES[asked.mode]
    );
    let case = json!({
        "id": 1, "documents": documents, "workload": {"namespace": "n", "name": "w"},
        "connection": {"protocol": "http", "port": 1, "destinationIp": "127.0.0.1", "sourceIp": "127.0.0.1", "tls": null, "sni": null},
        "request": {"method": asked.method, "path": asked.path, "host": asked.host, "headers": asked.headers, "remoteIp": null},
    });
    let answer =
        serde_json::to_value(explainer.story(&meshwright_explain::Case::from_json(case.to_string().as_bytes()).unwrap(), 0)).unwrap();
    if answer["decision"] != "allow" {
        return Outcome::Refused;
    }
    let headers: Vec<(String, String)> = serde_json::from_value(answer["requestHeaders"].clone()).unwrap();
    let target = answer["target"].as_str().unwrap().to_owned();
    Outcome::Passed { host: answer["host"].as_str().unwrap().to_owned(), target, headers: comparable(headers) }
}

/// Without what Envoy adds of its own.
fn comparable(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    let added = ["content-length", "x-envoy-attempt-count", "x-forwarded-proto", "x-request-id"];
    headers.into_iter().filter(|(name, _)| !added.contains(&name.as_str())).collect()
}

fn compare(envoy: &Envoy, explainer: &mut Explainer, asked: &Asked) {
    let found = explained(explainer, asked);
    let expected = envoy.ask(asked);
    assert_eq!(found, expected, "{asked:?}");
}

fn asked(method: &str, path: &str, host: &str, headers: &[(&str, &str)]) -> Asked {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Asked { mode: 1, method: method.to_owned(), path: path.to_owned(), host: host.to_owned(), headers }
}

fn hand_picked() -> Vec<Asked> {
    let mut all = Vec::new();
    let methods = "ACL BIND CHECKOUT COPY DELETE GET LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE MSEARCH NOTIFY OPTIONS PROPFIND PROPPATCH \
        PURGE REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE get Get FOO M-SEARCH QUERY GET1 * CONNECT";
    all.extend(methods.split(' ').map(|method| asked(method, "/p", "h", &[])));
    for host in ["H", "h:80", "h:x", "[::1]:80", "a,b", "a/b", "a@b", "a_b", "*", "a\"b", "h%20", "h?x", "a\\b", "u:p@h", ":80"] {
        all.push(asked("GET", "/p", host, &[]));
    }
    for path in [
        "http://evil/x?y",
        "http://Evil:80",
        "HTTPS://u:p@evil/a/../b",
        "http://e_v/x",
        "http://e:99999/",
        "http:///x",
        "ftp://e/",
        "x",
        "*",
    ] {
        all.push(asked("GET", path, "h", &[]));
    }
    let headers: &[&[(&str, &str)]] = &[
        &[("X-A", "1"), ("x-a", " 2"), ("b", "3")],
        &[("accept", "a"), ("Accept", "b"), ("accept", "")],
        &[("cookie", "a=1"), ("cookie", "b=2")],
        &[("authorization", "a"), ("authorization", "b")],
        &[("connection", "x-a, keep-alive"), ("x-a", "1"), ("x-b", "2")],
        &[("connection", "close")],
        &[("connection", "x-forwarded-for")],
        &[("connection", "a,b,c,d,e,f,g,h,i,j")],
        &[("te", "gzip, trailers")],
        &[("te", "gzip")],
        &[("upgrade", "foo")],
        &[("expect", "other")],
        &[("transfer-encoding", "gzip")],
        &[("content-length", "5x")],
        &[("content-length", "0"), ("content-length", "0")],
        &[("x-envoy-retry-on", "5xx"), ("x-envoy-other", "1"), ("x-envoy-internal", "true")],
        &[("x-forwarded-client-cert", "By=1")],
        &[("x-forwarded-for", "1.1.1.1"), ("x", "y"), ("x-forwarded-for", "2.2.2.2")],
        &[("host", "i")],
        &[("x y", "1")],
        &[("x", "a\u{1}b")],
        &[("x", "a\u{7f}b")],
        &[("x_y", "\u{e9}")],
        &[("x|~", "a\tb")],
    ];
    all.extend(headers.iter().map(|headers| asked("GET", "/p", "h", headers)));
    for number in [98, 99, 100, 101] {
        let many: Vec<(String, String)> = (0..number).map(|index| (format!("x-{index}"), "v".to_owned())).collect();
        all.push(Asked { headers: many, ..asked("GET", "/p", "h", &[]) });
    }
    for length in [61_407, 61_408] {
        all.push(asked("GET", "/p", "h", &[("x", &"y".repeat(length))]));
    }
    all
}

/// Paths of the pieces from which trouble is made.
fn generated() -> impl Strategy<Value = Asked> {
    let pieces = "/|/|/|//|\\\\|\\.|\\.\\.|;|a|b|%|%2|%2e|%2E|%2f|%5C|%25|%41|%7e|%00|%c0|%34|%31|\\?|#|x=1|~|\\{|\"|\\[|:|@|\\+";
    let header = ("x-a|x-b|accept|via|cookie|te|origin", "[ -~]{0,4}");
    (0..MODES.len(), vec(pieces, 0..9), vec(header, 0..4)).prop_map(|(mode, pieces, headers)| {
        let path = format!("/{}", pieces.concat());
        Asked { mode, path, headers, ..asked("GET", "", "h", &[]) }
    })
}

#[test]
fn the_app_receives_what_explain_says() {
    let envoy = Envoy::start();
    let mut explainer = Explainer::new(Box::new(NativeEngine));
    for asked in hand_picked() {
        compare(&envoy, &mut explainer, &asked);
    }
    let explainer = std::cell::RefCell::new(explainer);
    let config = Config { cases: 4000, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    TestRunner::new_with_rng(config, rng)
        .run(&generated(), |asked| {
            let expected = envoy.ask(&asked);
            let found = explained(&mut explainer.borrow_mut(), &asked);
            prop_assert_eq!(found, expected);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
