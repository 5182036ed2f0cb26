//! Shared data and queues. Each case has a `vm_id` of its own. What its main thread's VM does is seen too, so roots do nothing here.

use crate::probe::on;
use crate::row::{Row, row};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row(
            "shared data: set, get, compare and swap",
            on(
                "proxy_on_request_headers",
                "($get_shared_data {k} #0 #4 #8) ($set_shared_data {k} {one} #0) ($get_shared_data {k} #0 #4 #16) ($out)
                 ($set_shared_data {k} {two} (i32.load #16)) ($set_shared_data {k} {three} (i32.load #16)) ($get_shared_data {k} #0 #4 #20) ($out)
                 (if (i32.gt_u (i32.load #20) (i32.load #16)) (then ($say {a later number})))
                 ($set_shared_data {k} {four} #0) ($get_shared_data {k} #0 #4 #8) ($out) #0",
            ),
        ),
        row("shared data: a number for a new key is taken", on("proxy_on_request_headers", "($set_shared_data {new} {v} #12345) ($get_shared_data {new} #0 #4 #8) ($out) #0")),
        row("shared data: nothing is a value", on("proxy_on_request_headers", "($set_shared_data {k} #0 #0 #0) ($get_shared_data {k} #0 #4 #8) ($u32) (i32.store #0 (i32.ne (i32.load #8) #0)) ($u32) ($set_shared_data #0 #0 {v} #0) ($get_shared_data #0 #0 #0 #4 #8) ($out) #0")),
        row(
            "shared queues: entries in order, and empty",
            on(
                "proxy_on_request_headers",
                "($register_shared_queue {q} #16) ($enqueue_shared_queue (i32.load #16) {one}) ($enqueue_shared_queue (i32.load #16) {two})
                 ($dequeue_shared_queue (i32.load #16) #0 #4) ($out) ($dequeue_shared_queue (i32.load #16) #0 #4) ($out) ($dequeue_shared_queue (i32.load #16) #0 #4) #0",
            ),
        ),
        row(
            "shared queues: names and ids",
            on(
                "proxy_on_request_headers",
                "($resolve_shared_queue #0 #0 {q} #16) ($register_shared_queue {q} #16) ($register_shared_queue {q} #20) ($resolve_shared_queue #0 #0 {q} #24)
                 ($resolve_shared_queue {vm-none} {q} #28)
                 (if (i32.and (i32.eq (i32.load #16) (i32.load #20)) (i32.eq (i32.load #16) (i32.load #24))) (then ($say {one id})))
                 ($enqueue_shared_queue #99999 {x}) ($dequeue_shared_queue #99999 #0 #4) #0",
            ),
        ),
        row(
            "shared queues: told of each entry",
            on("proxy_on_request_headers", "($register_shared_queue {q} #16) ($enqueue_shared_queue (i32.load #16) {one}) ($enqueue_shared_queue (i32.load #16) #0 #0) #1").and(
                "proxy_on_queue_ready",
                "($dequeue_shared_queue (local.get 1) #0 #4) ($out) (i32.store #32 (i32.add (i32.load #32) #1))
                 (if (i32.eq (i32.load #32) #2) (then ($set_effective_context #2) ($continue_stream #0)))",
            ),
        ),
    ]
}
