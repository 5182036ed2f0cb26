//! From text to an expression that can be evaluated in bounded time: macros expanded, functions known, loops counted.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators};
use cel::parser::{Expression, Parser};

/// No text that is longer is read.
const LONGEST: usize = 100_000;
/// Envoy's parser does not go deeper.
const DEEPEST: u16 = 32;
/// What parsing leaves may be nested so deep: a chain of operators has the depth of its length.
const DEEPEST_TREE: usize = 2_000;

/// The name of the variable that counts a loop's step. Nobody can write it in CEL.
pub(super) const STEP: &str = "@step";

/// It is no expression.
#[derive(Debug)]
pub(super) struct Unreadable;

/// `None` when it calls what is no function.
pub(super) fn parse(text: &str) -> Result<Option<Expression>, Unreadable> {
    if text.chars().count() > LONGEST {
        return Err(Unreadable);
    }
    let mut expression = Parser::new().max_recursion_depth(DEEPEST).parse(text).map_err(|_| Unreadable)?;
    if visit(&mut expression, 0)? { Ok(Some(expression)) } else { Ok(None) }
}

/// Whether all functions are known; on the way every loop is made to count its steps.
fn visit(expression: &mut IdedExpr, depth: usize) -> Result<bool, Unreadable> {
    let depth = depth + 1;
    if depth > DEEPEST_TREE {
        return Err(Unreadable);
    }
    match &mut expression.expr {
        Expr::Unspecified => Err(Unreadable),
        Expr::Ident(_) | Expr::Literal(_) => Ok(true),
        Expr::Select(select) => visit(&mut select.operand, depth),
        Expr::List(list) => all(&mut list.elements, depth),
        Expr::Call(call) => {
            let known = is_known(&call.func_name, call.target.is_some(), call.args.len());
            let target = call.target.as_mut().map_or(Ok(true), |target| visit(target, depth))?;
            Ok(all(&mut call.args, depth)? && known && target)
        }
        Expr::Map(map) => entries(map.entries.iter_mut().map(|entry| &mut entry.expr), depth),
        // Messages of other types than the well-known ones are unknown to Envoy too, and those are not built here.
        Expr::Struct(message) => entries(message.entries.iter_mut().map(|entry| &mut entry.expr), depth).map(|_| false),
        Expr::Comprehension(comprehension) => {
            let known = [&mut comprehension.iter_range, &mut comprehension.accu_init, &mut comprehension.loop_cond]
                .into_iter()
                .try_fold(true, |known, part| Ok(visit(part, depth)? && known))?;
            let more = [&mut comprehension.loop_step, &mut comprehension.result]
                .into_iter()
                .try_fold(known, |known, part| Ok(visit(part, depth)? && known))?;
            count(comprehension);
            Ok(more)
        }
    }
}

fn all(expressions: &mut [IdedExpr], depth: usize) -> Result<bool, Unreadable> {
    expressions.iter_mut().try_fold(true, |known, expression| Ok(visit(expression, depth)? && known))
}

fn entries<'a>(entries: impl Iterator<Item = &'a mut EntryExpr>, depth: usize) -> Result<bool, Unreadable> {
    let mut known = true;
    for entry in entries {
        known &= match entry {
            EntryExpr::StructField(field) => visit(&mut field.value, depth)?,
            EntryExpr::MapEntry(entry) => visit(&mut entry.key, depth)? & visit(&mut entry.value, depth)?,
        };
    }
    Ok(known)
}

/// The step is counted in the condition. Where that is a constant, the library builds lists in place and must go on to recognise it; then in
/// what the step asks or adds.
fn count(comprehension: &mut ComprehensionExpr) {
    if !matches!(comprehension.loop_cond.expr, Expr::Literal(_)) {
        return counted(&mut comprehension.loop_cond);
    }
    match &mut comprehension.loop_step.expr {
        Expr::Call(CallExpr { func_name, args, .. }) if func_name == operators::CONDITIONAL => {
            if let Some(guard) = args.first_mut() {
                counted(guard);
            }
        }
        Expr::Call(CallExpr { func_name, args, .. }) if func_name == operators::ADD => {
            if let Some(IdedExpr { expr: Expr::List(ListExpr { elements, .. }), .. }) = args.last_mut() {
                elements.iter_mut().for_each(counted);
            }
        }
        _ => counted(&mut comprehension.loop_step),
    }
}

/// `@step ? expression : null`, where `@step` is true or, at last, unknown.
fn counted(expression: &mut IdedExpr) {
    let plain = |expr| IdedExpr { id: 0, expr };
    let inner = std::mem::take(expression);
    let args = vec![plain(Expr::Ident(STEP.to_owned())), inner, plain(Expr::Literal(LiteralValue::Null))];
    *expression = plain(Expr::Call(CallExpr { func_name: operators::CONDITIONAL.to_owned(), target: None, args }));
}

/// By name, whether it is called on something, and the number of arguments beside that: what Envoy's evaluator registers.
fn is_known(name: &str, on_target: bool, arguments: usize) -> bool {
    match (name, on_target, arguments) {
        ("size" | "type" | "dyn" | "int" | "uint" | "double" | "string" | "bytes" | "bool" | "timestamp" | "duration", false, 1)
        | ("contains" | "startsWith" | "endsWith" | "matches", false, 2)
        | ("size", true, 0)
        | ("contains" | "startsWith" | "endsWith" | "matches", true, 1)
        | ("getHours" | "getMinutes" | "getSeconds" | "getMilliseconds", true, 0 | 1)
        | ("getFullYear" | "getMonth" | "getDayOfYear" | "getDayOfMonth" | "getDate" | "getDayOfWeek", true, 0 | 1) => true,
        // Operators, which nobody can call by these names.
        _ => !name.starts_with(|first: char| first.is_ascii_alphabetic()),
    }
}
