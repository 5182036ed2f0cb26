//! Tokens that were verified before: the same bytes by the same rule need no second signature check.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::claims::Claims;

/// What a cache may hold, in bytes of tokens and claims.
const LARGEST: usize = 4 * 1024 * 1024;
/// The claims of a token take some times its length when parsed.
const PARSED: usize = 4;
/// A token without `exp` is checked again after this time, in seconds.
const WITHOUT_EXPIRY: f64 = 600.0;

/// Verified tokens, oldest out first. Keyed by the rule and the whole token, so that no two are ever confused. A new policy gets a new
/// cache: no entry outlives the key that verified it.
#[derive(Debug, Default)]
pub struct TokenCache {
    entries: HashMap<Key, Entry>,
    /// In the order in which they came.
    order: BTreeMap<u64, Key>,
    next: u64,
    bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    rule: usize,
    token: Arc<[u8]>,
}

#[derive(Debug)]
struct Entry {
    claims: Arc<Claims>,
    expires: f64,
    order: u64,
}

impl TokenCache {
    /// The claims, when the token was verified before and has not expired by `now`.
    pub(super) fn get(&mut self, rule: usize, token: &[u8], now: f64) -> Option<Arc<Claims>> {
        let key = Key { rule, token: token.into() };
        let entry = self.entries.get(&key)?;
        if entry.expires >= now {
            return Some(Arc::clone(&entry.claims));
        }
        self.remove(&key);
        None
    }

    /// `expires` is the time after which the token is refused.
    pub(super) fn insert(&mut self, rule: usize, token: &[u8], claims: Arc<Claims>, expires: Option<f64>, now: f64) {
        let key = Key { rule, token: token.into() };
        self.remove(&key);
        self.bytes = self.bytes.saturating_add(cost(&key));
        let entry = Entry { claims, expires: expires.unwrap_or(now + WITHOUT_EXPIRY), order: self.next };
        self.order.insert(self.next, key.clone());
        self.entries.insert(key, entry);
        self.next = self.next.saturating_add(1);
        while self.bytes > LARGEST {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.order);
            self.bytes = self.bytes.saturating_sub(cost(key));
        }
    }
}

fn cost(key: &Key) -> usize {
    key.token.len().saturating_mul(PARSED).saturating_add(256)
}
