//! Where `authz` leaves the record of a request that it let pass, and `access-log` finds it: in the memory of the VM that both run in. The other
//! way, through the proxy's filter state, costs two host calls that copy, more than the decision.
//!
//! What holds a record to its own request is when it can be found: from the end of `authz`'s `on_log` to its `on_delete` of the same stream,
//! or until it is taken. Envoy ends a stream in one go (`ConnectionManagerImpl::doDeferredStreamDestroy`: the filters' `on_log`, the access
//! logs, the filters' `on_delete`) and does nothing about another stream meanwhile; whoever logs outside of it finds nothing, never another
//! stream's record. Nothing is found either where somebody else logs, so that it is not for what must never be lost: denials.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

thread_local! {
    static READERS: Cell<usize> = const { Cell::new(0) };
    static SHOWN: RefCell<Option<Rc<[u8]>>> = const { RefCell::new(None) };
}

/// Somebody in this VM who logs the requests that are decided here. While nobody is there, nothing is to be left.
#[derive(Debug)]
pub struct Reader(());

impl Reader {
    #[must_use]
    pub fn new() -> Self {
        READERS.set(READERS.get().saturating_add(1));
        Self(())
    }

    /// The record of the stream that is ending; once.
    #[must_use]
    pub fn take(&self) -> Option<Rc<[u8]>> {
        SHOWN.take()
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        READERS.set(READERS.get().saturating_sub(1));
    }
}

/// Whether there is a [`Reader`].
#[must_use]
pub fn is_read() -> bool {
    READERS.get() > 0
}

/// What one stream leaves. To be dropped in the stream's `on_delete`.
#[derive(Debug, Default)]
pub struct Left(Option<Rc<[u8]>>);

impl Left {
    /// To be found once the stream ends.
    pub fn keep(&mut self, record: Rc<[u8]>) {
        self.0 = Some(record);
    }

    /// The stream's `on_log`: what it left can be found from now on, and nothing else.
    pub fn show(&mut self) {
        SHOWN.set(self.0.take());
    }
}

impl Drop for Left {
    /// Whatever is still to be found now is of this stream, or too late.
    fn drop(&mut self) {
        SHOWN.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(record: &[u8]) -> Left {
        let mut left = Left::default();
        left.keep(record.into());
        left
    }

    #[test]
    fn a_record_is_found_once_between_the_log_and_the_end_of_its_stream() {
        let reader = Reader::new();
        let (mut one, mut other) = (left(b"one"), left(b"other"));
        assert_eq!(reader.take(), None, "neither has ended");
        one.show();
        assert_eq!(reader.take().as_deref(), Some(&b"one"[..]));
        assert_eq!(reader.take(), None);
        drop(one);
        other.show();
        drop(other);
        assert_eq!(reader.take(), None, "nobody logged it in time");
    }

    #[test]
    fn a_stream_that_leaves_nothing_hides_what_was_there() {
        let reader = Reader::new();
        let mut one = left(b"one");
        one.show();
        Left::default().show();
        assert_eq!(reader.take(), None);
        one.show();
        assert_eq!(reader.take(), None, "what was shown is not shown again");
    }

    #[test]
    fn there_are_readers_until_the_last_is_gone() {
        assert!(!is_read());
        let (one, other) = (Reader::new(), Reader::default());
        drop(one);
        assert!(is_read());
        drop(other);
        assert!(!is_read());
    }
}
