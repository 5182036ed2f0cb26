//! A map that forgets what was not asked for the longest, bounded by number and weight.

use std::collections::HashMap;
use std::hash::Hash;

#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    entries: HashMap<K, Entry<V>>,
    most: usize,
    heaviest: usize,
    weight: usize,
    clock: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: usize,
    used: u64,
}

impl<K: Hash + Eq + Clone, V> Lru<K, V> {
    pub(crate) fn new(most: usize, heaviest: usize) -> Self {
        Self { entries: HashMap::new(), most, heaviest, weight: 0, clock: 0 }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        self.clock = self.clock.saturating_add(1);
        let entry = self.entries.get_mut(key)?;
        entry.used = self.clock;
        Some(&mut entry.value)
    }

    /// What is put in stays at least until the next is.
    pub(crate) fn insert(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        while !self.entries.is_empty() && (self.entries.len() >= self.most || self.weight.saturating_add(weight) > self.heaviest) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            oldest.iter().for_each(|key| self.remove(key));
        }
        self.clock = self.clock.saturating_add(1);
        self.weight = self.weight.saturating_add(weight);
        self.entries.insert(key, Entry { value, weight, used: self.clock });
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.weight = self.weight.saturating_sub(entry.weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_leaves() {
        let mut lru = Lru::new(2, 100);
        lru.insert("a", 1, 10);
        lru.insert("b", 2, 10);
        assert_eq!(lru.get(&"a"), Some(&mut 1));
        lru.insert("c", 3, 10);
        assert_eq!((lru.get(&"a").copied(), lru.get(&"b").copied(), lru.get(&"c").copied()), (Some(1), None, Some(3)));
        lru.insert("d", 4, 95);
        assert_eq!((lru.entries.len(), lru.weight), (1, 95));
        lru.insert("d", 5, 1000);
        assert_eq!((lru.get(&"d").copied(), lru.weight), (Some(5), 1000));
        lru.insert("e", 6, 1);
        assert_eq!((lru.get(&"d").copied(), lru.weight), (None, 1));
    }
}
