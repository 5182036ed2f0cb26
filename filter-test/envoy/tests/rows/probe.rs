//! Filters in WebAssembly text that log all that they are asked and all that they are answered, so that hosts can be compared by their logs.
//!
//! In a callback's body `#5` is the constant 5, `{text}` the pointer and length of a text (in which `}}` is a brace), and `($name ...)` a call of a host function without its `proxy_`,
//! which logs `name=status`. `$out` logs what pointer and length at 0 and 4 lead to, `$hex` the same in hexadecimal, `$u32` and `$u64` the
//! number at 0, `$say` a text. A callback logs `>name` and its arguments.

use std::fmt::Write;

use crate::abi::{CALLBACKS, FUNCTIONS, full_name};

#[derive(Debug, Clone)]
pub(crate) struct Probe {
    functions: String,
    data: String,
    next_text: usize,
    version: &'static str,
    imports: Vec<&'static str>,
    has_malloc: bool,
}

impl Probe {
    pub(crate) fn new(version: &'static str) -> Self {
        let (functions, data) = (String::new(), String::new());
        Self { functions, data, next_text: 4096, version, imports: Vec::new(), has_malloc: false }
    }

    /// One more callback.
    pub(crate) fn and(mut self, name: &str, body: &str) -> Self {
        let (_, parameters, result) = CALLBACKS.iter().find(|(known, ..)| *known == name).unwrap();
        let short = self.version == "0_1_0" && name.ends_with("_headers");
        let parameters = if short { parameters - 1 } else { *parameters };
        self.has_malloc |= name == "malloc";
        let body = self.expand(body);
        let result = if *result { "(result i32)" } else { "" };
        let said = name.strip_prefix("proxy_on_").or(name.strip_prefix("envoy_on_"));
        let mut enter = String::new();
        if let Some(said) = said {
            let text = self.text(format!(">{said}").as_bytes());
            write!(enter, "(call $start) (call $text {text})").unwrap();
            for index in 0..parameters {
                write!(enter, "(call $space) (call $number (i64.extend_i32_s (local.get {index})))").unwrap();
            }
            enter.push_str("(call $flush)");
        }
        writeln!(self.functions, "(func (export \"{name}\") {} {result} {enter} {body})", "(param i32)".repeat(parameters)).unwrap();
        self
    }

    pub(crate) fn wasm(&self) -> Vec<u8> {
        let mut probe = self.clone();
        let mut text = String::from("(module\n");
        let mut wrappers = String::new();
        for (name, parameters) in FUNCTIONS.iter().filter(|(name, _)| self.imports.contains(name) || *name == "log") {
            let kinds = types(parameters);
            writeln!(text, "(import \"env\" \"{}\" (func $import_{name} {kinds} (result i32)))", full_name(name)).unwrap();
            let arguments: String = (0..parameters.len()).map(|index| format!("(local.get {index})")).collect();
            let label = probe.text(format!("{name}=").as_bytes());
            writeln!(
                wrappers,
                "(func ${name} {kinds} (local $status i32) (local.set $status (call $import_{name} {arguments}))
                   (call $start) (call $text {label}) (call $number (i64.extend_i32_s (local.get $status))) (call $flush))"
            )
            .unwrap();
        }
        writeln!(text, "(memory (export \"memory\") 4) (global $heap (mut i32) (i32.const 65536))").unwrap();
        writeln!(text, "(func (export \"proxy_abi_version_{}\"))", self.version).unwrap();
        text.push_str(HELPERS);
        text.push_str(&wrappers);
        if !self.has_malloc {
            text.push_str(MALLOC);
        }
        for part in [&self.functions, &probe.data] {
            text.push_str(part);
        }
        text.push(')');
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn expand(&mut self, body: &str) -> String {
        let mut out = String::new();
        let mut rest = body;
        while let Some(place) = rest.find(['#', '{', '$']) {
            out.push_str(&rest[..place]);
            rest = match rest.as_bytes()[place] {
                b'#' => {
                    let number: String = rest[place + 1..].chars().take_while(|char| char.is_ascii_digit() || *char == '-').collect();
                    write!(out, "(i32.const {number})").unwrap();
                    &rest[place + 1 + number.len()..]
                }
                b'{' => {
                    let end = end_of_text(&rest[place..]) + place;
                    out.push_str(&self.text(rest[place + 1..end].replace("}}", "}").as_bytes()));
                    &rest[end + 1..]
                }
                _ => {
                    let name: String = rest[place + 1..].chars().take_while(|char| char.is_ascii_alphanumeric() || *char == '_').collect();
                    self.imports.extend(FUNCTIONS.iter().map(|(known, _)| *known).filter(|known| *known == name));
                    write!(out, "call ${name}").unwrap();
                    &rest[place + 1 + name.len()..]
                }
            };
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

/// A brace that is doubled does not end it.
fn end_of_text(rest: &str) -> usize {
    let mut place = 0;
    loop {
        place += rest[place..].find('}').unwrap();
        if !rest[place + 1..].starts_with('}') {
            return place;
        }
        place += 2;
    }
}

/// A filter of ABI 0.2.1 with one callback.
pub(crate) fn on(name: &str, body: &str) -> Probe {
    Probe::new("0_2_1").and(name, body)
}

/// A map in the ABI's form, for use in braces.
pub(crate) fn map(pairs: &[(&str, &str)]) -> String {
    let headers: meshwright_wasm_host::Headers = pairs.iter().map(|(name, value)| (*name, *value)).collect();
    String::from_utf8(headers.serialize()).unwrap()
}

fn types(parameters: &str) -> String {
    parameters.chars().map(|kind| if kind == 'I' { "(param i64)" } else { "(param i32)" }).collect()
}

const MALLOC: &str = r#"
(func (export "malloc") (param i32) (result i32) (global.get $heap)
  (global.set $heap (i32.and (i32.add (i32.add (global.get $heap) (local.get 0)) (i32.const 15)) (i32.const -16))))
"#;

/// A line is put together from 2048 on.
const HELPERS: &str = r#"
(global $at (mut i32) (i32.const 0))
(func $start (global.set $at (i32.const 2048)))
(func $byte (param i32) (i32.store8 (global.get $at) (local.get 0)) (global.set $at (i32.add (global.get $at) (i32.const 1))))
(func $space (call $byte (i32.const 32)))
(func $text (param $from i32) (param $len i32)
  (block $end (loop $next (br_if $end (i32.eqz (local.get $len))) (call $byte (i32.load8_u (local.get $from)))
    (local.set $from (i32.add (local.get $from) (i32.const 1))) (local.set $len (i32.sub (local.get $len) (i32.const 1))) (br $next))))
(func $digits (param $n i64)
  (if (i64.ge_u (local.get $n) (i64.const 10)) (then (call $digits (i64.div_u (local.get $n) (i64.const 10)))))
  (call $byte (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $n) (i64.const 10))))))
(func $number (param $n i64)
  (if (i64.lt_s (local.get $n) (i64.const 0)) (then (call $byte (i32.const 45)) (local.set $n (i64.sub (i64.const 0) (local.get $n)))))
  (call $digits (local.get $n)))
(func $flush (drop (call $import_log (i32.const 2) (i32.const 2048) (i32.sub (global.get $at) (i32.const 2048)))))
(func $say (param i32) (param i32) (drop (call $import_log (i32.const 2) (local.get 0) (local.get 1))))
(func $out (drop (call $import_log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4)))))
(func $nibble (param i32) (call $byte (i32.add (local.get 0) (select (i32.const 87) (i32.const 48) (i32.gt_u (local.get 0) (i32.const 9))))))
(func $hex (local $from i32) (local $len i32) (call $start)
  (local.set $from (i32.load (i32.const 0))) (local.set $len (i32.load (i32.const 4)))
  (block $end (loop $next (br_if $end (i32.eqz (local.get $len)))
    (call $nibble (i32.shr_u (i32.load8_u (local.get $from)) (i32.const 4))) (call $nibble (i32.and (i32.load8_u (local.get $from)) (i32.const 15)))
    (local.set $from (i32.add (local.get $from) (i32.const 1))) (local.set $len (i32.sub (local.get $len) (i32.const 1))) (br $next)))
  (call $flush))
(func $u32 (call $start) (call $number (i64.extend_i32_u (i32.load (i32.const 0)))) (call $flush))
(func $u64 (call $start) (call $number (i64.load (i32.const 0))) (call $flush))
"#;
