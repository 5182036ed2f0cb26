//! Work on many things alike, shared among all cores. Knows nothing of what is done.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};

/// So many small things are taken at once by a core; as few are not worth another one.
const PART: NonZero<usize> = NonZero::new(32).unwrap();

/// What `of` makes of each, in the order of `items`; of many, each of which takes microseconds. With threads of its own: those of a pool would
/// keep for ever what they once needed.
///
/// A panic of `of` is one of the caller, wherever it came: there is an answer for each item, or none at all.
pub fn on_all_cores<T: Sync, U: Send>(items: &[T], of: impl Fn(&T) -> U + Sync) -> Vec<U> {
    in_parts(items, PART, of)
}

/// As [`on_all_cores`], of few, each of which takes long.
pub fn each_on_a_core<T: Sync, U: Send>(items: &[T], of: impl Fn(&T) -> U + Sync) -> Vec<U> {
    in_parts(items, NonZero::<usize>::MIN, of)
}

fn in_parts<T: Sync, U: Send>(items: &[T], part: NonZero<usize>, of: impl Fn(&T) -> U + Sync) -> Vec<U> {
    let parts: Vec<&[T]> = items.chunks(part.get()).collect();
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(parts.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let places = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        places.map_while(|place| Some((place, parts.get(place)?.iter().map(&of).collect::<Vec<U>>()))).collect::<Vec<_>>()
    };
    let mut made = thread::scope(|scope| {
        // What there is no thread for, those that are there do.
        let others: Vec<_> = (1..threads).map_while(|_| Builder::new().spawn_scoped(scope, work).ok()).collect();
        let mut made = work();
        for other in others {
            made.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        made
    });
    made.sort_unstable_by_key(|(place, _)| *place);
    made.into_iter().flat_map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn order_is_kept_however_many_there_are() {
        for count in [0, 1, 31, 32, 33, 64, 1_000] {
            let items: Vec<usize> = (0..count).collect();
            let twice: Vec<usize> = (0..count).map(|item| item * 2).collect();
            assert_eq!((on_all_cores(&items, |item| item * 2), each_on_a_core(&items, |item| item * 2)), (twice.clone(), twice));
        }
    }

    /// On the thread of the caller as on any other one.
    #[test]
    fn a_panic_is_never_a_result_that_is_missing() {
        let items: Vec<usize> = (0..1_000).collect();
        for bad in [0, 500, 999] {
            let all = AssertUnwindSafe(|| on_all_cores(&items, |item| if *item == bad { panic!("{bad}") } else { *item }));
            let panic = catch_unwind(all).unwrap_err();
            assert_eq!(panic.downcast_ref::<String>(), Some(&bad.to_string()));
        }
    }

    #[test]
    fn a_panic_of_another_thread_is_one_of_the_caller() {
        if thread::available_parallelism().unwrap().get() == 1 {
            return;
        }
        let (caller, both) = (thread::current().id(), Barrier::new(2));
        let work = AssertUnwindSafe(|| {
            each_on_a_core(&[(), ()], |()| {
                // Neither thread takes both.
                both.wait();
                assert!(thread::current().id() == caller, "of another thread");
            })
        });
        let panic = catch_unwind(work).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"of another thread"));
    }
}
