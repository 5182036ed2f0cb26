//! Expressions in CEL: what is parsed, what comes of it, and the life of their tokens.

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

fn literals() -> Vec<Row> {
    vec![
        in_request(
            "expressions: literals",
            &[
                "1",
                "-1",
                "0x10",
                "1u",
                "1.5",
                "-2.5e3",
                "true",
                "false",
                "null",
                "'a'",
                "\"b\"",
                "''",
                "r'\\n'",
                "'\\n\\x41\\u00e9'",
                "b'abc\\xff'",
                "b''",
                "'''a\nb'''",
                "'äöü'",
                "9223372036854775807",
                "-9223372036854775808",
                "18446744073709551615u",
                "int",
                "type(1)",
                "type('')",
            ],
        ),
        in_request(
            "expressions: no expressions",
            &[
                "",
                " ",
                "1 +",
                "(",
                ")",
                "'a",
                "a b",
                "1 2",
                "request.",
                ".",
                "[1",
                "{'a'",
                "if",
                "9223372036854775808",
                "1uu",
                "a ? b",
                "// note",
                "1 // note",
                "\u{7f}",
                "\u{1}",
                "has(a)",
                "has(a.b.c())",
                "[1].all(1, true)",
                "x.map(y)",
                "a.?b",
                "[?a]",
                "`a`",
                "in",
                "for",
                "'\\q'",
                "let",
            ],
        ),
        in_request(
            "expressions: lists and maps",
            &[
                "[]",
                "[1, 2]",
                "['a', 'b']",
                "[1, 'a', true]",
                "[[1]]",
                "[null]",
                "{}",
                "{'a': 'b'}",
                "{'a': 1}",
                "{1: 'a'}",
                "{true: 1u}",
                "{1u: 2.0}",
                "{'a': [1]}",
                "{'a': {'b': 1}}",
                "{'a': null}",
                "{1.5: 'a'}",
                "{'a': 1, 'a': 2}",
                "[1, 2][0]",
                "[1, 2][2]",
                "[1, 2][-1]",
                "[1]['a']",
                "{'a': 1}['a']",
                "{'a': 1}.a",
                "{'a': 1}.b",
                "{'a': 1}['b']",
                "{1: 'a'}[1u]",
                "1 in [1, 2]",
                "3 in [1, 2]",
                "'a' in {'a': 1}",
                "1.0 in [1]",
                "[1] + [2]",
                "[1] == [1.0]",
                "{'a': 1} == {'a': 1u}",
                "size([1, 2])",
                "size({'a': 1})",
                "[1, 2].size()",
                "[1,]",
                "{'a': 1,}",
            ],
        ),
        in_request("expressions: messages of no known type", &["Nobody{}", "nobody.Knows{a: 1}", "1"]),
        in_request("expressions: messages", &["google.protobuf.StringValue{value: 'a'}"]).differs("messages in expressions"),
        in_request("expressions: times beyond the year 9999", &["timestamp('10000-01-01T00:00:00Z')", "timestamp(253402300800)"])
            .differs("times beyond the year 9999 in expressions"),
    ]
}

fn operators() -> Vec<Row> {
    vec![
        in_request(
            "expressions: arithmetic",
            &[
                "1 + 2",
                "1 - 2",
                "2 * 3",
                "7 / 2",
                "-7 / 2",
                "7 % 3",
                "-7 % 3",
                "1 / 0",
                "1 % 0",
                "1.0 / 0.0",
                "1u - 2u",
                "1u + 1u",
                "1 + 1u",
                "1 + 1.0",
                "9223372036854775807 + 1",
                "-9223372036854775808 - 1",
                "9223372036854775807 * 2",
                "-(-9223372036854775808)",
                "18446744073709551615u + 1u",
                "-1u",
                "-'a'",
                "1.5 + 1.5",
                "5.0 % 2.0",
                "'a' + 'b'",
                "'a' + 1",
                "b'a' + b'b'",
                "1 + 2 * 3",
                "(1 + 2) * 3",
                "--1",
                "- 1",
                "true + true",
            ],
        ),
        in_request(
            "expressions: comparisons",
            &[
                "1 == 1",
                "1 == 2",
                "1 == 1u",
                "1 == 1.0",
                "1 == '1'",
                "'a' == 'a'",
                "'a' == b'a'",
                "null == null",
                "1 == null",
                "true == true",
                "1 != 2",
                "1 < 2",
                "1 < 1.5",
                "1u < 2",
                "'a' < 'b'",
                "'B' < 'a'",
                "b'a' < b'b'",
                "false < true",
                "1 < 'a'",
                "[1] < [2]",
                "1 <= 1",
                "2 >= 3",
                "[1, 2] == [1, 2]",
                "[1] == ['a']",
                "type(1) == int",
                "type(1) == type(2)",
                "type('a') == string",
                "int == int",
                "0.0 == -0.0",
                "0.0/0.0 == 0.0/0.0",
                "1 == 1 == true",
                "1 < 2 < 3",
                "-1 < 1u",
                "18446744073709551615u > -1",
                "9007199254740993 == 9007199254740992.0",
            ],
        ),
        in_request(
            "expressions: logic",
            &[
                "true && false",
                "true || false",
                "!true",
                "!1",
                "true && 1",
                "1 && true",
                "false && nobody",
                "nobody && false",
                "true || nobody",
                "nobody || true",
                "nobody || false",
                "true && nobody",
                "nobody",
                "nobody.knows",
                "!nobody",
                "true ? 1 : 2",
                "false ? 1 : 'a'",
                "1 ? 2 : 3",
                "nobody ? 1 : 2",
                "true ? 1 : nobody",
                "true ? nobody : 1",
                "1/0 == 1 || true",
                "'a' || true",
                "'a' || 'b'",
                "false || 'b'",
                "!!true",
            ],
        ),
        in_request(
            "expressions: macros",
            &[
                "has(request.path)",
                "has(request.nobody)",
                "has(request.headers.none)",
                "has(request.headers.host)",
                "has(nobody.a)",
                "has({'a': 1}.a)",
                "has({'a': 1}.b)",
                "has('a'.b)",
                "has(request.headers)",
                "[1, 2].all(x, x > 0)",
                "[1, 2].exists(x, x > 1)",
                "[1, 2].exists_one(x, x > 1)",
                "[1, 2].map(x, x * 2)",
                "[1, 2].map(x, x > 1, x * 2)",
                "[1, 2].filter(x, x > 1)",
                "[].all(x, false)",
                "[].exists(x, true)",
                "{'a': 1}.all(k, k == 'a')",
                "{'a': 1}.map(k, k)",
                "[1, 'a'].all(x, x > 0)",
                "[1, 'a'].exists(x, x > 0)",
                "['a', 1].exists(x, x > 0)",
                "[1].map(x, nobody)",
                "[1].all(x, x)",
                "[[1, 2], [3]].map(x, x.map(y, y + 1))[0]",
                "[1, 2].map(x, [x, x])[1]",
                "'abc'.map(x, x)",
                "1.map(x, x)",
                "[1].map(request, request)",
                "[1].map(x, x, x)",
                "[true].map(x, x, x)",
                "[1].exists_one(x, nobody)",
                "exists([1], x, true)",
            ],
        ),
    ]
}

fn functions() -> Vec<Row> {
    vec![
        in_request(
            "expressions: functions of texts",
            &[
                "size('abc')",
                "'abc'.size()",
                "size('äö')",
                "size(b'abc')",
                "size(1)",
                "'abc'.contains('b')",
                "contains('abc', 'b')",
                "'abc'.startsWith('a')",
                "startsWith('abc', 'a')",
                "'abc'.endsWith('c')",
                "endsWith('abc', 'c')",
                "'abc'.matches('b')",
                "'abc'.matches('^b')",
                "matches('abc', 'a.c')",
                "'abc'.matches('[')",
                "'abc'.matches('(?i)B')",
                "'a'.contains(1)",
                "1.contains('a')",
                "'abc'.contains('')",
                "'äb'.matches('^.b$')",
                "b'abc'.contains(b'b')",
                "'a\\nb'.matches('a.b')",
                "'aa'.matches('(a)\\\\1')",
                "'abc'.matches('a(?=b)')",
            ],
        ),
        in_request(
            "expressions: unknown functions",
            &[
                "nobody()",
                "nobody(1)",
                "'a'.nobody()",
                "size()",
                "size(1, 2)",
                "'a'.size(1)",
                "'a'.lowerAscii()",
                "'a'.charAt(0)",
                "'a,b'.split(',')",
                "math.greatest(1, 2)",
                "optional.of(1)",
                "optional.none()",
                "max(1, 2)",
                "min([1])",
                "abs(-1)",
                "base64.encode(b'a')",
                "'a'.replace('a', 'b')",
                "join(['a'])",
                "['a'].join()",
                "getHours(timestamp(0))",
                "int()",
                "request.nobody()",
                "cel.bind(x, 1, x)",
                "sets.contains([1], [1])",
                "re.extract('a', 'b', 'c')",
                "'a'.substring(0)",
                "true || nobody()",
                "false ? nobody() : 1",
                "[1].map(x, nobody())",
                "dyn(1)",
                "type(1, 2)",
                "format('a')",
                "1",
            ],
        ),
        in_request(
            "expressions: conversions",
            &[
                "int('5')",
                "int('-5')",
                "int('a')",
                "int('5.0')",
                "int(5.9)",
                "int(-5.9)",
                "int(5u)",
                "int(18446744073709551615u)",
                "int(1e20)",
                "int(true)",
                "uint(true)",
                "double(true)",
                "uint(' 5')",
                "double(' 5')",
                "double('5x')",
                "int('+5')",
                "int('5 ')",
                "string(1234567.0)",
                "string(123456.7)",
                "string(1000000.0)",
                "string(999999.5)",
                "string(12345678.9)",
                "string(3.14159265358979)",
                "string(0.00012345678)",
                "string(0.0001)",
                "string(0.000012345678)",
                "string(100.0/3.0)",
                "string(1.7976931348623157e308)",
                "string(5e-324)",
                "string(0.00001)",
                "string(123456.0)",
                "double('1e400')",
                "int(5)",
                "uint(5)",
                "uint(-5)",
                "uint('5')",
                "uint(5.9)",
                "uint('-5')",
                "double(5)",
                "double('1.5')",
                "double('a')",
                "double(5u)",
                "string(5)",
                "string(5u)",
                "string(1.5)",
                "string(1.0)",
                "string(1e30)",
                "string(true)",
                "string(b'abc')",
                "string(b'\\xff')",
                "string('a')",
                "string(null)",
                "string([1])",
                "bytes('abc')",
                "bytes(b'a')",
                "bool('true')",
                "bool('1')",
                "bool('x')",
                "bool(true)",
                "bool(1)",
                "dyn(1) == 1.0",
                "string(0.1)",
                "string(-0.0)",
                "double('inf')",
                "double('nan')",
                "int('0x10')",
                "int(' 5')",
                "uint(1.0e20)",
            ],
        ),
        in_request(
            "expressions: times",
            &[
                "timestamp('2026-01-01T00:00:00Z')",
                "timestamp('2026-01-01T01:00:00+01:00')",
                "timestamp('2026-01-01T00:00:00.5Z')",
                "timestamp('nonsense')",
                "timestamp('2026-01-01')",
                "timestamp(0)",
                "timestamp(1767225600)",
                "duration('1s')",
                "duration('1h30m')",
                "duration('1.5s')",
                "duration('-1s')",
                "duration('1d')",
                "duration('1')",
                "duration('')",
                "duration('1ms')",
                "duration('1us')",
                "duration('1ns')",
                "timestamp('2026-01-01T00:00:00Z') + duration('1s')",
                "timestamp(2) - timestamp(1)",
                "timestamp(1) - duration('1s')",
                "duration('1s') + duration('1s')",
                "duration('1s') - duration('2s')",
                "duration('1s') + timestamp(1)",
                "timestamp(1) + timestamp(1)",
                "timestamp(1) < timestamp(2)",
                "duration('1s') < duration('1m')",
                "timestamp(1) == timestamp(1)",
                "timestamp('2026-03-04T05:06:07.089Z').getFullYear()",
                "timestamp('2026-03-04T05:06:07.089Z').getMonth()",
                "timestamp('2026-03-04T05:06:07.089Z').getDate()",
                "timestamp('2026-03-04T05:06:07.089Z').getDayOfMonth()",
                "timestamp('2026-03-04T05:06:07.089Z').getDayOfWeek()",
                "timestamp('2026-03-04T05:06:07.089Z').getDayOfYear()",
                "timestamp('2026-03-04T05:06:07.089Z').getHours()",
                "timestamp('2026-03-04T05:06:07.089Z').getMinutes()",
                "timestamp('2026-03-04T05:06:07.089Z').getSeconds()",
                "timestamp('2026-03-04T05:06:07.089Z').getMilliseconds()",
                "timestamp(0).getHours('+02:00')",
                "timestamp(0).getHours('-01:30')",
                "timestamp(0).getHours('UTC')",
                "timestamp(0).getHours('nowhere')",
                "duration('90m').getHours()",
                "duration('90m').getMinutes()",
                "duration('90s').getSeconds()",
                "duration('1.5s').getMilliseconds()",
                "duration('1h').getFullYear()",
                "string(timestamp(0))",
                "string(duration('90s'))",
                "int(timestamp(5))",
                "timestamp('9999-12-31T23:59:59Z')",
                "timestamp('0001-01-01T00:00:00Z')",
                "duration('1s') * 2",
                "int(duration('1s'))",
                "duration(timestamp(1))",
                "duration(duration('1s'))",
                "timestamp(timestamp(1))",
            ],
        ),
    ]
}

const OF_STREAM: [&str; 50] = [
    "request.path",
    "request.url_path",
    "request.query",
    "request.host",
    "request.scheme",
    "request.method",
    "request.protocol",
    "request.headers.none",
    "request.headers['x-one']",
    "request.headers['X-One']",
    "request.headers[':path']",
    "request.headers[1]",
    "request['path']",
    "request[1]",
    "'x-one' in request.headers",
    "'none' in request.headers",
    "'path' in request",
    "'none' in request",
    "size(request)",
    "size(connection)",
    "request.all(x, false)",
    "request.headers.exists(x, x == 'x-one')",
    "size(request.headers) > 3",
    "request.size",
    "request.size + 1",
    "type(request.time) == google.protobuf.Timestamp",
    "request.time > timestamp('2020-01-01T00:00:00Z')",
    "request.duration >= duration('0s')",
    "request.path.startsWith('/a')",
    "request.path == '/a/b?c=d' && request.method in ['GET', 'POST']",
    "request.useragent",
    "request.referer",
    "request",
    "request == request",
    "request == response",
    "request.headers == request.headers",
    "request.headers == response.headers",
    "request == {}",
    "response.code",
    "response.code == 200",
    "response.code_details",
    "response.headers.y",
    "response.headers['none']",
    "response.trailers.u",
    "response.grpc_status",
    "response.flags",
    "response.size",
    "has(response.backend_latency)",
    "type(response.headers) == map",
    "size(response.headers) > 0",
];

const OF_CONNECTION: [&str; 34] = [
    "connection.mtls",
    "connection.requested_server_name",
    "connection.tls_version",
    "connection.id > 0u",
    "type(connection.id) == uint",
    "connection_id > 0u",
    "type(connection_id) == uint",
    "connection.nobody",
    "connection",
    "connection.termination_details",
    "source.address.startsWith('127.0.0.1:')",
    "source.port > 0",
    "type(source.port) == int",
    "source.nobody",
    "destination.address.startsWith('127.0.0.1:')",
    "destination.port > 1",
    "plugin_name",
    "plugin_root_id",
    "plugin_vm_id.startsWith('vm-')",
    "plugin_name == 'probe'",
    "node",
    "cluster_name",
    "route_name",
    "metadata.filter_metadata",
    "metadata.filter_metadata.nobody",
    "has(metadata.filter_metadata.nobody)",
    "size(metadata.filter_metadata)",
    "filter_state",
    "filter_state['a.name']",
    "filter_state['a.name'] == b'its value'",
    "filter_state['a.name'] == 'its value'",
    "filter_state.none",
    "upstream_filter_state.none",
    "size(filter_state)",
];

fn attributes() -> Vec<Row> {
    let mut rows = vec![
        in_request("expressions: of the connection and the host", &OF_CONNECTION).filter_state("a.name", "its value"),
        full(
            "expressions: what is set is bytes, or a text when declared one",
            on("proxy_on_configure", "($call_foreign_function {declare_property} {\x0a\x04text\x18\x01} #0 #0) #1").and(
                "proxy_on_request_headers",
                &format!(
                    "($set_property {{mine}} {{value}}) ($set_property {{text}} {{value}}) ($get_property {{text}} #0 #4) ($out) {} #0",
                    each(&[
                        "mine",
                        "mine == b'value'",
                        "mine == 'value'",
                        "size(mine)",
                        "mine + mine",
                        "text",
                        "text == 'value'",
                        "text == b'value'",
                        "filter_state['wasm.mine'] == b'value'",
                        "filter_state['wasm.text'] == 'value'",
                        "mine.startsWith('v')",
                        "text.startsWith('v')",
                        "other"
                    ])
                ),
            ),
        ),
        full(
            "expressions: in a root",
            on(
                "proxy_on_configure",
                &format!(
                    "{} #1",
                    each(&[
                        "1",
                        "request.path",
                        "has(request.path)",
                        "plugin_name",
                        "plugin_root_id",
                        "connection.mtls",
                        "xds",
                        "xds.route_name",
                        "source.address",
                        "filter_state",
                        "nobody"
                    ])
                ),
            ),
        ),
    ];
    for (name, callback) in [
        ("expressions: attributes in request headers", "proxy_on_request_headers"),
        ("expressions: attributes in request body", "proxy_on_request_body"),
        ("expressions: attributes in response headers", "proxy_on_response_headers"),
        ("expressions: attributes in response body", "proxy_on_response_body"),
    ] {
        rows.push(full(name, on(callback, &format!("{} #0", each(&OF_STREAM)))));
    }
    rows.push(full("expressions: attributes in log", on("proxy_on_log", &each(&OF_STREAM))));
    rows
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
    [literals(), operators(), functions(), attributes(), depths(), tokens()].concat()
}
