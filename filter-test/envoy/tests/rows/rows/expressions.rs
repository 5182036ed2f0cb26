//! Expressions in CEL: what is parsed, what comes of it, and the life of their tokens.

mod attributes;
mod functions;
mod language;

use std::fmt::Write;

use crate::probe::{Probe, on};
use crate::row::{Row, ok, row};

/// Makes each expression, says its token, and evaluates it.
fn each(expressions: &[&str]) -> String {
    let mut body = String::new();
    for text in expressions {
        let literal = text.replace('}', "}}");
        write!(body, "($say {{{literal}}}) {} {}", create(&literal), with_token("expr_evaluate")).unwrap();
    }
    body
}

/// Pointer and length of the token, or of nothing, are at 8 and 12 then.
fn create(text: &str) -> String {
    format!(
        "{NOTHING} ($call_foreign_function {{expr_create}} {{{text}}} #16 #20) {SHOW}
         (i32.store #8 (i32.load #0)) (i32.store #12 (i32.load #4))"
    )
}

const NOTHING: &str = "(i64.store #16 (i64.const 0))";
const SHOW: &str = "(i64.store #0 (i64.load #16)) ($hex)";

fn with_token(function: &str) -> String {
    format!("{NOTHING} ($call_foreign_function {{{function}}} (i32.load #8) (i32.load #12) #16 #20) {SHOW}")
}

fn full(name: &'static str, probe: Probe) -> Row {
    row(name, probe)
        .request("POST", "/a/b?c=d", &[("x-one", "1"), ("x-one", "2"), ("user-agent", "u"), ("content-type", "text/plain")], &["body"])
        .upstream(ok(&[("y", "2")], &["answer"], &[("u", "3")]))
        .configured("root", "", "")
}

fn in_request(name: &'static str, expressions: &[&str]) -> Row {
    full(name, on("proxy_on_request_headers", &format!("{} #0", each(expressions))))
}

fn nested(open: &str, middle: &str, close: &str, times: usize) -> String {
    format!("{}{middle}{}", open.repeat(times), close.repeat(times))
}

/// How deep and how long is not said; whether it is one is.
fn depths() -> Vec<Row> {
    let mut texts = Vec::new();
    for times in [5, 8, 12, 16, 24, 30, 31, 32, 33, 40, 60] {
        texts.push(nested("(", "1", ")", times));
        texts.push(nested("[", "1", "]", times));
        texts.push(nested("!", "true", "", times));
        texts.push(nested("1 + ", "1", "", times));
        texts.push(nested("true && ", "true", "", times));
        texts.push(nested("true ? ", "1", " : 2", times));
        texts.push(nested("size([", "1", "])", times));
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (few, more) = texts.split_at(texts.len() / 2);
    vec![in_request("expressions: depth", few), in_request("expressions: more depth", more), steps()]
}

/// Of loops there are 10 000 in one evaluation.
fn steps() -> Row {
    let list = |length: usize| format!("[{}]", vec!["1"; length].join(","));
    let nested = |length: usize| format!("{}.all(x, {}.all(y, true))", list(length), list(length));
    let texts = [nested(90), nested(99), nested(101), nested(110), format!("{}.map(x, {}.map(y, y))[0]", list(110), list(110))];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    in_request("expressions: steps of loops", &texts)
}

fn tokens() -> Vec<Row> {
    let odd = "($call_foreign_function {expr_evaluate} #0 #0 #0 #4) ($call_foreign_function {expr_evaluate} {abc} #0 #4) ($call_foreign_function {expr_evaluate} {abcd} #0 #4)
        ($call_foreign_function {expr_evaluate} {abcde} #0 #4) ($call_foreign_function {expr_delete} #0 #0 #0 #4) ($call_foreign_function {expr_delete} {abc} #0 #4)
        ($call_foreign_function {expr_delete} {abcd} #0 #4) ($call_foreign_function {expr_delete} {abcde} #0 #4)";
    let (evaluate, delete) = (with_token("expr_evaluate"), with_token("expr_delete"));
    let life = format!("{} {evaluate} {evaluate} {delete} {evaluate} {delete} {}", create("1 + 1"), create("2"));
    let create_in_root = format!("{} {} #1", create("request.path"), create("plugin_name"));
    let use_0 = "($call_foreign_function {expr_evaluate} {\0\0\0\0} #16 #20) (i64.store #0 (i64.load #16)) ($out)
        ($call_foreign_function {expr_evaluate} {\x01\0\0\0} #16 #20) (i64.store #0 (i64.load #16)) ($out)";
    vec![
        full("expressions: tokens that are none", on("proxy_on_request_headers", &format!("{odd} #0"))),
        full("expressions: made, evaluated, deleted, twice", on("proxy_on_request_headers", &format!("{life} #0"))),
        full(
            "expressions: tokens after mistakes",
            on(
                "proxy_on_request_headers",
                &format!("{} {} {} {} {} #0", create("1"), create("1 +"), create("2"), create("nobody()"), create("3")),
            ),
        ),
        full(
            "expressions: of the root, evaluated in its streams",
            on("proxy_on_configure", &create_in_root)
                .and("proxy_on_request_headers", &format!("{use_0} ($call_foreign_function {{expr_delete}} {{\x01\0\0\0}} #0 #0) #0"))
                .and("proxy_on_response_headers", &format!("{use_0} #0"))
                .and("proxy_on_log", use_0),
        ),
        full(
            "expressions: the effective context does not matter",
            on(
                "proxy_on_request_headers",
                &format!("{} ($set_effective_context #1) {evaluate} ($get_property {{request\0path}} #0 #4) #0", create("request.path")),
            ),
        ),
        full(
            "expressions: results that nobody wants",
            on(
                "proxy_on_request_headers",
                "($call_foreign_function {expr_create} {1} #0 #0) ($call_foreign_function {expr_evaluate} {\0\0\0\0} #0 #0) ($call_foreign_function {expr_evaluate} {\x01\0\0\0} #0 #4) #0",
            ),
        ),
    ]
}

pub(crate) fn rows() -> Vec<Row> {
    [language::literals(), language::operators(), functions::functions(), attributes::attributes(), depths(), tokens()].concat()
}
