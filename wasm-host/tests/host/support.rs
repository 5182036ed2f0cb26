//! Small filters in WebAssembly text. In a callback's body `#5` is the constant 5 and `{text}` the pointer and length of a text, in which braces come in pairs; every host
//! function is `$name` (without `proxy_`) with its status dropped, since the trace has it. What a call returns by pointers at 0 and 4,
//! `(call $out)` logs.

use std::fmt::Write;

use meshwright_wasm_host::{Host, LogLevel, Outcome, Plugin, Report, Status, TraceEvent};

use crate::abi::{CALLBACKS, FUNCTIONS, full_name};

/// Those of ABI 0.2.1.
fn functions() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    FUNCTIONS.iter().take(FUNCTIONS.len() - 4)
}

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
        let (_, parameters, result) = CALLBACKS.iter().find(|(known, ..)| *known == name).unwrap();
        self.has_malloc |= name == "malloc";
        let body = self.expand(body);
        let result = if *result { "(result i32)" } else { "" };
        writeln!(self.functions, "(func (export \"{name}\") {} {result} {body})", "(param i32)".repeat(*parameters)).unwrap();
        self
    }

    pub(crate) fn wasm(&self) -> Vec<u8> {
        let mut text = String::from("(module\n");
        for (name, parameters) in functions() {
            writeln!(text, "(import \"env\" \"{}\" (func $import_{name} {} (result i32)))", full_name(name), types(parameters)).unwrap();
        }
        text.push_str("(memory (export \"memory\") 4) (global $heap (mut i32) (i32.const 65536))\n");
        text.push_str("(func (export \"proxy_abi_version_0_2_1\"))\n");
        for (name, parameters) in functions() {
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
                let end = place + end_of_text(&rest[place..]);
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

/// Where the brace is that belongs to the first.
fn end_of_text(braced: &str) -> usize {
    let mut open = 0;
    let closes = |byte: u8| {
        open += i32::from(byte == b'{') - i32::from(byte == b'}');
        open == 0
    };
    braced.bytes().position(closes).unwrap()
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
pub(crate) const INTERNAL_FAILURE: u32 = Status::InternalFailure.code();
pub(crate) const UNIMPLEMENTED: u32 = Status::Unimplemented.code();
