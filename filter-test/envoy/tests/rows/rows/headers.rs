//! Header and trailer maps.

use crate::probe::{map, on};
use crate::row::{Row, ok, row};

const TWO: &[(&str, &str)] = &[("x-two", "1"), ("x-two", "2"), ("x-empty", ""), ("x-one", "one")];

/// Every map is asked for in each way.
fn every_map() -> String {
    let ask = |id: i32| {
        format!(
            "($get_header_map_pairs #{id} #0 #4) (i32.store #0 (i32.load #4)) ($u32) ($get_header_map_size #{id} #0) ($get_header_map_value #{id} {{none}} #0 #4)"
        )
    };
    (0..9).chain([-1]).map(ask).collect()
}

/// Every map is changed in each way; last, so that what there was can be read before.
fn change_every_map() -> String {
    let change = |id: i32| {
        format!(
            "($add_header_map_value #{id} {{a}} {{1}}) ($replace_header_map_value #{id} {{b}} {{2}}) ($remove_header_map_value #{id} {{c}})"
        )
    };
    (0..9).chain([-1]).map(change).collect()
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = [first_part()].concat();
    for (name, callback) in [
        ("headers: every map in request headers", "proxy_on_request_headers"),
        ("headers: every map in request body", "proxy_on_request_body"),
        ("headers: every map in request trailers", "proxy_on_request_trailers"),
        ("headers: every map in response headers", "proxy_on_response_headers"),
        ("headers: every map in response body", "proxy_on_response_body"),
        ("headers: every map in response trailers", "proxy_on_response_trailers"),
    ] {
        let body = format!("{} {} #0", every_map(), change_every_map());
        rows.push(full(name, on(callback, &body)));
    }
    for (name, callback) in [
        ("headers: every map in log", "proxy_on_log"),
        ("headers: every map in done", "proxy_on_done"),
        ("headers: every map in delete", "proxy_on_delete"),
    ] {
        let end = if callback == "proxy_on_done" { "#1" } else { "" };
        // What the connection manager adds to a response is there in the end.
        let maps = if callback == "proxy_on_log" {
            every_map().replace("#2 #0 #4) (i32.store #0 (i32.load #4))", "#2 #0 #4) (i32.store #0 #0)")
        } else {
            every_map()
        };
        rows.push(full(name, on(callback, &format!("{maps} {} {end}", change_every_map()))));
    }
    for (name, change) in [
        ("headers: no path", "($remove_header_map_value #0 {:path})"),
        ("headers: no method", "($remove_header_map_value #0 {:method})"),
        ("headers: no authority", "($remove_header_map_value #0 {:authority})"),
        ("headers: no scheme", "($remove_header_map_value #0 {:scheme})"),
        ("headers: a line break in a value", "($add_header_map_value #0 {x} {a\r\nb: c})"),
        ("headers: a line feed in a value", "($replace_header_map_value #0 {x} {a\nb})"),
        ("headers: a zero in a value", "($add_header_map_value #0 {x} {a\0b})"),
        ("headers: a line break in a name", "($add_header_map_value #0 {x\r\ny} {a})"),
    ] {
        rows.push(row(
            name,
            on("proxy_on_request_headers", &format!("{change} #0"))
                .and("proxy_on_response_headers", "($get_header_map_value #2 {:status} #0 #4) ($out) #0")
                .and("proxy_on_log", "($get_property {response\0code_details} #0 #4) ($out)"),
        ));
    }
    for (name, change) in [
        ("headers: a line break in a response's value", "($add_header_map_value #2 {x} {a\r\nb: c})"),
        ("headers: no status", "($remove_header_map_value #2 {:status})"),
        ("headers: a status that is none", "($replace_header_map_value #2 {:status} {abc})"),
    ] {
        rows.push(
            row(
                name,
                on("proxy_on_response_headers", &format!("{change} #0"))
                    .and("proxy_on_log", "($get_property {response\0code} #0 #4) ($get_property {response\0code_details} #0 #4) ($out)"),
            )
            .upstream(ok(&[], &["body"], &[])),
        );
    }
    rows
}

/// With all parts that a stream can have.
fn full(name: &'static str, probe: crate::probe::Probe) -> Row {
    row(name, probe).request("POST", "/", &[("x-one", "1")], &["body"]).trailers(&[("t", "1")]).upstream(ok(
        &[("y", "2")],
        &["answer"],
        &[("u", "3")],
    ))
}

fn first_part() -> Vec<Row> {
    vec![
        row("headers: every map in a root", on("proxy_on_configure", &format!("{} {} ($set_header_map_pairs #0 #0 #0) #1", every_map(), change_every_map()))),
        row("headers: all pairs in order", on("proxy_on_request_headers", "($get_header_map_pairs #0 #0 #4) ($hex) ($get_header_map_size #0 #0) ($u32) #0").and("proxy_on_response_headers", "($get_header_map_pairs #2 #0 #4) ($hex) ($get_header_map_size #2 #0) ($u32) #0"))
            .request("GET", "/path?query", TWO, &[])
            .upstream(ok(TWO, &[], &[])),
        row(
            "headers: values",
            on("proxy_on_request_headers", "($get_header_map_value #0 {x-two} #0 #4) ($out) ($get_header_map_value #0 {X-ONE} #0 #4) ($out) ($get_header_map_value #0 {x-empty} #0 #4) ($u32) ($get_header_map_value #0 {none} #0 #4) ($get_header_map_value #0 #0 #0 #0 #4) ($get_header_map_value #0 {:authority} #0 #4) ($out) ($get_header_map_value #0 {host} #0 #4) #0"),
        )
        .request("GET", "/", TWO, &[]),
        row(
            "headers: changes",
            on(
                "proxy_on_request_headers",
                "($add_header_map_value #0 {X-Two} {3}) ($add_header_map_value #0 {New-One} {n}) ($replace_header_map_value #0 {X-One} {other})
                 ($replace_header_map_value #0 {absent} {made}) ($remove_header_map_value #0 {x-empty}) ($remove_header_map_value #0 {never})
                 ($replace_header_map_value #0 {:path} {/elsewhere}) ($get_header_map_pairs #0 #0 #4) ($hex) ($get_header_map_size #0 #0) ($u32) #0",
            ),
        )
        .request("GET", "/", TWO, &[]),
        row("headers: replace of one with several values", on("proxy_on_request_headers", "($replace_header_map_value #0 {x-two} {only}) ($get_header_map_pairs #0 #0 #4) ($hex) #0")).request("GET", "/", TWO, &[]),
        row("headers: an empty name", on("proxy_on_request_headers", "($add_header_map_value #0 #0 #0 {v}) ($replace_header_map_value #0 #0 #0 {v}) ($remove_header_map_value #0 #0 #0) #0")),
        row("headers: an empty value", on("proxy_on_request_headers", "($add_header_map_value #0 {x-e} #0 #0) ($replace_header_map_value #0 {x-r} #0 #0) #0")),
        row("headers: of a response changed", on("proxy_on_response_headers", "($add_header_map_value #2 {X} {1}) ($replace_header_map_value #2 {:status} {299}) ($remove_header_map_value #2 {x-one}) #0")).upstream(ok(TWO, &["b"], &[])),
        row(
            "set_header_map_pairs: the whole request",
            on("proxy_on_request_headers", &format!("($set_header_map_pairs #0 {{{}}}) ($get_header_map_pairs #0 #0 #4) ($hex) #0", map(&[(":method", "PUT"), (":path", "/set"), (":authority", "a"), (":scheme", "http"), ("x-set", "1")]))),
        ),
        row(
            "set_header_map_pairs: the whole request with its protocol",
            on("proxy_on_request_headers", &format!("($set_header_map_pairs #0 {{{}}}) #0", map(&[(":method", "PUT"), (":path", "/set"), (":authority", "a"), ("x-set", "1"), ("x-forwarded-proto", "http")]))),
        ),
        row("headers: no protocol", on("proxy_on_request_headers", "($remove_header_map_value #0 {x-forwarded-proto}) #0")),
        row("headers: host is the authority", on("proxy_on_request_headers", "($get_header_map_value #0 {Host} #0 #4) ($out) ($replace_header_map_value #0 {host} {other}) ($get_header_map_value #0 {:authority} #0 #4) ($out) ($remove_header_map_value #0 {host}) ($get_header_map_value #0 {:authority} #0 #4) #0")),
        row("headers: the response in log", on("proxy_on_log", "($get_header_map_value #2 {date} #0 #4)")).differs("response headers in log"),
        row("set_header_map_pairs: nothing wipes", on("proxy_on_request_headers", "($set_header_map_pairs #0 #0 #0) ($get_header_map_pairs #0 #0 #4) ($u32) ($get_header_map_size #0 #0) ($u32) #0")),
        row("set_header_map_pairs: what is malformed wipes", on("proxy_on_request_headers", "($set_header_map_pairs #0 {not a map}) ($get_header_map_size #0 #0) ($u32) #0")),
        row("set_header_map_pairs: a byte too many wipes", on("proxy_on_request_headers", &format!("($set_header_map_pairs #0 {{{}x}}) ($get_header_map_size #0 #0) ($u32) #0", map(&[(":path", "/")])))),
        row("set_header_map_pairs: more than 1024 pairs wipe", on("proxy_on_request_headers", &format!("($set_header_map_pairs #0 {{{}}}) ($get_header_map_size #0 #0) ($u32) #0", map(&vec![("a", "b"); 1025])))),
        row("set_header_map_pairs: 1024 pairs do not", on("proxy_on_request_headers", &format!("($set_header_map_pairs #0 {{{}}}) ($get_header_map_size #0 #0) ($u32) #0", map(&vec![("a", "b"); 1024])))),
        row("headers: trailers can be made in the last body call", on("proxy_on_request_headers", "($add_header_map_value #1 {a} {1}) #0").and("proxy_on_request_body", "($add_header_map_value #1 {grade} {A}) ($get_header_map_size #1 #0) ($u32) #0").and("proxy_on_response_body", "($add_header_map_value #3 {grade} {B}) #0"))
            .request("POST", "/", &[], &["x"])
            .upstream(ok(&[], &["y"], &[])),
        row("headers: asking for the size of trailers makes them", on("proxy_on_request_body", "($get_header_map_size #1 #0) ($u32) #0")).request("POST", "/", &[], &["x"]),
        row("headers: first value, the property has all", on("proxy_on_request_headers", "($get_header_map_value #0 {x-two} #0 #4) ($out) ($get_property {request\0headers\0x-two} #0 #4) ($out) #0")).request("GET", "/", TWO, &[]),
    ]
}
