//! How much of the host's memory one evaluation may take. Whatever a value may be copied into, a list, a map, a sum, is counted before it is: of
//! texts that double with every step, `['a'].map(x, x + x).map(x, x + x)`, the first that is too long is never made.
//!
//! The library's functions have no state but that of their thread; each evaluation has a thread of its own.

use std::cell::Cell;

use cel::ExecutionError;
use cel::common::traits::Iterable;
use cel::common::types::{CelBytes, CelMap, CelString};
use cel::common::value::{CowVal, Val};

/// The function that counts its argument and gives it back. Nobody can write it in CEL.
pub(super) const COUNTED: &str = "@counted";
/// What a value takes beside its bytes: its place in a list or a map, and what it is allocated in.
const VALUE: usize = 64;

thread_local! {
    static BUDGET: Cell<Budget> = const { Cell::new(Budget { most: 0, spent: 0 }) };
}

#[derive(Clone, Copy)]
struct Budget {
    most: usize,
    spent: usize,
}

/// What `work` gives, and how many bytes it took about: more than `most` when it had to give up.
pub(super) fn within<T>(most: usize, work: impl FnOnce() -> T) -> (T, usize) {
    BUDGET.set(Budget { most, spent: 0 });
    (work(), BUDGET.get().spent)
}

pub(super) fn counted<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = args.into_iter().next().ok_or_else(ExecutionError::missing_argument_or_target)?;
    spend(value.as_ref())?;
    Ok(value)
}

/// Counts a copy of `value`.
pub(super) fn spend(value: &dyn Val) -> Result<(), ExecutionError> {
    let mut budget = BUDGET.get();
    let is_within = budget.take(value);
    BUDGET.set(budget);
    if is_within { Ok(()) } else { Err(ExecutionError::function_error(COUNTED, "the evaluation takes too much memory")) }
}

impl Budget {
    /// Looks no further once it is too much.
    fn take(&mut self, value: &dyn Val) -> bool {
        let bytes = match (value.downcast_ref::<CelString<'_>>(), value.downcast_ref::<CelBytes<'_>>()) {
            (Some(text), _) => text.inner().len(),
            (None, Some(bytes)) => bytes.inner().len(),
            (None, None) => 0,
        };
        self.spent = self.spent.saturating_add(bytes).saturating_add(VALUE);
        if self.spent > self.most {
            return false;
        }
        match value.downcast_ref::<CelMap<'_>>() {
            Some(map) => map.inner().iter().all(|(key, value)| self.take(key.inner()) && self.take(value.as_ref())),
            None => value.as_iterable().is_none_or(|list| self.take_all(list)),
        }
    }

    fn take_all(&mut self, list: &dyn Iterable) -> bool {
        let mut items = list.iter();
        while let Some(item) = items.next() {
            if !self.take(item) {
                return false;
            }
        }
        true
    }
}
