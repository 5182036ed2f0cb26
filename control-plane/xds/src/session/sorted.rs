use std::sync::Arc;

use crate::resource::Identity;

/// Identities by name that take no more room than they must: of these there is a list for each type of each stream.
#[derive(Debug, Default)]
pub(super) struct Sorted(Vec<Arc<Identity>>);

impl Sorted {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Identity>> {
        let at = self.find(name).ok()?;
        self.0.get(at)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// In the place of what has the same name. Returns where that is.
    pub(super) fn insert(&mut self, entry: Arc<Identity>) -> usize {
        match self.find(&entry.name) {
            Ok(at) => {
                if let Some(known) = self.0.get_mut(at) {
                    *known = entry;
                }
                at
            }
            Err(at) => {
                self.0.insert(at, entry);
                at
            }
        }
    }

    /// As [`Sorted::insert`] for what `place` may be the place of.
    pub(super) fn insert_near(&mut self, place: usize, entry: Arc<Identity>) -> usize {
        match self.0.get_mut(place).filter(|known| known.name == entry.name) {
            Some(known) => {
                *known = entry;
                place
            }
            None => self.insert(entry),
        }
    }

    /// As [`Sorted::get`] for what `place` may be the place of.
    pub(super) fn get_near(&self, place: usize, name: &str) -> Option<(usize, &Arc<Identity>)> {
        if let Some(found) = self.0.get(place).filter(|found| *found.name == *name) {
            return Some((place, found));
        }
        let place = self.find(name).ok()?;
        Some((place, self.0.get(place)?))
    }

    /// Many at once, in any order; of one name the last counts.
    pub(super) fn extend(&mut self, entries: impl IntoIterator<Item = Arc<Identity>>) {
        self.0.extend(entries);
        // Stable: what came last is first of its name once it is turned round.
        self.0.reverse();
        self.0.sort_by(|one, other| one.name.cmp(&other.name));
        self.0.dedup_by(|one, other| one.name == other.name);
        self.shrink();
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Ok(at) = self.find(name) {
            self.0.remove(at);
        }
    }

    /// For looking up many names, each of which comes after the one before.
    pub(super) fn ascending(&self) -> Ascending<'_> {
        Ascending(&self.0)
    }

    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&Arc<str>) -> bool) {
        self.0.retain(|entry| keeps(&entry.name));
        self.shrink();
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().map(|entry| &entry.name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Identity>> {
        self.0.iter()
    }

    /// Gives back what growing has taken in advance, where that is much.
    pub(super) fn shrink(&mut self) {
        if self.0.capacity() > self.0.len().saturating_add(self.0.len() / 8).saturating_add(8) {
            self.0.shrink_to_fit();
        }
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|found| (*found.name).cmp(name))
    }
}

/// See [`Sorted::ascending`]. Where the names are those of the list, one after the other and shared, no text is compared.
#[derive(Debug)]
pub(super) struct Ascending<'a>(&'a [Arc<Identity>]);

impl<'a> Ascending<'a> {
    pub(super) fn get(&mut self, name: &Arc<str>) -> Option<&'a Arc<Identity>> {
        if let Some((first, rest)) = self.0.split_first().filter(|(first, _)| Arc::ptr_eq(&first.name, name)) {
            self.0 = rest;
            return Some(first);
        }
        let at = self.0.partition_point(|entry| entry.name < *name);
        self.0 = self.0.get(at..).unwrap_or_default();
        let (first, rest) = self.0.split_first().filter(|(first, _)| first.name == *name)?;
        self.0 = rest;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, version: i32) -> Arc<Identity> {
        Arc::new(Identity::new(name, version.to_string()))
    }

    #[test]
    fn it_is_in_order_whatever_came_when_and_the_last_counts() {
        let mut sorted = Sorted::default();
        sorted.insert(entry("c", 1));
        sorted.extend([("b", 2), ("c", 3), ("a", 4), ("b", 5)].map(|(name, version)| entry(name, version)));
        let entries = |sorted: &Sorted| sorted.iter().map(|it| format!("{}{}", it.name, it.version)).collect::<String>();
        assert_eq!(entries(&sorted), "a4b5c3");
        sorted.insert(entry("b", 6));
        sorted.remove("a");
        sorted.retain(|name| &**name != "c");
        assert_eq!((entries(&sorted).as_str(), sorted.len(), sorted.contains("b"), sorted.contains("a")), ("b6", 1, true, false));
        assert_eq!(sorted.get("b"), Some(&entry("b", 6)));
    }

    #[test]
    fn many_are_looked_up_in_their_order() {
        let mut sorted = Sorted::default();
        sorted.extend(["b", "d", "e", "h"].map(|name| entry(name, 1)));
        let found = |names: &[Arc<str>]| {
            let mut ascending = sorted.ascending();
            names.iter().map(|name| ascending.get(name).map_or("-", |found| &*found.name)).collect::<String>()
        };
        let own: Vec<Arc<str>> = sorted.keys().map(Arc::clone).collect();
        assert_eq!(found(&own), "bdeh");
        assert_eq!(found(&["a", "b", "c", "e", "f", "g", "h", "i"].map(Arc::from)), "-b-e--h-");
        assert_eq!(found(&[Arc::clone(&own[1]), "e".into(), Arc::clone(&own[3])]), "deh");
    }
}
