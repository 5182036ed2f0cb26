//! Pointers outside memory, for every pointer of every function.

use crate::abi::FUNCTIONS;
use crate::probe::on;
use crate::row::{Row, row};

/// Beyond the four pages that a probe has.
const OUTSIDE: &str = "#1000000000";
const INSIDE: &str = "#128";

/// For each function, its parameters: `.` a plain number, `p` a pointer that a length follows, `n` such a length, `o` where to write.
const SHAPES: &[(&str, &str)] = &[
    ("log", ".pn"),
    ("get_log_level", "o"),
    ("get_current_time_nanoseconds", "o"),
    ("get_buffer_bytes", "v.mOO"),
    ("get_buffer_status", "voo"),
    ("set_buffer_bytes", ".00pn"),
    ("get_header_map_pairs", ".OO"),
    ("get_header_map_size", ".o"),
    ("set_header_map_pairs", ".pn"),
    ("get_header_map_value", ".hkOO"),
    ("add_header_map_value", ".pnpn"),
    ("replace_header_map_value", ".pnpn"),
    ("remove_header_map_value", ".pn"),
    ("get_property", "qlOO"),
    ("set_property", "pnpn"),
    ("send_local_response", "spnpnpn."),
    ("http_call", "pnpnpnpn.o"),
    ("grpc_call", "pnpnpnpnpn.o"),
    ("grpc_stream", "pnpnpnpno"),
    ("grpc_send", ".pn."),
    ("get_status", "oOO"),
    ("get_shared_data", "pnOOo"),
    ("set_shared_data", "pnpn."),
    ("register_shared_queue", "pno"),
    ("resolve_shared_queue", "pnpno"),
    ("enqueue_shared_queue", ".pn"),
    ("dequeue_shared_queue", ".OO"),
    ("define_metric", ".pno"),
    ("get_metric", ".o"),
    ("call_foreign_function", "pnpnOO"),
];

/// One call for each pointer, in which that one leads outside.
fn calls(name: &str, shape: &str) -> String {
    let pointers = shape.char_indices().filter(|(_, kind)| "poOhq".contains(*kind)).map(|(place, _)| place);
    let call = |wrong: usize| {
        let arguments: Vec<&str> = shape
            .char_indices()
            .map(|(place, kind)| match kind {
                _ if place == wrong => OUTSIDE,
                'p' | 'o' | 'O' => INSIDE,
                'n' => "#4",
                'm' => "#1",
                'v' => "#6",
                's' => "#403",
                'k' | 'l' => "(i32.load #204)",
                'h' | 'q' => "(i32.load #200)",
                _ => "#0",
            })
            .collect();
        format!("(${name} {})", arguments.join(" "))
    };
    pointers.map(call).collect()
}

pub(crate) fn rows() -> Vec<Row> {
    // The name of a header that is there; as a property it is one that the filter set.
    let prepare = "($set_property {:path} {v}) (i32.store #204 #5) (i32.store #200 #240) (i64.store #240 (i64.const 448629141562))";
    let queue = "($register_shared_queue {q} #16) ($enqueue_shared_queue (i32.load #16) {x}) ($enqueue_shared_queue (i32.load #16) {x}) ($dequeue_shared_queue (i32.load #16) #1000000000 #4) ($dequeue_shared_queue (i32.load #16) #0 #1000000000) #0";
    let metric = "($define_metric #0 {row.outside} #16) ($get_metric (i32.load #16) #1000000000) #0";
    let of_ids = [("memory: of a queue's entry", queue), ("memory: of a metric's value", metric)];
    let of_ids = of_ids.into_iter().map(|(name, body)| row(name, on("proxy_on_request_headers", body)));
    let of_functions = FUNCTIONS.iter().filter_map(|(name, _)| SHAPES.iter().find(|(known, _)| known == name)).map(|(name, shape)| {
        let body = format!("{prepare} {} #0", calls(name, shape));
        let title: &'static str = Box::leak(format!("memory: {name}").into_boxed_str());
        row(title, on("proxy_on_request_headers", &body)).configured("", "vm configuration", "")
    });
    of_functions.chain(of_ids).collect()
}
