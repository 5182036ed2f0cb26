//! For the tests: stops the world before the n-th change of the disk, as a kill or a full disk does.

use std::cell::Cell;
use std::io;

thread_local! {
    static LEFT: Cell<Option<(u32, Fault)>> = const { Cell::new(None) };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is done any more, not even cleaning up.
    Killed,
    /// Every write fails, for as long as it lasts; removing works.
    Full,
}

pub(crate) fn step() -> io::Result<()> {
    LEFT.with(|left| match left.get() {
        None => Ok(()),
        Some((0, Fault::Killed)) => Err(io::Error::other("killed")),
        Some((0, Fault::Full)) => Err(io::ErrorKind::StorageFull.into()),
        Some((n, fault)) => {
            left.set(Some((n - 1, fault)));
            Ok(())
        }
    })
}

/// `work`, with the fault after `steps` changes of the disk; and whether it came to it.
pub(crate) fn with<T>(steps: u32, fault: Fault, work: impl FnOnce() -> T) -> (T, bool) {
    LEFT.set(Some((steps, fault)));
    let result = work();
    let struck = LEFT.replace(None).is_some_and(|(left, _)| left == 0);
    (result, struck)
}
