//! Work on many things alike, shared among all cores. Knows nothing of what is done.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many are shared; fewer are not worth it.
const WORTH_SHARING: usize = 64;
/// Taken at once by a core: what one is slow with, others need not wait for.
const PART: usize = 32;

/// What `of` makes of each, in the order of `items`. With threads of its own: those of a pool would keep for ever what they once needed.
#[must_use]
pub fn on_all_cores<T: Sync, U: Send>(items: &[T], of: impl Fn(&T) -> U + Sync) -> Vec<U> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    if cores == 1 || items.len() < WORTH_SHARING {
        return items.iter().map(of).collect();
    }
    let parts: Vec<&[T]> = items.chunks(PART).collect();
    let next = AtomicUsize::new(0);
    let make = |part: &[T]| part.iter().map(&of).collect::<Vec<U>>();
    let work = || {
        let places = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        places.map_while(|place| parts.get(place).map(|part| (place, make(part)))).collect::<Vec<_>>()
    };
    let mut made: Vec<Option<Vec<U>>> = std::iter::repeat_with(|| None).take(parts.len()).collect();
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..cores).map(|_| scope.spawn(work)).collect();
        let own = work();
        for (place, part) in own.into_iter().chain(others.into_iter().filter_map(|other| other.join().ok()).flatten()) {
            if let Some(made) = made.get_mut(place) {
                *made = Some(part);
            }
        }
    });
    // What a thread that has died took with it is made here.
    made.into_iter().zip(&parts).flat_map(|(made, part)| made.unwrap_or_else(|| make(part))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_however_many_there_are() {
        for count in [0, 1, WORTH_SHARING - 1, WORTH_SHARING, WORTH_SHARING + PART / 2, 1_000] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(on_all_cores(&items, |item| item * 2), (0..count).map(|item| item * 2).collect::<Vec<_>>());
        }
    }
}
