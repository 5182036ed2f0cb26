//! Small filters in WebAssembly text. In a callback's body `#5` is the constant 5 and `{text}` the pointer and length of a text; every host
//! function is `$name` (without `proxy_`) with its status dropped, since the trace has it. What a call returns by pointers at 0 and 4,
//! `(call $out)` logs.

use std::fmt::Write;

use meshwright_wasm_host::{Host, LogLevel, Outcome, Plugin, Report, Status, TraceEvent};

/// Name without `proxy_` and parameters: `i` is i32, `I` is i64.
const IMPORTS: &[(&str, &str)] = &[
    ("log", "iii"),
    ("get_log_level", "i"),
    ("get_current_time_nanoseconds", "i"),
    ("set_tick_period_milliseconds", "i"),
    ("get_buffer_bytes", "iiiii"),
    ("get_buffer_status", "iii"),
    ("set_buffer_bytes", "iiiii"),
    ("get_header_map_pairs", "iii"),
    ("get_header_map_size", "ii"),
    ("set_header_map_pairs", "iii"),
    ("get_header_map_value", "iiiii"),
    ("add_header_map_value", "iiiii"),
    ("replace_header_map_value", "iiiii"),
    ("remove_header_map_value", "iii"),
    ("get_property", "iiii"),
    ("set_property", "iiii"),
    ("continue_stream", "i"),
    ("close_stream", "i"),
    ("send_local_response", "iiiiiiii"),
    ("http_call", "iiiiiiiiii"),
    ("grpc_call", "iiiiiiiiiiii"),
    ("grpc_stream", "iiiiiiiii"),
    ("grpc_send", "iiii"),
    ("grpc_cancel", "i"),
    ("grpc_close", "i"),
    ("get_status", "iii"),
    ("set_effective_context", "i"),
    ("done", ""),
    ("get_shared_data", "iiiii"),
    ("set_shared_data", "iiiii"),
    ("register_shared_queue", "iii"),
    ("resolve_shared_queue", "iiiii"),
    ("enqueue_shared_queue", "iii"),
    ("dequeue_shared_queue", "iii"),
    ("define_metric", "iiii"),
    ("get_metric", "ii"),
    ("record_metric", "iI"),
    ("increment_metric", "iI"),
    ("call_foreign_function", "iiiiii"),
];

/// Callbacks by number of parameters and whether they have a result.
const SIGNATURES: &[(&str, usize, bool)] = &[
    ("_initialize", 0, false),
    ("malloc", 1, true),
    ("proxy_on_context_create", 2, false),
    ("proxy_on_vm_start", 2, true),
    ("proxy_on_configure", 2, true),
    ("proxy_on_tick", 1, false),
    ("proxy_on_new_connection", 1, true),
    ("proxy_on_downstream_data", 3, true),
    ("proxy_on_upstream_data", 3, true),
    ("proxy_on_downstream_connection_close", 2, false),
    ("proxy_on_upstream_connection_close", 2, false),
    ("proxy_on_request_headers", 3, true),
    ("proxy_on_request_body", 3, true),
    ("proxy_on_request_trailers", 2, true),
    ("proxy_on_response_headers", 3, true),
    ("proxy_on_response_body", 3, true),
    ("proxy_on_response_trailers", 2, true),
    ("proxy_on_http_call_response", 5, false),
    ("proxy_on_grpc_receive_initial_metadata", 3, false),
    ("proxy_on_grpc_receive", 3, false),
    ("proxy_on_grpc_receive_trailing_metadata", 3, false),
    ("proxy_on_grpc_close", 3, false),
    ("proxy_on_queue_ready", 2, false),
    ("proxy_on_foreign_function", 3, false),
    ("proxy_on_done", 1, true),
    ("proxy_on_log", 1, false),
    ("proxy_on_delete", 1, false),
];

#[derive(Default)]
pub(crate) struct Filter {
    functions: String,
    data: String,
    next_text: usize,
    has_malloc: bool,
}

impl Filter {
    /// A filter with one callback.
    pub(crate) fn on(name: &str, body: &str) -> Self {
        Self { next_text: 4096, ..Self::default() }.and(name, body)
    }

    /// One more callback.
    pub(crate) fn and(mut self, name: &str, body: &str) -> Self {
        let (_, parameters, result) = SIGNATURES.iter().find(|(known, ..)| *known == name).unwrap();
        self.has_malloc |= name == "malloc";
        let body = self.expand(body);
        let result = if *result { "(result i32)" } else { "" };
        writeln!(self.functions, "(func (export \"{name}\") {} {result} {body})", "(param i32)".repeat(*parameters)).unwrap();
        self
    }

    pub(crate) fn wasm(&self) -> Vec<u8> {
        let mut text = String::from("(module\n");
        for (name, parameters) in IMPORTS {
            writeln!(text, "(import \"env\" \"proxy_{name}\" (func $import_{name} {} (result i32)))", types(parameters)).unwrap();
        }
        text.push_str("(memory (export \"memory\") 4) (global $heap (mut i32) (i32.const 65536))\n");
        text.push_str("(func (export \"proxy_abi_version_0_2_1\"))\n");
        for (name, parameters) in IMPORTS {
            let arguments: String = (0..parameters.len()).map(|index| format!("(local.get {index})")).collect();
            writeln!(text, "(func ${name} {} (drop (call $import_{name} {arguments})))", types(parameters)).unwrap();
        }
        text.push_str("(func $out (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4))))\n");
        if !self.has_malloc {
            text.push_str(
                "(func (export \"malloc\") (param i32) (result i32) (global.get $heap)
                   (global.set $heap (i32.add (global.get $heap) (local.get 0))))\n",
            );
        }
        text.push_str(&self.functions);
        text.push_str(&self.data);
        text.push(')');
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    pub(crate) fn plugin(&self) -> Plugin {
        Host::load(&self.wasm()).unwrap().plugin("", "")
    }

    fn expand(&mut self, body: &str) -> String {
        let mut out = String::new();
        let mut rest = body;
        while let Some(place) = rest.find(['#', '{']) {
            out.push_str(&rest[..place]);
            if rest.as_bytes()[place] == b'#' {
                let number: String = rest[place + 1..].chars().take_while(|char| char.is_ascii_digit() || *char == '-').collect();
                write!(out, "(i32.const {number})").unwrap();
                rest = &rest[place + 1 + number.len()..];
            } else {
                let end = place + rest[place..].find('}').unwrap();
                out.push_str(&self.text(&rest.as_bytes()[place + 1..end]));
                rest = &rest[end + 1..];
            }
        }
        out + rest
    }

    /// Pointer and length of a text that the module is given.
    fn text(&mut self, text: &[u8]) -> String {
        let escaped: String = text.iter().map(|byte| format!("\\{byte:02x}")).collect();
        writeln!(self.data, "(data (i32.const {}) \"{escaped}\")", self.next_text).unwrap();
        let reference = format!("(i32.const {}) (i32.const {})", self.next_text, text.len());
        self.next_text += text.len();
        reference
    }
}

fn types(parameters: &str) -> String {
    parameters.chars().map(|kind| if kind == 'I' { "(param i64)" } else { "(param i32)" }).collect()
}

/// What a host function answered, in order.
pub(crate) fn statuses(report: &Report, function: &str) -> Vec<u32> {
    let statuses = report.trace.iter().filter_map(|event| match event {
        TraceEvent::Hostcall { name, status } if name.strip_prefix("proxy_") == Some(function) => Some(status.code()),
        TraceEvent::Hostcall { .. } | TraceEvent::Callback { .. } | _ => None,
    });
    statuses.collect()
}

pub(crate) fn logged(report: &Report) -> Vec<&str> {
    report.logged(LogLevel::Info).collect()
}

/// Callbacks without their `proxy_on_`.
pub(crate) fn callbacks(report: &Report) -> Vec<&'static str> {
    report.callbacks().map(|(name, _)| name.strip_prefix("proxy_on_").unwrap_or(name)).collect()
}

pub(crate) fn upstream_header<'a>(outcome: &'a Outcome, name: &str) -> Option<&'a str> {
    outcome.upstream_request.as_ref().unwrap().headers.text(name)
}

pub(crate) const OK: u32 = Status::Ok.code();
pub(crate) const NOT_FOUND: u32 = Status::NotFound.code();
pub(crate) const BAD_ARGUMENT: u32 = Status::BadArgument.code();
pub(crate) const INVALID_MEMORY_ACCESS: u32 = Status::InvalidMemoryAccess.code();
pub(crate) const UNIMPLEMENTED: u32 = Status::Unimplemented.code();
