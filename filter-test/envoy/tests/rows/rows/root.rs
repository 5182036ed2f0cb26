//! Logging, time, ticks, contexts, ends.

use crate::probe::{Probe, on};
use crate::row::{Row, row};

pub(crate) fn rows() -> Vec<Row> {
    [first_part(), second_part()].concat()
}

fn first_part() -> Vec<Row> {
    vec![
        row(
            "log: levels, and beyond",
            on("proxy_on_request_headers", "($log #0 {t}) ($log #1 {d}) ($log #2 {i}) ($log #3 {w}) ($log #4 {e}) ($log #5 {c}) ($log #6 {x}) ($log #-1 {x}) ($log #2 #0 #0) #0"),
        ),
        row("get_log_level", on("proxy_on_request_headers", "($get_log_level #0) ($u32) #0")),
        row(
            "get_current_time_nanoseconds",
            on(
                "proxy_on_request_headers",
                "($get_current_time_nanoseconds #0) ($get_current_time_nanoseconds #8)
                 (if (i64.gt_u (i64.load #0) (i64.const 1600000000000000000)) (then ($say {real}))) #0",
            ),
        ),
        row(
            "set_tick_period_milliseconds: of the root, from a stream, again, and stopped",
            on("proxy_on_request_headers", "($set_tick_period_milliseconds #20) ($set_tick_period_milliseconds #10) #1").and(
                "proxy_on_tick",
                "(i32.store #16 (i32.add (i32.load #16) #1))
                 (if (i32.eq (i32.load #16) #2) (then ($set_tick_period_milliseconds #0) ($set_effective_context #2) ($continue_stream #0)))",
            ),
        ),
        row(
            "set_effective_context: unknown, root, stream; it ends with the callback",
            on("proxy_on_request_headers", "($set_effective_context #77) ($set_effective_context #0) ($set_effective_context #1) ($get_header_map_value #0 {:path} #0 #4) ($set_effective_context #2) ($get_header_map_value #0 {:path} #0 #4) ($out) ($set_effective_context #1) #0")
                .and("proxy_on_response_headers", "($get_header_map_value #2 {:status} #0 #4) ($out) #0"),
        ),
        row(
            "set_effective_context: a stream that is deleted",
            on("proxy_on_request_headers", "($set_tick_period_milliseconds #5) #0")
                .and("proxy_on_delete", "($set_effective_context #2)")
                .and("proxy_on_done", "($set_effective_context #2) #1"),
        ),
        row("done: of a stream and without having refused", on("proxy_on_request_headers", "($done) ($set_effective_context #1) ($done) #0")),
        row("done: a stream's false is nothing", on("proxy_on_done", "#0").and("proxy_on_log", "($done)").and("proxy_on_delete", "($done)")),
        row(
            "root: order and sizes at start",
            on("proxy_on_context_create", "")
                .and("proxy_on_vm_start", "($get_buffer_bytes #6 #0 #100 #0 #4) ($out) ($get_buffer_bytes #7 #0 #100 #0 #4) ($get_buffer_status #7 #0 #4) ($get_buffer_status #6 #0 #4) ($u32) #1")
                .and("proxy_on_configure", "($get_buffer_bytes #7 #0 #100 #0 #4) ($out) ($get_buffer_bytes #6 #0 #100 #0 #4) ($out) #1")
                .and("proxy_on_request_headers", "($get_buffer_bytes #7 #0 #100 #0 #4) ($get_buffer_bytes #6 #0 #100 #0 #4) ($out) #0"),
        )
        .configured("a root", "of the vm", "of the plugin"),
        row(
            "root: _initialize and main",
            on("_initialize", "($say {initialize})").and("main", "($say {main}) #0").and("proxy_on_vm_start", "#1"),
        )
        .alone(),
        row("root: _start", on("_start", "($say {start})").and("proxy_on_vm_start", "#1")).alone(),
        row("root: no _start where there is _initialize", on("_initialize", "($say {initialize})").and("_start", "($say {start})")).alone(),
        row(
            "root: proxy_on_memory_allocate instead of malloc",
            Probe::new("0_2_0")
                .and("proxy_on_memory_allocate", "($say {allocate}) #131072")
                .and("proxy_on_request_headers", "($get_header_map_value #0 {:path} #0 #4) ($out) #0"),
        ),
    ]
}

fn second_part() -> Vec<Row> {
    vec![
        row(
            "root: malloc goes before proxy_on_memory_allocate",
            on("proxy_on_memory_allocate", "($say {allocate}) #131072")
                .and("proxy_on_request_headers", "($get_header_map_value #0 {:path} #0 #4) ($out) #0"),
        ),
        row(
            "abi 0.1.0: its own functions and shorter callbacks",
            Probe::new("0_1_0")
                .and("proxy_on_vm_start", "($get_configuration #0 #4) ($out) #1")
                .and("proxy_on_configure", "($get_configuration #0 #4) ($out) #1")
                .and(
                    "proxy_on_request_headers",
                    "($get_header_map_value #0 {none} #0 #4) ($u32) ($clear_route_cache) ($continue_request) #1",
                )
                .and("proxy_on_response_headers", "($continue_response) #1")
                .and("proxy_on_log", "($get_configuration #0 #4) ($out)"),
        )
        .configured("", "of the vm", "of the plugin"),
        row(
            "abi 0.2.0: as 0.2.1 without the level",
            Probe::new("0_2_0").and("proxy_on_request_headers", "($get_header_map_value #0 {none} #0 #4) ($continue_stream #0) #1"),
        ),
        row(
            "capabilities: a function that is not allowed",
            on("proxy_on_request_headers", "($get_header_map_value #0 {:path} #0 #4) ($get_log_level #0) #0").and("proxy_on_log", ""),
        )
        .capabilities(&["proxy_log", "proxy_on_request_headers", "proxy_on_context_create", "proxy_get_log_level"]),
    ]
}
