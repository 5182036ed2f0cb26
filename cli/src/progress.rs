//! How far something is, on standard error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};

use crate::output::{self, PATIENCE};

/// Says how far it is once a second, and nothing at all if all is over before.
#[derive(Debug)]
pub(crate) struct Progress {
    state: Arc<State>,
    /// Ends the thread when it is dropped.
    _going_on: Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    compiled: AtomicBool,
    done: AtomicUsize,
}

impl Progress {
    /// A module is compiled, and that is all.
    pub(crate) fn compiling() -> Self {
        Self::start(0, "")
    }

    /// A module is compiled, and then there are so many `things` to do.
    pub(crate) fn start(all: usize, things: &'static str) -> Self {
        let (going_on, ended) = channel::<()>();
        let state = Arc::new(State::default());
        let seen = Arc::clone(&state);
        std::thread::spawn(move || {
            while ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let done = seen.done.load(Ordering::Relaxed);
                let compiled = seen.compiled.load(Ordering::Relaxed);
                output::progress(&if compiled { format!("{done} of {all} {things}") } else { "compiling the module".to_owned() });
            }
        });
        Self { state, _going_on: going_on }
    }

    pub(crate) fn compiled(&self) {
        self.state.compiled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn done(&self, done: usize) {
        self.state.done.store(done, Ordering::Relaxed);
    }
}
