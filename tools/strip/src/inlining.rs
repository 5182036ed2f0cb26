//! Keeps Envoy's V8 from copying small functions into the functions that call them. Without Liftoff, as Envoy runs it, V8 copies callees into
//! each function until 500 bytes or so of WebAssembly are added, whoever calls how often: mostly the same few, among them those that only
//! panic. The compiler before it has inlined what pays. V8 looks at a callee's length alone, and `nop` is no machine code.

use std::collections::HashMap;

use anyhow::Context as _;
use wasm_encoder::{CodeSection, Module, RawSection};
use wasmparser::{FunctionBody, Operator, Parser, Payload};

use crate::imports;

/// V8 copies nothing as long as this.
const TOO_LONG: usize = 520;
/// Worth its padding, which Envoy and V8 keep half a dozen copies of: what would be copied, in bytes of all the calls together.
const COPIES: usize = 600;
const NOP: u8 = 0x01;
/// The number of the code section.
const CODE: u8 = 10;

/// The module with padding in functions that would be copied often.
pub(crate) fn prevented(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut imported = 0_usize;
    let mut bodies = Vec::new();
    let mut sections = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let Payload::ImportSection(section) = &payload {
            imported = usize::try_from(imports::functions(section.clone())?)?;
        } else if let Payload::CodeSectionEntry(body) = &payload {
            bodies.push(body.clone());
        }
        sections.extend(payload.as_section());
    }
    let calls = calls(&bodies)?;
    let mut code = CodeSection::new();
    for (index, body) in bodies.iter().enumerate() {
        let called = calls.get(&index.saturating_add(imported)).copied().unwrap_or(0);
        code.raw(&padded(module, body, called)?);
    }
    let mut padded = Module::new();
    for (id, range) in sections {
        if id == CODE {
            padded.section(&code);
        } else {
            padded.section(&RawSection { id, data: module.get(range).context("a section ends behind the module")? });
        }
    }
    Ok(padded.finish())
}

/// How often each function is called by name, by its index.
fn calls(bodies: &[FunctionBody<'_>]) -> anyhow::Result<HashMap<usize, usize>> {
    let mut calls = HashMap::new();
    for body in bodies {
        for operator in body.get_operators_reader()? {
            if let Operator::Call { function_index } = operator? {
                let count: &mut usize = calls.entry(usize::try_from(function_index)?).or_default();
                *count = count.saturating_add(1);
            }
        }
    }
    Ok(calls)
}

fn padded(module: &[u8], body: &FunctionBody<'_>, called: usize) -> anyhow::Result<Vec<u8>> {
    let (range, start) = (body.range(), body.get_operators_reader()?.original_position());
    let locals = module.get(range.start..start).context("a function begins in the module")?;
    let operators = module.get(start..range.end).context("a function ends in the module")?;
    let is_copied = range.len() < TOO_LONG && range.len().saturating_mul(called) >= COPIES;
    let padding = if is_copied { TOO_LONG.saturating_sub(range.len()) } else { 0 };
    Ok([locals, &vec![NOP; padding], operators].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(module: &[u8]) -> Vec<usize> {
        let payloads = Parser::new(0).parse_all(module).map(Result::unwrap);
        payloads.filter_map(|payload| if let Payload::CodeSectionEntry(body) = payload { Some(body.range().len()) } else { None }).collect()
    }

    #[test]
    fn what_is_called_often_is_too_long_and_all_else_is_as_it_was() {
        let text = format!(
            "(module (import \"a\" \"b\" (func)) (memory 1)
               (func $often (param i32) (result i32) (local i64 i64) (i32.add (local.get 0) (i32.const 1)))
               (func $once (param i32) (result i32) (i32.add (local.get 0) (i32.const 2)))
               (func (export \"run\") (result i32) (call 0) (call $once (i32.const 1)) {})
               (data (i32.const 0) \"kept\"))",
            "(call $often)".repeat(100),
        );
        let module = wat::parse_str(text).unwrap();
        let padded = prevented(&module).unwrap();
        wasmparser::Validator::new().validate_all(&padded).unwrap();
        let (before, after) = (lengths(&module), lengths(&padded));
        assert_eq!(after, [TOO_LONG, before[1], before[2]]);
        assert!(before[0] < 20 && padded.len() - module.len() < TOO_LONG);
        assert_eq!(prevented(&padded).unwrap(), padded, "once is enough");
    }
}
