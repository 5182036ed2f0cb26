//! Tokens that were verified before: the same bytes by the same rule need no second signature check.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::claims::Claims;

/// What a cache may hold, in bytes of tokens and claims.
const LARGEST: usize = 4 * 1024 * 1024;
/// What an entry takes beside the token and the claims.
const OVERHEAD: usize = 256;
/// A token without `exp` is checked again after this time, in seconds.
const WITHOUT_EXPIRY: f64 = 600.0;

/// Verified tokens, oldest out first. Keyed by the whole token and the rule, so that no two are ever confused. A new policy gets a new
/// cache: no entry outlives the key that verified it.
#[derive(Debug, Default)]
pub struct TokenCache {
    entries: HashMap<Arc<[u8]>, Vec<Entry>, BuildHasherDefault<OfTheEnd>>,
    /// In the order in which they came: the token, and the index of the rule that took it.
    order: VecDeque<(u64, Arc<[u8]>, usize)>,
    next: u64,
    bytes: usize,
    counts: TokenCounts,
}

/// Hashes the end of a token, which is its signature: nothing in it repeats, and only who has a key could make two alike. Tokens are compared
/// as a whole all the same.
#[derive(Default)]
struct OfTheEnd(u64);

impl Hasher for OfTheEnd {
    fn write(&mut self, bytes: &[u8]) {
        let end = match bytes.last_chunk() {
            Some(end) => u64::from_le_bytes(*end),
            None => bytes.iter().fold(0, |end, byte| end << 8 | u64::from(*byte)),
        };
        // That of rustc-hash.
        self.0 = self.0.wrapping_add(end).wrapping_mul(0xf135_7aea_2e62_a9c5);
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}

/// How often tokens were found in a [`TokenCache`], and how often not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenCounts {
    pub hits: u64,
    pub misses: u64,
}

#[derive(Debug)]
struct Entry {
    rule: usize,
    claims: Arc<Claims>,
    expires: f64,
    order: u64,
    bytes: usize,
}

impl TokenCache {
    /// Counts since the last time.
    pub fn take_counts(&mut self) -> TokenCounts {
        std::mem::take(&mut self.counts)
    }

    /// The claims, when the token was verified before and has not expired by `now`; and when it is to be looked at again.
    pub(super) fn get(&mut self, rule: usize, token: &[u8], now: f64) -> Option<(Arc<Claims>, f64)> {
        let found = self.find(rule, token, now);
        let count = if found.is_some() { &mut self.counts.hits } else { &mut self.counts.misses };
        *count = count.saturating_add(1);
        found
    }

    fn find(&mut self, rule: usize, token: &[u8], now: f64) -> Option<(Arc<Claims>, f64)> {
        let entry = self.entries.get(token)?.iter().find(|entry| entry.rule == rule)?;
        if entry.expires >= now {
            return Some((Arc::clone(&entry.claims), entry.expires));
        }
        self.remove(rule, token);
        None
    }

    /// `expires` is the time after which the token is refused. Gives back when it is to be looked at again.
    #[inline(never)]
    pub(super) fn insert(&mut self, rule: usize, token: &[u8], claims: Arc<Claims>, expires: Option<f64>, now: f64) -> f64 {
        self.remove(rule, token);
        let key: Arc<[u8]> = self.entries.get_key_value(token).map_or_else(|| token.into(), |(key, _)| Arc::clone(key));
        let bytes = token.len().saturating_add(claims.weight()).saturating_add(OVERHEAD);
        self.bytes = self.bytes.saturating_add(bytes);
        let expires = expires.unwrap_or(now + WITHOUT_EXPIRY);
        let entry = Entry { rule, claims, expires, order: self.next, bytes };
        self.order.push_back((self.next, Arc::clone(&key), rule));
        self.entries.entry(key).or_default().push(entry);
        self.next = self.next.saturating_add(1);
        while self.bytes > LARGEST {
            let Some((_, token, rule)) = self.order.pop_front() else { break };
            self.remove(rule, &token);
        }
        expires
    }

    #[inline(never)]
    fn remove(&mut self, rule: usize, token: &[u8]) {
        let Some(entries) = self.entries.get_mut(token) else { return };
        if let Some(index) = entries.iter().position(|entry| entry.rule == rule) {
            let entry = entries.swap_remove(index);
            // Not there when it is the oldest, which was taken away already.
            if let Ok(place) = self.order.binary_search_by_key(&entry.order, |(order, ..)| *order) {
                self.order.remove(place);
            }
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
        if entries.is_empty() {
            self.entries.remove(token);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(payload: serde_json::Value) -> Arc<Claims> {
        let serde_json::Value::Object(payload) = payload else { panic!("not an object") };
        Arc::new(Claims::new("i".to_owned(), None, Arc::new(payload), crate::jwt::claims::space_delimited(&[])))
    }

    #[test]
    fn an_entry_is_found_by_its_token_and_rule_until_it_expires() {
        let mut cache = TokenCache::default();
        let found = claims(json!({"a": 1}));
        cache.insert(0, b"token", Arc::clone(&found), Some(100.0), 10.0);
        assert_eq!(cache.get(0, b"token", 100.0), Some((found, 100.0)));
        assert_eq!((cache.get(1, b"token", 10.0), cache.get(0, b"Token", 10.0), cache.get(0, b"toke", 10.0)), (None, None, None));
        assert_eq!(cache.get(0, b"token", 101.0), None);
        assert_eq!((cache.bytes, cache.order.len(), cache.entries.len()), (0, 0, 0));
    }

    #[test]
    fn a_token_without_expiry_is_checked_again() {
        let mut cache = TokenCache::default();
        cache.insert(0, b"token", claims(json!({})), None, 10.0);
        assert!(cache.get(0, b"token", 610.0).is_some());
        assert!(cache.get(0, b"token", 611.0).is_none());
    }

    #[test]
    fn two_rules_may_take_one_token() {
        let mut cache = TokenCache::default();
        cache.insert(0, b"token", claims(json!({"a": 1})), None, 0.0);
        cache.insert(1, b"token", claims(json!({"b": 1})), Some(5.0), 0.0);
        assert_ne!(cache.get(0, b"token", 0.0), cache.get(1, b"token", 0.0));
        assert!(cache.get(1, b"token", 6.0).is_none());
        assert!(cache.get(0, b"token", 6.0).is_some());
    }

    #[test]
    fn the_oldest_leave_when_it_is_full() {
        let mut cache = TokenCache::default();
        let one = claims(json!({"a": "x".repeat(1000)}));
        for index in 0_u32..10_000 {
            cache.insert(0, &index.to_le_bytes(), Arc::clone(&one), None, 0.0);
            assert!(cache.bytes <= LARGEST, "{index}");
        }
        assert!(cache.get(0, &0_u32.to_le_bytes(), 0.0).is_none());
        assert!(cache.get(0, &9_999_u32.to_le_bytes(), 0.0).is_some());
        assert_eq!(cache.order.len(), cache.entries.len());
        let bytes: usize = cache.entries.values().flatten().map(|entry| entry.bytes).sum();
        assert_eq!(bytes, cache.bytes);
        // What alone is too large is not kept either.
        cache.insert(0, b"huge", claims(json!({"a": "x".repeat(LARGEST)})), None, 0.0);
        assert_eq!((cache.bytes, cache.entries.len()), (0, 0));
    }

    #[test]
    fn the_same_token_again_is_counted_once() {
        let mut cache = TokenCache::default();
        cache.insert(0, b"token", claims(json!({})), None, 0.0);
        let bytes = cache.bytes;
        cache.insert(0, b"token", claims(json!({})), None, 0.0);
        assert_eq!((cache.bytes, cache.order.len()), (bytes, 1));
    }
}
