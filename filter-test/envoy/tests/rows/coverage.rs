//! What the ABI's tables have, and the proof that the rows asked a real Envoy for all of it: every status of every function, every callback,
//! and the behaviour that is neither.

use std::collections::BTreeSet;

use crate::abi::{CALLBACKS, FUNCTIONS};
use crate::{answers, rows};

/// Functions and the statuses that they can have in Envoy 1.40.
const STATUSES: &[(&str, &[u32])] = &[
    ("log", &[0, 2, 6]),
    ("get_log_level", &[0, 6]),
    ("get_current_time_nanoseconds", &[0, 6]),
    ("set_tick_period_milliseconds", &[0]),
    ("get_buffer_bytes", &[0, 1, 2, 6]),
    ("get_buffer_status", &[0, 1, 2, 6]),
    ("set_buffer_bytes", &[0, 1, 2, 6]),
    ("get_header_map_pairs", &[0, 2, 6]),
    ("get_header_map_size", &[0, 2, 6]),
    ("set_header_map_pairs", &[0, 2, 6]),
    ("get_header_map_value", &[0, 1, 2, 6]),
    ("add_header_map_value", &[0, 2, 6]),
    ("replace_header_map_value", &[0, 2, 6]),
    ("remove_header_map_value", &[0, 2, 6]),
    ("get_property", &[0, 1, 3, 6]),
    ("set_property", &[0, 1, 2, 6]),
    ("continue_stream", &[0, 2, 12]),
    ("close_stream", &[0, 2]),
    ("send_local_response", &[0, 6]),
    ("http_call", &[0, 2, 6]),
    ("grpc_call", &[0, 4, 6, 10]),
    ("grpc_stream", &[0, 4, 6, 10]),
    ("grpc_send", &[0, 1, 2, 6]),
    ("grpc_cancel", &[0, 1, 2]),
    ("grpc_close", &[0, 1, 2]),
    ("get_status", &[0, 6]),
    ("set_effective_context", &[0, 2]),
    ("done", &[0, 1]),
    ("get_shared_data", &[0, 1, 6]),
    ("set_shared_data", &[0, 6, 8]),
    ("register_shared_queue", &[0, 6]),
    ("resolve_shared_queue", &[0, 1, 6]),
    ("enqueue_shared_queue", &[0, 1, 6]),
    ("dequeue_shared_queue", &[0, 1, 6, 7]),
    ("define_metric", &[0, 2, 6]),
    ("get_metric", &[0, 1, 2, 6]),
    ("record_metric", &[0, 1]),
    ("increment_metric", &[0, 1, 2]),
    ("call_foreign_function", &[0, 1, 2, 3, 6, 10]),
    ("envoy_resolve_dns", &[0, 6]),
    ("get_configuration", &[0]),
    ("continue_request", &[0]),
    ("continue_response", &[0]),
    ("clear_route_cache", &[0]),
];

/// What an Envoy with a fixed configuration does not show, and the test of our host that asks for it alone.
const ONLY_HERE: &[(&str, &str)] = &[
    // A root ends only when its configuration is replaced.
    ("done=0", "a_root_that_is_not_done_is_waited_for"),
    // Envoy 1.40 calls it for none of its foreign functions.
    (">foreign_function", "what_envoy_never_calls_is_never_called"),
];

/// Behaviour beyond statuses and callbacks: what the notes of the tables say, each with the row that asks for it.
const BEHAVIOUR: &[(&str, &str)] = &[
    ("log: levels beyond the last are refused", "log: levels, and beyond"),
    ("ticks belong to the root and are armed anew", "set_tick_period_milliseconds: of the root, from a stream, again, and stopped"),
    ("buffers outside their phase are empty", "buffers: ids outside their phase"),
    ("call data has what was read last", "get_buffer_bytes: call data has what was read last"),
    ("a buffer is replaced in front", "set_buffer_bytes: the first two replaced"),
    ("a buffer is appended to behind", "set_buffer_bytes: behind"),
    ("nothing is put into the middle of a buffer", "set_buffer_bytes: in the middle is refused"),
    ("a map's size is its bytes", "headers: all pairs in order"),
    ("no pairs wipe the map", "set_header_map_pairs: nothing wipes"),
    ("malformed pairs wipe the map", "set_header_map_pairs: what is malformed wipes"),
    ("too many pairs wipe the map", "set_header_map_pairs: more than 1024 pairs wipe"),
    ("the first of several values is read", "headers: first value, the property has all"),
    ("line breaks in values are found late", "headers: a line break in a value"),
    ("without a path there is no route", "headers: no path"),
    ("set properties are filter state", "properties: set, and read by both names"),
    ("an empty path cannot be serialized", "properties: an empty path, odd paths"),
    ("headers are gone after their phase", "properties: in request body"),
    ("headers are back in log", "properties: in log"),
    ("a resumption hides the headers at once", "continue_stream: in the callback that pauses"),
    ("a closed stream has details", "close_stream: request"),
    ("trailers can be added in the last body call", "headers: trailers can be made in the last body call"),
    ("calls without pseudo headers are refused", "http_call: what is refused"),
    ("a late answer is Envoy's 504", "http_call: timeout"),
    ("the effective context ends with the callback", "set_effective_context: unknown, root, stream; it ends with the callback"),
    ("compare and swap", "shared data: set, get, compare and swap"),
    ("a number for a new key is taken", "shared data: a number for a new key is taken"),
    ("a queue tells of each entry", "shared queues: told of each entry"),
    ("a metric's second definition has another id", "metrics: defined again is another id of the same statistic"),
    ("callbacks in order", "streams: order of all callbacks"),
    ("callbacks in order without bodies", "streams: order without bodies"),
    ("TCP callbacks in order", "tcp: both ways, the client closes"),
    ("an access logger logs on its root", "access log: on the root, with all there was"),
    ("_initialize goes before main", "root: _initialize and main"),
    ("_start only without _initialize", "root: no _start where there is _initialize"),
    ("malloc goes before proxy_on_memory_allocate", "root: malloc goes before proxy_on_memory_allocate"),
    ("a reply: callbacks, headers, request still there", "replies: in request headers, whatever is returned"),
    ("a reply: the first wins", "replies: the first wins"),
    ("a reply: its own headers", "replies: with headers"),
    ("a reply: gRPC", "replies: to gRPC"),
    ("a reply: gRPC with a status", "replies: to gRPC with a status"),
    ("a reply: replaces a response", "replies: in response headers"),
    ("a reply: cuts a response that has begun", "replies: in response body"),
    ("a reply: from a root is nothing", "replies: from a root are nothing"),
    ("a reply in log ends Envoy", "send_local_response: in log ends Envoy"),
    ("resuming a response in the request ends Envoy", "continue_stream: response in the request ends Envoy"),
];

#[test]
fn every_row_of_the_tables_was_asked_of_envoy() {
    let shown: BTreeSet<&str> = answers().iter().flat_map(|answers| &answers.envoy.journal).map(String::as_str).collect();
    let called: BTreeSet<&str> = shown.iter().filter_map(|line| line.split(' ').next()).collect();
    let statuses = STATUSES.iter().flat_map(|(name, statuses)| statuses.iter().map(move |status| format!("{name}={status}")));
    let callbacks = CALLBACKS
        .iter()
        .filter_map(|(name, ..)| name.strip_prefix("proxy_on_").or(name.strip_prefix("envoy_on_")))
        .filter(|name| *name != "memory_allocate");
    let all: Vec<String> = statuses.chain(callbacks.map(|name| format!(">{name}"))).collect();
    let missing: Vec<&String> =
        all.iter().filter(|row| !called.contains(row.as_str()) && !ONLY_HERE.iter().any(|(known, _)| known == row)).collect();
    assert_eq!(missing, [""; 0], "{} of {} were shown", all.len() - missing.len() - ONLY_HERE.len(), all.len());
    for (row, _) in ONLY_HERE {
        assert!(!called.contains(row), "Envoy shows `{row}`: compare it");
    }
}

#[test]
fn the_tables_have_every_function_and_behaviour_has_rows() {
    let listed: BTreeSet<&str> = STATUSES.iter().map(|(name, _)| *name).collect();
    let known: BTreeSet<&str> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed, known);
    let rows = rows::all();
    for (what, row) in BEHAVIOUR {
        assert!(rows.iter().any(|known| known.name == *row), "{what}: there is no row `{row}`");
    }
    let tests = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wasm-host/tests/host")).unwrap();
    let tests: String = tests.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    for (row, test) in ONLY_HERE {
        assert!(tests.contains(&format!("fn {test}(")), "{row}: there is no test `{test}`");
    }
}
