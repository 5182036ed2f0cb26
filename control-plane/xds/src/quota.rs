//! What all streams of one client may ask for together: who has opened as many as one may gets no further by opening one more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::Limits;
use crate::rate::Rate;

/// Why a stream is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exceeded {
    #[error("`{client}` has {limit} streams, more are not allowed")]
    Streams { client: Arc<str>, limit: usize },
    #[error("the streams of `{client}` subscribe to {found} names together, at most {limit} are allowed")]
    Names { client: Arc<str>, found: usize, limit: usize },
}

/// The clients that have streams.
#[derive(Debug)]
pub(crate) struct Quotas {
    limits: Limits,
    clients: Mutex<HashMap<Arc<str>, Arc<Client>>>,
}

#[derive(Debug)]
struct Client {
    since: Instant,
    used: Mutex<Used>,
}

#[derive(Debug)]
struct Used {
    streams: usize,
    names: usize,
    rate: Rate,
}

impl Quotas {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, clients: Mutex::default() })
    }

    /// A stream of a client, by its name.
    pub(crate) fn open(self: &Arc<Self>, name: &str) -> Result<Share, Exceeded> {
        let limits = &self.limits;
        let mut clients = locked(&self.clients);
        let (name, client) = match clients.get_key_value(name) {
            Some((name, client)) => (Arc::clone(name), Arc::clone(client)),
            None => (name.into(), Arc::new(Client::new(limits))),
        };
        {
            let mut used = locked(&client.used);
            if used.streams >= limits.client_streams {
                return Err(Exceeded::Streams { client: name, limit: limits.client_streams });
            }
            used.streams = used.streams.saturating_add(1);
        }
        clients.insert(Arc::clone(&name), Arc::clone(&client));
        Ok(Share { quotas: Arc::clone(self), name, client, names: 0 })
    }
}

impl Client {
    fn new(limits: &Limits) -> Self {
        let rate = Rate::new(limits.client_burst, limits.client_interval);
        Self { since: Instant::now(), used: Mutex::new(Used { streams: 0, names: 0, rate }) }
    }
}

/// One stream's part of what its client has; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    quotas: Arc<Quotas>,
    name: Arc<str>,
    client: Arc<Client>,
    names: usize,
}

impl Share {
    /// How long the next request has to wait.
    pub(crate) fn wait(&self) -> Duration {
        locked(&self.client.used).rate.wait(self.client.since.elapsed())
    }

    /// The stream subscribes to so many names now.
    pub(crate) fn hold(&mut self, names: usize) -> Result<(), Exceeded> {
        if names == self.names {
            return Ok(());
        }
        let limit = self.quotas.limits.client_names;
        let mut used = locked(&self.client.used);
        used.names = used.names.saturating_sub(self.names).saturating_add(names);
        self.names = names;
        let found = used.names;
        if found > limit { Err(Exceeded::Names { client: Arc::clone(&self.name), found, limit }) } else { Ok(()) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut clients = locked(&self.quotas.clients);
        let mut used = locked(&self.client.used);
        used.names = used.names.saturating_sub(self.names);
        used.streams = used.streams.saturating_sub(1);
        if used.streams == 0 {
            clients.remove(&self.name);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Numbers are right after every step, so that a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas() -> Arc<Quotas> {
        let interval = Duration::from_secs(3600);
        Quotas::new(Limits { client_streams: 2, client_names: 10, client_burst: 3, client_interval: interval, ..Limits::default() })
    }

    #[test]
    fn streams_are_counted_for_each_client_and_given_back() {
        let quotas = quotas();
        let (one, _two) = (quotas.open("a").unwrap(), quotas.open("a").unwrap());
        assert_eq!(quotas.open("a").unwrap_err().to_string(), "`a` has 2 streams, more are not allowed");
        let other = quotas.open("b").unwrap();
        drop(one);
        let again = quotas.open("a").unwrap();
        drop((again, other));
        assert_eq!(locked(&quotas.clients).len(), 1, "who has no stream is forgotten");
    }

    #[test]
    fn names_of_all_streams_count_together() {
        let quotas = quotas();
        let (mut one, mut two) = (quotas.open("a").unwrap(), quotas.open("a").unwrap());
        assert_eq!((one.hold(6), two.hold(4)), (Ok(()), Ok(())));
        let error = two.hold(5).unwrap_err();
        assert_eq!(error.to_string(), "the streams of `a` subscribe to 11 names together, at most 10 are allowed");
        assert_eq!(quotas.open("b").unwrap().hold(10), Ok(()));
        drop(two);
        assert_eq!(one.hold(10), Ok(()));
    }

    #[test]
    fn a_new_stream_is_no_new_burst() {
        let quotas = quotas();
        let (one, two) = (quotas.open("a").unwrap(), quotas.open("a").unwrap());
        assert_eq!([one.wait(), two.wait(), one.wait()], [Duration::ZERO; 3]);
        assert!(two.wait() > Duration::from_secs(3000), "the fourth of both together");
        assert_eq!(quotas.open("b").unwrap().wait(), Duration::ZERO);
    }
}
