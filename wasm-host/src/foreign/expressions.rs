//! `expr_create`, `expr_evaluate`, `expr_delete`: expressions in CEL about the attributes of the current context, kept for each root by token.

mod attributes;
mod budget;
mod functions;
mod parse;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use cel::Context;
use cel::common::types::Kind;
use cel::parser::Expression;

use crate::abi::Status;
use crate::state::State;
use attributes::Activation;

/// Envoy's evaluator takes as many steps of loops in one evaluation.
const MOST_ITERATIONS: u32 = 10_000;
/// Parser and evaluator recurse, in more of the stack than a guest's caller may have left.
const STACK: usize = 64 << 20;

/// The expressions of one root.
#[derive(Debug, Default)]
pub(crate) struct Expressions {
    next: u32,
    known: BTreeMap<u32, Arc<Expression>>,
}

impl Expressions {
    fn token(&mut self) -> u32 {
        let token = self.next;
        self.next = self.next.wrapping_add(1);
        token
    }
}

/// What is no expression has no token; what calls unknown functions uses one up.
pub(crate) fn create(state: &mut State, text: &[u8]) -> Result<Vec<u8>, Status> {
    let text = std::str::from_utf8(text).map_err(|_| Status::BadArgument)?;
    let expression = deep(|| parse::parse(text)).and_then(Result::ok).ok_or(Status::BadArgument)?;
    let expressions = of_root(state);
    let token = expressions.token();
    let expression = expression.ok_or(Status::BadArgument)?;
    expressions.known.insert(token, Arc::new(expression));
    Ok(token.to_le_bytes().to_vec())
}

/// In Envoy the effective context has no say in this.
pub(crate) fn evaluate(state: &mut State, argument: &[u8]) -> Result<Vec<u8>, Status> {
    let token = token(argument)?;
    let expression = of_root(state).known.get(&token).cloned().ok_or(Status::NotFound)?;
    let effective = state.effective.take();
    let left = state.settings.limits.host_memory.saturating_sub(state.recorder.spent());
    let (result, spent) = deep(|| budget::within(left, || resolve(state, &expression))).unwrap_or((Err(Status::InternalFailure), 0));
    state.effective = effective;
    state.recorder.spend_memory(spent);
    result
}

/// That there is none by this token is no mistake.
pub(crate) fn delete(state: &mut State, argument: &[u8]) -> Result<Vec<u8>, Status> {
    let token = token(argument)?;
    of_root(state).known.remove(&token);
    Ok(Vec::new())
}

fn token(argument: &[u8]) -> Result<u32, Status> {
    argument.try_into().map(u32::from_le_bytes).map_err(|_| Status::BadArgument)
}

fn of_root(state: &mut State) -> &mut Expressions {
    let current = state.current;
    let root = state.streams.get(&current).map_or(current, |stream| stream.root);
    state.expressions.entry(root).or_default()
}

fn resolve(state: &State, expression: &Expression) -> Result<Vec<u8>, Status> {
    let activation = Activation::new(state, MOST_ITERATIONS);
    let mut context = Context::with_env(functions::all());
    context.set_variable_resolver(&activation);
    let value = cel::Value::resolve_val(expression, &context).map_err(|_| Status::InternalFailure)?;
    if value.get_type().kind() == Kind::Type {
        return Err(Status::SerializationFailure);
    }
    budget::spend(value.as_ref()).map_err(|_| Status::InternalFailure)?;
    let value = cel::Value::try_from(value.as_ref()).map_err(|_| Status::SerializationFailure)?;
    value::from_cel(&value)?.encode()
}

/// On a stack of its own. `None` when that cannot be had, or the library gave up.
fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("cel".to_owned()).stack_size(STACK).spawn_scoped(scope, work).ok()?;
        thread.join().ok()
    })
}

impl fmt::Debug for Activation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Activation")
    }
}
