//! The streams of this worker that are open, so that those of a peer that comes to be denied are ended, not only its next ones. Streams keep
//! the policy with which they began; here is what holds for all of them, whichever plugin of the VM they belong to: who is denied is the
//! same for all of a proxy.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use meshwright_policy::{Peer, Reason};
use proxy_wasm::hostcalls;

use crate::connection;
use crate::engine::Engine;
use crate::host::{self, Host};

thread_local! {
    static OPEN: RefCell<Slots> = RefCell::default();
    static NEWEST: RefCell<Option<Rc<Engine>>> = const { RefCell::new(None) };
}

/// What a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    Request,
    Connection,
}

/// A stream is open for as long as it has this. Costs a push and a pop: most streams end before anybody asks for them.
#[derive(Debug)]
pub(crate) struct Ticket(usize);

impl Ticket {
    pub(crate) fn of(context_id: u32, carries: Carries) -> Self {
        Self(OPEN.with_borrow_mut(|open| open.take(Open { context_id, carries, is_ended: false })))
    }

    /// Whether [`sweep`] has ended it.
    pub(crate) fn was_ended(&self) -> bool {
        OPEN.with_borrow(|open| open.places.get(self.0).is_some_and(|open| open.as_ref().is_some_and(|open| open.is_ended)))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        OPEN.with_borrow_mut(|open| open.free(self.0));
    }
}

/// Why the newest list of this VM refuses a peer that an older one may have let in.
pub(crate) fn denies(peer: &Peer) -> Option<Reason> {
    NEWEST.with_borrow(|newest| newest.as_ref().and_then(|engine| engine.policy().denies(peer)))
}

/// Whose list holds from now on. True when it may deny somebody who is connected.
pub(crate) fn renew(engine: &Rc<Engine>) -> bool {
    let denies = engine.policy().denies_peers();
    NEWEST.set(Some(Rc::clone(engine)));
    denies
}

/// Ends every open stream of a denied peer. Only in a callback of a root context, and as its last act: the host is left with another context.
pub(crate) fn sweep(engine: &Engine) {
    // What is ended may be dropped at once, and gives its place back.
    for (at, Open { context_id, carries, .. }) in OPEN.with_borrow(Slots::taken) {
        // An error: it has ended already.
        if hostcalls::set_effective_context(context_id).is_err() {
            continue;
        }
        let Some(peer) = connection::peer_of_open(&Host) else { continue };
        let Some(reason) = engine.policy().denies(&peer) else { continue };
        host::record(&engine.refused_peer(reason, peer));
        OPEN.with_borrow_mut(|open| open.end(at));
        // Never an error: the host only notes it.
        let _ = match carries {
            Carries::Request => hostcalls::reset_http_request(),
            Carries::Connection => hostcalls::close_downstream(),
        };
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    context_id: u32,
    carries: Carries,
    is_ended: bool,
}

/// Places that are taken and given back in any order.
#[derive(Debug, Default)]
struct Slots {
    places: Vec<Option<Open>>,
    free: Vec<usize>,
}

impl Slots {
    fn take(&mut self, stream: Open) -> usize {
        let at = self.free.pop();
        if let Some((at, place)) = at.and_then(|at| Some((at, self.places.get_mut(at)?))) {
            *place = Some(stream);
            return at;
        }
        self.places.push(Some(stream));
        self.places.len().saturating_sub(1)
    }

    fn free(&mut self, at: usize) {
        if let Some(place) = self.places.get_mut(at)
            && place.take().is_some()
        {
            self.free.push(at);
        }
    }

    fn end(&mut self, at: usize) {
        if let Some(Some(open)) = self.places.get_mut(at) {
            open.is_ended = true;
        }
    }

    /// Each with its place.
    fn taken(&self) -> Vec<(usize, Open)> {
        self.places.iter().enumerate().filter_map(|(at, open)| Some((at, (*open)?))).collect()
    }
}

/// Whether what is open is to be looked through.
#[derive(Debug, Default)]
pub(crate) struct Due(Cell<bool>);

impl Due {
    pub(crate) fn set(&self) {
        self.0.set(true);
    }

    /// True once.
    pub(crate) fn take(&self) -> bool {
        self.0.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back_and_taken_again() {
        let mut slots = Slots::default();
        let open = |context_id| Open { context_id, carries: Carries::Request, is_ended: false };
        let at: Vec<usize> = (1..=4).map(|id| slots.take(open(id))).collect();
        slots.free(at[1]);
        slots.free(at[1]);
        slots.free(at[3]);
        slots.free(99);
        assert_eq!(slots.taken().iter().map(|(_, open)| open.context_id).collect::<Vec<_>>(), [1, 3]);
        for id in 5..=7 {
            slots.take(open(id));
        }
        let mut open: Vec<u32> = slots.taken().iter().map(|(_, open)| open.context_id).collect();
        open.sort_unstable();
        assert_eq!((open, slots.places.len()), (vec![1, 3, 5, 6, 7], 5));
    }

    #[test]
    fn a_stream_is_open_for_as_long_as_it_has_its_ticket() {
        let open = || OPEN.with_borrow(|open| open.taken().len());
        let tickets = [Ticket::of(1, Carries::Request), Ticket::of(2, Carries::Connection)];
        assert_eq!(open(), 2);
        OPEN.with_borrow_mut(|open| open.end(tickets[1].0));
        assert_eq!(tickets.each_ref().map(Ticket::was_ended), [false, true]);
        drop(tickets);
        assert!(!Ticket::of(3, Carries::Request).was_ended(), "a new one in its place was not");
        assert_eq!(open(), 0);
    }
}
