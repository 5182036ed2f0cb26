//! Metrics. Their names are those of all cases of an Envoy together.

use crate::probe::on;
use crate::row::{Row, row};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row(
            "metrics: kinds, ids, values",
            on(
                "proxy_on_request_headers",
                "($define_metric #0 {row.counter} #16) ($define_metric #1 {row.gauge} #20) ($define_metric #2 {row.histogram} #24) ($define_metric #3 {row.bad} #28)
                 ($increment_metric (i32.load #16) (i64.const 5)) ($increment_metric (i32.load #16) (i64.const 0)) ($increment_metric (i32.load #16) (i64.const -1))
                 ($record_metric (i32.load #16) (i64.const 10)) ($get_metric (i32.load #16) #0) ($u64)
                 ($increment_metric (i32.load #20) (i64.const 5)) ($increment_metric (i32.load #20) (i64.const 0)) ($increment_metric (i32.load #20) (i64.const -2))
                 ($get_metric (i32.load #20) #0) ($u64) ($record_metric (i32.load #20) (i64.const 7)) ($get_metric (i32.load #20) #0) ($u64)
                 ($record_metric (i32.load #24) (i64.const 7)) ($increment_metric (i32.load #24) (i64.const 1)) ($get_metric (i32.load #24) #0) #0",
            ),
        ),
        row(
            "metrics: the kind is in the id's low bits",
            on(
                "proxy_on_request_headers",
                "($define_metric #0 {row.low.counter} #0) (i32.store #0 (i32.and (i32.load #0) #3)) ($u32)
                 ($define_metric #1 {row.low.gauge} #0) (i32.store #0 (i32.and (i32.load #0) #3)) ($u32)
                 ($define_metric #2 {row.low.histogram} #0) (i32.store #0 (i32.and (i32.load #0) #3)) ($u32) #0",
            ),
        ),
        row(
            "metrics: ids that nobody has",
            on(
                "proxy_on_request_headers",
                "($get_metric #40000 #0) ($get_metric #40001 #0) ($get_metric #40002 #0) ($get_metric #40003 #0)
                 ($increment_metric #40000 (i64.const 1)) ($increment_metric #40001 (i64.const 1)) ($increment_metric #40002 (i64.const 1)) ($increment_metric #40003 (i64.const 1))
                 ($increment_metric #40000 (i64.const 0)) ($record_metric #40000 (i64.const 1)) ($record_metric #40001 (i64.const 1)) ($record_metric #40002 (i64.const 1)) ($record_metric #40003 (i64.const 1)) #0",
            ),
        ),
        row(
            "metrics: defined again is another id of the same statistic",
            on(
                "proxy_on_request_headers",
                "($define_metric #0 {row.again} #16) ($define_metric #0 {row.again} #20)
                 (if (i32.ne (i32.load #16) (i32.load #20)) (then ($say {another id})))
                 ($increment_metric (i32.load #16) (i64.const 1)) ($get_metric (i32.load #20) #0) ($u64) #0",
            ),
        ),
        row("metrics: the same name of another kind", on("proxy_on_request_headers", "($define_metric #0 {row.kinds} #16) ($define_metric #1 {row.kinds} #20) ($increment_metric (i32.load #16) (i64.const 3)) ($get_metric (i32.load #20) #0) ($u64) #0")),
        row("metrics: an empty name", on("proxy_on_request_headers", "($define_metric #0 #0 #0 #16) #0")),
    ]
}
