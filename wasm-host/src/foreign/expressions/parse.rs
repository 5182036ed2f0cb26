//! From text to an expression that can be evaluated in bounded time and memory: macros expanded, functions known, loops and copies counted.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators};
use cel::parser::{Expression, Parser};

use super::{budget, functions};

/// No text that is longer is read.
const LONGEST: usize = 100_000;
/// Nor one with more of the characters that operators begin with: the parser recurses once for each of a chain.
const MOST_OPERATORS: usize = 4_096;
/// Envoy's parser does not go deeper, in brackets and in what comes of them.
const DEEPEST: u16 = 32;

/// The name of the variable that counts a loop's step. Nobody can write it in CEL.
pub(super) const STEP: &str = "@step";

/// It is no expression.
#[derive(Debug)]
pub(super) struct Unreadable;

/// `None` when it calls what is no function.
pub(super) fn parse(text: &str) -> Result<Option<Expression>, Unreadable> {
    let operators = text.bytes().filter(|byte| b"+-*/%<>=!?.([".contains(byte)).count() + text.matches(" in ").count();
    if text.chars().count() > LONGEST || operators > MOST_OPERATORS {
        return Err(Unreadable);
    }
    let mut expression = Parser::new().max_recursion_depth(DEEPEST).parse(text).map_err(|_| Unreadable)?;
    if visit(&mut expression, 0)? { Ok(Some(expression)) } else { Ok(None) }
}

/// Whether all functions are known; on the way every loop is made to count its steps, and what makes values of others to count those.
fn visit(expression: &mut IdedExpr, depth: u16) -> Result<bool, Unreadable> {
    let depth = depth + 1;
    if depth > DEEPEST {
        return Err(Unreadable);
    }
    match &mut expression.expr {
        Expr::Unspecified => Err(Unreadable),
        Expr::Ident(_) | Expr::Literal(_) => Ok(true),
        Expr::Select(select) => {
            if let Expr::Ident(name) = &mut select.operand.expr
                && name == "google"
            {
                // Envoy's evaluator knows types of several words by no name.
                name.insert(0, '@');
            }
            visit(&mut select.operand, depth)
        }
        Expr::List(list) => {
            let known = all(&mut list.elements, depth)?;
            list.elements.iter_mut().for_each(copied);
            Ok(known)
        }
        Expr::Call(call) => visit_call(call, depth),
        Expr::Map(map) => entries(map.entries.iter_mut().map(|entry| &mut entry.expr), depth),
        // Envoy makes the well-known types.
        Expr::Struct(message) => entries(message.entries.iter_mut().map(|entry| &mut entry.expr), depth).map(|_| false),
        Expr::Comprehension(comprehension) => {
            let known = visit(&mut comprehension.iter_range, depth)? & visit_step(&mut comprehension.loop_step, depth)?;
            count(comprehension);
            copied(&mut comprehension.iter_range);
            copied_by_step(&mut comprehension.loop_step);
            Ok(known)
        }
    }
}

fn visit_call(call: &mut CallExpr, depth: u16) -> Result<bool, Unreadable> {
    if matches!(call.func_name.as_str(), operators::LOGICAL_AND | operators::LOGICAL_OR) {
        let name = call.func_name.clone();
        return call.args.iter_mut().try_fold(true, |known, arg| Ok(visit_term(arg, &name, depth)? && known));
    }
    let known = is_known(&call.func_name, call.target.is_some(), call.args.len());
    let target = call.target.as_mut().map_or(Ok(true), |target| visit(target, depth))?;
    let known = all(&mut call.args, depth)? && known && target;
    if call.func_name == operators::ADD {
        call.args.iter_mut().for_each(copied);
    }
    rename(call);
    Ok(known)
}

/// `a && b && c` is as deep as `a && b`.
fn visit_term(term: &mut IdedExpr, connective: &str, depth: u16) -> Result<bool, Unreadable> {
    if let Expr::Call(call) = &mut term.expr
        && call.func_name == connective
    {
        return visit_call(call, depth);
    }
    visit(term, depth)
}

/// What was written of the step of a macro's loop, without what the macro puts around it.
fn visit_step(step: &mut IdedExpr, depth: u16) -> Result<bool, Unreadable> {
    let Expr::Call(CallExpr { func_name, args, .. }) = &mut step.expr else { return visit(step, depth) };
    match (func_name.as_str(), args.as_mut_slice()) {
        (operators::CONDITIONAL, [guard, then, _]) => Ok(visit(guard, depth)? & visit_step(then, depth)?),
        (operators::ADD, [_, IdedExpr { expr: Expr::List(list), .. }]) => all(&mut list.elements, depth),
        (operators::LOGICAL_AND | operators::LOGICAL_OR, [_, tested]) => visit(tested, depth),
        _ => Ok(true),
    }
}

/// To the names by which the evaluator finds them.
fn rename(call: &mut CallExpr) {
    let is_member = matches!(call.func_name.as_str(), "contains" | "startsWith" | "endsWith");
    if is_member && call.target.is_none() && !call.args.is_empty() {
        call.target = Some(Box::new(call.args.remove(0)));
    }
    if let Some(name) = functions::own_name(&call.func_name).filter(|_| call.target.is_some() != (call.args.len() == 1)) {
        call.args.extend(call.target.take().map(|target| *target));
        name.clone_into(&mut call.func_name);
    }
}

fn all(expressions: &mut [IdedExpr], depth: u16) -> Result<bool, Unreadable> {
    expressions.iter_mut().try_fold(true, |known, expression| Ok(visit(expression, depth)? && known))
}

fn entries<'a>(entries: impl Iterator<Item = &'a mut EntryExpr>, depth: u16) -> Result<bool, Unreadable> {
    let mut known = true;
    for entry in entries {
        known &= match entry {
            EntryExpr::StructField(field) => visit(&mut field.value, depth)?,
            EntryExpr::MapEntry(entry) => {
                let known = visit(&mut entry.key, depth)? & visit(&mut entry.value, depth)?;
                copied(&mut entry.key);
                copied(&mut entry.value);
                known
            }
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
    let Expr::Call(CallExpr { func_name, args, .. }) = &mut comprehension.loop_step.expr else {
        return counted(&mut comprehension.loop_step);
    };
    match (func_name.as_str(), args.as_mut_slice()) {
        (operators::CONDITIONAL, [guard, ..]) => counted(guard),
        (operators::ADD, [_, IdedExpr { expr: Expr::List(ListExpr { elements, .. }), .. }]) => elements.iter_mut().for_each(counted),
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

/// What a macro's loop adds to its list.
fn copied_by_step(step: &mut IdedExpr) {
    let Expr::Call(CallExpr { func_name, args, .. }) = &mut step.expr else { return };
    match (func_name.as_str(), args.as_mut_slice()) {
        (operators::CONDITIONAL, [_, then, _]) => copied_by_step(then),
        (operators::ADD, [_, IdedExpr { expr: Expr::List(list), .. }]) => list.elements.iter_mut().for_each(copied),
        _ => {}
    }
}

/// Counts the expression's value, of which a copy is to be made. Of what is written out there is never more than the text.
fn copied(expression: &mut IdedExpr) {
    if !matches!(expression.expr, Expr::Literal(_)) {
        let args = vec![std::mem::take(expression)];
        expression.expr = Expr::Call(CallExpr { func_name: budget::COUNTED.to_owned(), target: None, args });
    }
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
