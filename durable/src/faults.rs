//! For tests: stops the world before the n-th change of the disk that this thread makes, as a kill or a full disk does.

use std::cell::Cell;
use std::io;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done any more, not even cleaning up.
    Killed,
    /// Nothing can be written from then on; removing works.
    Full,
}

/// A fault to come, or that came.
#[derive(Clone, Copy)]
struct Planned {
    fault: Fault,
    left: u32,
    struck: bool,
}

thread_local! {
    static PLANNED: Cell<Option<Planned>> = const { Cell::new(None) };
}

pub(crate) fn step() -> io::Result<()> {
    let Some(planned) = PLANNED.get() else { return Ok(()) };
    if let Some(left) = planned.left.checked_sub(1) {
        PLANNED.set(Some(Planned { left, ..planned }));
        return Ok(());
    }
    PLANNED.set(Some(Planned { struck: true, ..planned }));
    Err(match planned.fault {
        Fault::Killed => io::Error::other("killed"),
        Fault::Full => io::ErrorKind::StorageFull.into(),
    })
}

/// Before a change that needs no room.
pub(crate) fn freeing_step() -> io::Result<()> {
    match PLANNED.get() {
        Some(Planned { fault: Fault::Full, left: 0, .. }) => Ok(()),
        _ => step(),
    }
}

/// `work`, with the fault after `steps` changes of the disk; and whether it came to it.
pub fn with<T>(steps: u32, fault: Fault, work: impl FnOnce() -> T) -> (T, bool) {
    PLANNED.set(Some(Planned { fault, left: steps, struck: false }));
    let result = work();
    let struck = PLANNED.replace(None).is_some_and(|planned| planned.struck);
    (result, struck)
}

/// `work` with 0, 1, 2, … steps until it says that the fault was not come to; how many there are.
pub fn everywhere(mut work: impl FnMut(u32) -> bool) -> u32 {
    (0..u32::MAX).find(|steps| !work(*steps)).unwrap_or(u32::MAX)
}
