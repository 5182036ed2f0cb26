//! Bodies and other buffers.

use crate::probe::on;
use crate::row::{Row, ok, row};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![
        row("buffers: ids outside their phase", on("proxy_on_request_headers", &format!("{} #0", every_id())))
            .configured("", "vm", "plugin"),
        row("buffers: ids in a root", on("proxy_on_configure", &format!("{} #1", every_id()))).configured("", "vm", "plugin"),
        row(
            "get_buffer_bytes: ranges",
            on(
                "proxy_on_request_body",
                "($get_buffer_bytes #0 #0 #3 #0 #4) ($out) ($get_buffer_bytes #0 #2 #100 #0 #4) ($out) ($get_buffer_bytes #0 #6 #1 #0 #4) ($u32)
                 ($get_buffer_bytes #0 #7 #1 #0 #4) ($u32) ($get_buffer_bytes #0 #0 #0 #0 #4) ($u32) ($get_buffer_bytes #0 #1 #-1 #0 #4)
                 ($get_buffer_bytes #0 #-1 #1 #0 #4) ($get_buffer_status #0 #0 #4) ($u32) ($get_buffer_bytes #1 #0 #9 #0 #4) ($u32) #0",
            ),
        )
        .request("POST", "/", &[("content-length", "6")], &["abcdef"]),
        row("get_buffer_bytes: call data has what was read last", on("proxy_on_configure", "($get_buffer_bytes #8 #0 #99 #0 #4) ($u32) ($get_buffer_bytes #7 #0 #99 #0 #4) ($get_buffer_bytes #8 #0 #99 #0 #4) ($out) #1").and("proxy_on_request_headers", "($get_buffer_bytes #8 #0 #99 #0 #4) ($out) #0"))
            .configured("", "", "secret"),
        row(
            "set_buffer_bytes: immutable and unknown",
            on(
                "proxy_on_request_headers",
                "($set_buffer_bytes #0 #0 #0 {x}) ($set_buffer_bytes #1 #0 #0 {x}) ($set_buffer_bytes #2 #0 #0 {x}) ($set_buffer_bytes #3 #0 #0 {x})
                 ($set_buffer_bytes #4 #0 #0 {x}) ($set_buffer_bytes #5 #0 #0 {x}) ($set_buffer_bytes #6 #0 #0 {x}) ($set_buffer_bytes #7 #0 #0 {x})
                 ($set_buffer_bytes #8 #0 #0 {x}) ($set_buffer_bytes #9 #0 #0 {x}) #0",
            ),
        )
        .configured("", "vm", "plugin"),
        row(
            "buffers: trailers' phase and log",
            on("proxy_on_request_trailers", "($get_buffer_bytes #0 #0 #9 #0 #4) ($u32) ($get_buffer_status #0 #0 #4) ($u32) #0")
                .and("proxy_on_log", "($get_buffer_bytes #0 #0 #9 #0 #4) ($u32) ($get_buffer_bytes #1 #0 #9 #0 #4) ($u32)"),
        )
        .request("POST", "/", &[], &["abc"])
        .trailers(&[("t", "1")]),
        row(
            "buffers: chunks held back grow",
            on("proxy_on_request_body", "($get_buffer_bytes #0 #0 #99 #0 #4) ($out) (i32.eqz (local.get 2))"),
        )
        .request("POST", "/", &[], &["ab", "cd", "ef"]),
        row("buffers: chunks let through do not", on("proxy_on_request_body", "($get_buffer_bytes #0 #0 #99 #0 #4) ($out) #0")).request("POST", "/", &[], &["ab", "cd"]),
        row("buffers: stop without buffering drops", on("proxy_on_request_body", "(select #0 #3 (local.get 2))")).request("POST", "/", &[], &["ab", "cd"]),
        row("buffers: stop at the watermark", on("proxy_on_request_body", "(select #0 #2 (local.get 2))")).request("POST", "/", &[], &["ab", "cd"]),
        row("buffers: held till the trailers", on("proxy_on_request_body", "#1").and("proxy_on_request_trailers", "($get_buffer_bytes #0 #0 #99 #0 #4) ($out) #0"))
            .request("POST", "/", &[], &["ab", "cd"])
            .trailers(&[("t", "1")]),
        row("buffers: of a response", on("proxy_on_response_body", "($get_buffer_bytes #1 #0 #99 #0 #4) ($out) ($set_buffer_bytes #1 #0 #99 {<>}) (i32.eqz (local.get 2))"))
            .upstream(ok(&[], &["ab", "cd"], &[])),
        row("buffers: of a response with a length that is removed", on("proxy_on_response_headers", "($remove_header_map_value #2 {content-length}) #0").and("proxy_on_response_body", "($set_buffer_bytes #1 #99 #0 {more}) #0"))
            .upstream(ok(&[("content-length", "2")], &["ab"], &[])),
    ];
    let sets: [(&str, &str); 8] = [
        ("set_buffer_bytes: in front", "#0 #0 {XY}"),
        ("set_buffer_bytes: the first two replaced", "#0 #2 {XYZ}"),
        ("set_buffer_bytes: all replaced", "#0 #99 {X}"),
        ("set_buffer_bytes: all removed", "#0 #99 #0 #0"),
        ("set_buffer_bytes: behind", "#6 #0 {XY}"),
        ("set_buffer_bytes: behind, start beyond the end", "#99 #5 {XY}"),
        ("set_buffer_bytes: in the middle is refused", "#3 #1 {XY}"),
        ("set_buffer_bytes: the first two removed", "#0 #2 #0 #0"),
    ];
    for (name, arguments) in sets {
        let set = format!(
            "(if (local.get 1) (then ($set_buffer_bytes #0 {arguments}) ($get_buffer_status #0 #0 #4) ($u32) ($get_buffer_bytes #0 #0 #99 #0 #4) ($out))) #0"
        );
        rows.push(row(name, on("proxy_on_request_body", &set)).request("POST", "/", &[], &["abcdef"]));
    }
    rows
}

fn every_id() -> String {
    let ask = |id: i32| format!("($get_buffer_bytes #{id} #0 #9 #0 #4) ($u32) ($get_buffer_status #{id} #0 #4) ($u32)");
    // The pointers that are given out differ between hosts: only whether there is one counts.
    (0..10).chain([99, -1]).map(ask).collect::<String>().replace("#0 #4) ($u32) ($get_buffer_status", "#0 #4) ($get_buffer_status")
}
