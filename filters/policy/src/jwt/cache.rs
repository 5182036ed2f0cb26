//! Tokens that were verified before: the same bytes by the same rule need no second signature check.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::claims::Claims;
use super::token::Header;

/// What a cache may hold, in bytes of tokens and claims.
const LARGEST: usize = 4 * 1024 * 1024;
/// What an entry takes beside the token and the claims: its place in the order, which may be half empty, that in the map, and what the
/// allocator adds.
const OVERHEAD: usize = 2 * size_of::<Option<Entry>>() + 96;
/// A token without `exp` is checked again after this time, in seconds.
const WITHOUT_EXPIRY: f64 = 600.0;
/// So many headers of tokens are known again: one for each key of a few issuers.
const MOST_HEADERS: usize = 4;
/// Longer headers are read each time.
const LONGEST_HEADER: usize = 1024;

/// Verified tokens, oldest out first. Found by the whole token and the rule, so that no two are ever confused. A new policy gets a new
/// cache: no entry outlives the key that verified it.
#[derive(Debug, Default)]
pub struct TokenCache {
    /// In the order in which they came. What was taken out of the middle leaves its place empty until it is the first.
    entries: VecDeque<Option<Entry>>,
    /// The number of the first of them.
    first: u64,
    /// The numbers of entries. Of two with one key the older is forgotten.
    places: FxHashMap<u64, u64>,
    bytes: usize,
    /// Those of tokens that were verified, as they are written.
    headers: Vec<(Box<[u8]>, Arc<Header>)>,
    /// Which of them is the next to go.
    oldest_header: usize,
    counts: TokenCounts,
}

/// The end of a token, which is its signature: nothing in it repeats, and only who has a key could make two alike.
fn key(rule: usize, token: &[u8]) -> u64 {
    let end = match token.last_chunk() {
        Some(end) => u64::from_le_bytes(*end),
        None => token.iter().fold(0, |end, byte| end << 8 | u64::from(*byte)),
    };
    end.wrapping_add(u64::try_from(rule).unwrap_or_default())
}

/// How often tokens were found in a [`TokenCache`], and how often not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenCounts {
    pub hits: u64,
    pub misses: u64,
}

#[derive(Debug)]
struct Entry {
    token: Box<[u8]>,
    rule: usize,
    claims: Arc<Claims>,
    expires: f64,
}

impl Entry {
    /// In bytes, without [`OVERHEAD`].
    fn weight(&self) -> usize {
        self.token.len().saturating_add(self.claims.weight())
    }
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
        let number = *self.places.get(&key(rule, token))?;
        let entry = self.entries.get(self.place(number)?)?.as_ref()?;
        if entry.rule != rule || *entry.token != *token {
            return None;
        }
        if entry.expires >= now {
            return Some((Arc::clone(&entry.claims), entry.expires));
        }
        self.remove(number);
        None
    }

    /// `expires` is the time after which the token is refused. Gives back when it is to be looked at again.
    #[inline(never)]
    pub(super) fn insert(&mut self, rule: usize, token: &[u8], claims: Arc<Claims>, expires: Option<f64>, now: f64) -> f64 {
        let expires = expires.unwrap_or(now + WITHOUT_EXPIRY);
        let entry = Entry { token: token.into(), rule, claims, expires };
        self.bytes = self.bytes.saturating_add(entry.weight()).saturating_add(OVERHEAD);
        let number = self.first.saturating_add(u64::try_from(self.entries.len()).unwrap_or_default());
        self.entries.push_back(Some(entry));
        if let Some(older) = self.places.insert(key(rule, token), number) {
            self.remove(older);
        }
        while self.bytes > LARGEST && !self.entries.is_empty() {
            self.remove(self.first);
        }
        expires
    }

    fn place(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }

    #[inline(never)]
    fn remove(&mut self, number: u64) {
        let place = self.place(number);
        if let Some(entry) = place.and_then(|place| self.entries.get_mut(place)).and_then(Option::take) {
            self.bytes = self.bytes.saturating_sub(entry.weight());
            let key = key(entry.rule, &entry.token);
            if self.places.get(&key) == Some(&number) {
                self.places.remove(&key);
            }
        }
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.first = self.first.saturating_add(1);
            self.bytes = self.bytes.saturating_sub(OVERHEAD);
        }
    }

    /// The header of a verified token that is written so.
    pub(super) fn header(&self, written: &[u8]) -> Option<Arc<Header>> {
        let (_, header) = self.headers.iter().find(|(known, _)| **known == *written)?;
        Some(Arc::clone(header))
    }

    /// Of a token that was verified: what others send is not worth knowing again.
    #[inline(never)]
    pub(super) fn keep_header(&mut self, written: &[u8], header: &Arc<Header>) {
        if written.len() > LONGEST_HEADER || self.headers.iter().any(|(_, known)| Arc::ptr_eq(known, header)) {
            return;
        }
        let kept = (written.into(), Arc::clone(header));
        match self.headers.get_mut(self.oldest_header) {
            Some(oldest) => *oldest = kept,
            None => self.headers.push(kept),
        }
        self.oldest_header = self.oldest_header.saturating_add(1) % MOST_HEADERS;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(payload: serde_json::Value) -> Arc<Claims> {
        Arc::new(Claims::from_json(&payload, crate::jwt::claims::space_delimited(&[])))
    }

    #[test]
    fn an_entry_is_found_by_its_token_and_rule_until_it_expires() {
        let mut cache = TokenCache::default();
        let found = claims(json!({"a": 1}));
        cache.insert(0, b"token", Arc::clone(&found), Some(100.0), 10.0);
        assert_eq!(cache.get(0, b"token", 100.0), Some((found, 100.0)));
        assert_eq!((cache.get(1, b"token", 10.0), cache.get(0, b"Token", 10.0), cache.get(0, b"toke", 10.0)), (None, None, None));
        assert_eq!(cache.get(0, b"token", 101.0), None);
        assert_eq!((cache.bytes, cache.places.len(), cache.entries.len()), (0, 0, 0));
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
        // Keys of more than eight bytes, as tokens have: of shorter ones the rule's number makes others.
        let token = |index: u32| [b"token...", index.to_le_bytes().as_slice(), b"0000"].concat();
        for index in 0..10_000 {
            cache.insert(0, &token(index), Arc::clone(&one), None, 0.0);
            assert!(cache.bytes <= LARGEST, "{index}");
        }
        assert!(cache.get(0, &token(0), 0.0).is_none());
        assert!(cache.get(0, &token(9_999), 0.0).is_some());
        assert_eq!(cache.places.len(), cache.entries.len());
        let bytes: usize = cache.entries.iter().flatten().map(|entry| entry.weight() + OVERHEAD).sum();
        assert_eq!(bytes, cache.bytes);
        // What alone is too large is not kept either.
        cache.insert(0, b"huge", claims(json!({"a": "x".repeat(LARGEST)})), None, 0.0);
        assert_eq!((cache.bytes, cache.entries.len(), cache.places.len()), (0, 0, 0));
    }

    #[test]
    fn empty_places_are_counted_until_they_are_gone() {
        let mut cache = TokenCache::default();
        cache.insert(0, b"stays", claims(json!({})), Some(1e9), 0.0);
        for index in 0_u32..50_000 {
            let token = index.to_le_bytes();
            cache.insert(0, &token, claims(json!({})), Some(1.0), 0.0);
            assert_eq!(cache.get(0, &token, 2.0), None);
        }
        assert!(cache.bytes <= LARGEST && cache.entries.len() * OVERHEAD <= LARGEST, "{} of {}", cache.entries.len(), cache.bytes);
    }

    #[test]
    fn tokens_with_one_end_are_told_apart() {
        let mut cache = TokenCache::default();
        let (one, other) = (claims(json!({"a": 1})), claims(json!({"a": 2})));
        cache.insert(0, b"one.12345678", Arc::clone(&one), None, 0.0);
        assert_eq!(cache.get(0, b"two.12345678", 0.0), None);
        cache.insert(0, b"two.12345678", Arc::clone(&other), None, 0.0);
        assert_eq!(cache.get(0, b"two.12345678", 0.0).map(|(claims, _)| claims), Some(other));
        assert_eq!(cache.get(0, b"one.12345678", 0.0), None, "verified again, if it comes again");
    }

    #[test]
    fn few_headers_are_known() {
        let mut cache = TokenCache::default();
        let header = |id: &str| Arc::new(Header { algorithm: crate::Algorithm::Es256, key_id: Some(id.to_owned()) });
        for number in 0..10 {
            let (written, header) = (format!("h{number}"), header(&number.to_string()));
            cache.keep_header(written.as_bytes(), &header);
            cache.keep_header(written.as_bytes(), &header);
            assert_eq!(cache.header(written.as_bytes()), Some(header));
        }
        assert_eq!((cache.header(b"h0"), cache.header(b"h9x"), cache.headers.len()), (None, None, MOST_HEADERS));
        cache.keep_header(&[b'h'; LONGEST_HEADER + 1], &header("long"));
        assert_eq!(cache.header(&[b'h'; LONGEST_HEADER + 1]), None);
    }

    #[test]
    fn the_same_token_again_is_counted_once() {
        let mut cache = TokenCache::default();
        cache.insert(0, b"token", claims(json!({})), None, 0.0);
        let bytes = cache.bytes;
        cache.insert(0, b"token", claims(json!({})), None, 0.0);
        assert_eq!((cache.bytes, cache.entries.len()), (bytes, 1));
    }
}
