use std::cmp::Ordering;
use std::sync::Arc;

use crate::resource::Identity;

mod shared;

use shared::Part;
pub use shared::SharedLists;

/// The most that is in one part.
const MOST: usize = 256;

/// Identities by name: of these there is a list for each type of each stream. It is cut into parts at names that end one, wherever they stand,
/// so that lists that are alike have the same parts; and of each part there is one, which all streams share.
#[derive(Debug)]
pub(super) struct Sorted {
    shared: SharedLists,
    parts: Vec<Part>,
    len: usize,
}

/// A part, and a place in it.
type Place = (usize, usize);

impl Sorted {
    pub(super) fn new(shared: &SharedLists) -> Self {
        Self { shared: shared.clone(), parts: Vec::new(), len: 0 }
    }

    /// None of these; shared with the same.
    pub(super) fn emptied(&self) -> Self {
        Self::new(&self.shared)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Identity>> {
        self.at(self.find(name).ok()?)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// In the place of what has the same name. Returns where that is.
    pub(super) fn insert(&mut self, entry: Arc<Identity>) -> usize {
        match self.find(&entry.name) {
            Ok(place) => {
                self.replace(place, &entry);
                packed(place)
            }
            Err((part, at)) => {
                self.change(part, |entries| entries.insert(at.min(entries.len()), entry));
                packed((part, at))
            }
        }
    }

    /// As [`Sorted::insert`] for what `place` may be the place of.
    pub(super) fn insert_near(&mut self, place: usize, entry: Arc<Identity>) -> usize {
        if self.at(unpacked(place)).is_some_and(|known| known.name == entry.name) {
            self.replace(unpacked(place), &entry);
            return place;
        }
        self.insert(entry)
    }

    /// As [`Sorted::get`] for what `place` may be the place of.
    pub(super) fn get_near(&self, place: usize, name: &str) -> Option<(usize, &Arc<Identity>)> {
        if let Some(found) = self.at(unpacked(place)).filter(|found| *found.name == *name) {
            return Some((place, found));
        }
        let place = self.find(name).ok()?;
        Some((packed(place), self.at(place)?))
    }

    /// Many at once, in any order; of one name the last counts.
    pub(super) fn extend(&mut self, entries: impl IntoIterator<Item = Arc<Identity>>) {
        let new: Vec<Arc<Identity>> = entries.into_iter().collect();
        // Each changes two parts; and of a list that is known already most is as it was.
        if new.len() < self.parts.len() / 2 {
            return new.into_iter().for_each(|entry| _ = self.insert(entry));
        }
        let mut all: Vec<Arc<Identity>> = self.iter().cloned().collect();
        all.extend(new);
        // Stable: what came last is first of its name once it is turned round.
        all.reverse();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all.dedup_by(|one, other| one.name == other.name);
        self.become_all(&all);
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Ok((part, at)) = self.find(name) {
            self.change(part, |entries| _ = entries.remove(at));
        }
    }

    /// For looking up many names, each of which comes after the one before.
    pub(super) fn ascending(&self) -> Ascending<'_> {
        Ascending { entries: &[], parts: &self.parts }
    }

    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&Arc<str>) -> bool) {
        let kept: Vec<bool> = self.keys().map(&mut keeps).collect();
        if kept.iter().all(|kept| *kept) {
            return;
        }
        let left: Vec<Arc<Identity>> = self.iter().zip(kept).filter(|(_, kept)| *kept).map(|(entry, _)| Arc::clone(entry)).collect();
        self.become_all(&left);
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.iter().map(|entry| &entry.name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Identity>> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    fn at(&self, (part, at): Place) -> Option<&Arc<Identity>> {
        self.parts.get(part)?.get(at)
    }

    /// Where it is, or where it would be.
    fn find(&self, name: &str) -> Result<Place, Place> {
        let after = self.parts.partition_point(|part| part.first().is_some_and(|first| *first.name <= *name));
        let part = after.saturating_sub(1);
        let Some(entries) = self.parts.get(part) else { return Err((0, 0)) };
        match entries.binary_search_by(|found| (*found.name).cmp(name)) {
            Ok(at) => Ok((part, at)),
            Err(at) => Err((part, at)),
        }
    }

    /// Another version of the same name.
    fn replace(&mut self, (part, at): Place, entry: &Arc<Identity>) {
        if let Some(part) = self.parts.get_mut(part) {
            *part = self.shared.replaced(part, at, entry);
        }
    }

    /// Changes a part. What comes after it may belong to it then, and some of it to what comes after.
    fn change(&mut self, place: usize, change: impl FnOnce(&mut Vec<Arc<Identity>>)) {
        let end = place.saturating_add(2).min(self.parts.len());
        let changed = place.min(end)..end;
        let parts = self.parts.get(changed.clone()).unwrap_or_default();
        let mut entries: Vec<Arc<Identity>> = parts.iter().flat_map(|part| part.iter()).cloned().collect();
        let before = entries.len();
        change(&mut entries);
        self.len = self.len.saturating_sub(before).saturating_add(entries.len());
        drop(self.parts.splice(changed, cut(&self.shared, &entries)));
        self.parts.shrink_to_fit();
    }

    fn become_all(&mut self, all: &[Arc<Identity>]) {
        self.len = all.len();
        self.parts = cut(&self.shared, all).collect();
        self.parts.shrink_to_fit();
    }
}

/// What is in order, in parts.
fn cut(shared: &SharedLists, entries: &[Arc<Identity>]) -> impl Iterator<Item = Part> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.iter().take(MOST).position(|entry| entry.ends_part()).map_or(MOST.min(rest.len()), |at| at.saturating_add(1));
        let (first, after) = rest.split_at(end);
        rest = after;
        Some(shared.part(first))
    })
}

fn packed((part, at): Place) -> usize {
    part.saturating_mul(MOST).saturating_add(at)
}

fn unpacked(place: usize) -> Place {
    (place / MOST, place % MOST)
}

/// See [`Sorted::ascending`]. Where the names are those of the list, one after the other and shared, no text is compared.
#[derive(Debug)]
pub(super) struct Ascending<'a> {
    /// Of the part that is looked at.
    entries: &'a [Arc<Identity>],
    /// Those after it.
    parts: &'a [Part],
}

impl<'a> Ascending<'a> {
    pub(super) fn get(&mut self, name: &Arc<str>) -> Option<&'a Arc<Identity>> {
        self.begin();
        let (first, rest) = self.entries.split_first()?;
        if Arc::ptr_eq(&first.name, name) {
            self.entries = rest;
            return Some(first);
        }
        while self.entries.last().is_some_and(|last| last.name < *name) {
            let after = self.parts.partition_point(|part| part.last().is_some_and(|last| last.name < *name));
            (self.entries, self.parts) = (&[], self.parts.get(after..).unwrap_or_default());
            self.begin();
        }
        let at = self.entries.partition_point(|entry| entry.name.cmp(name) == Ordering::Less);
        self.entries = self.entries.get(at..).unwrap_or_default();
        let (first, rest) = self.entries.split_first().filter(|(first, _)| first.name == *name)?;
        self.entries = rest;
        Some(first)
    }

    /// The next part, where this one is at its end.
    fn begin(&mut self) {
        if let (true, Some((part, parts))) = (self.entries.is_empty(), self.parts.split_first()) {
            (self.entries, self.parts) = (part, parts);
        }
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
        let mut sorted = Sorted::new(&SharedLists::default());
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
        let mut sorted = Sorted::new(&SharedLists::default());
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

    /// Beside a plain map, and beside a list that was made at once: whatever came when, the parts are the same.
    #[test]
    fn lists_that_are_alike_share_their_parts() {
        let name = |index: usize| format!("service-{:04}", index * 7919 % 1_000);
        let shared = SharedLists::default();
        let (mut grown, mut map) = (Sorted::new(&shared), std::collections::BTreeMap::new());
        for step in 0..3_000 {
            let name = name(step);
            if step % 3 == 2 {
                grown.remove(&name_of(step));
                map.remove(&name_of(step));
            } else {
                let entry = entry(&name, i32::try_from(step).unwrap());
                map.insert(name, Arc::clone(&entry));
                grown.insert(entry);
            }
        }
        let mut made = Sorted::new(&shared);
        made.extend(map.values().rev().cloned());
        assert!(made.iter().eq(map.values()) && grown.iter().eq(map.values()) && grown.len() == map.len());
        assert!(made.parts.len() > 4 && made.parts.iter().all(|part| part.len() <= MOST), "{}", made.parts.len());
        let same = made.parts.iter().zip(&grown.parts).filter(|(one, other)| Arc::ptr_eq(one, other) || one.len() < shared::WORTH_SHARING);
        assert_eq!((same.count(), made.parts.len()), (grown.parts.len(), grown.parts.len()));
        for (name, entry) in &map {
            assert!(Arc::ptr_eq(grown.get(name).unwrap(), entry));
            let (place, found) = grown.get_near(0, name).unwrap();
            assert!(Arc::ptr_eq(found, entry) && grown.get_near(place, name).unwrap().0 == place);
        }
        // Few more, one of them twice.
        let more = [("added-1", 1), ("service-0500x", 2), ("added-1", 3)].map(|(name, version)| entry(name, version));
        assert!(more.len() < made.parts.len() / 2, "{}", made.parts.len());
        let mut anew = Sorted::new(&shared);
        anew.extend(made.iter().cloned().chain(more.iter().cloned()));
        made.extend(more.iter().cloned());
        grown.extend(more);
        assert!(made.iter().eq(anew.iter()) && made.len() == map.len() + 2);
        assert!(made.parts == anew.parts && grown.parts == anew.parts);
        let changed = entry(map.keys().nth(100).unwrap(), -1);
        let places = [made.insert_near(0, Arc::clone(&changed)), grown.insert_near(0, Arc::clone(&changed))];
        assert!(places[0] == places[1] && made.parts.iter().zip(&grown.parts).all(|(one, other)| one == other));
    }

    fn name_of(step: usize) -> String {
        format!("service-{:04}", (step / 2) * 7919 % 1_000)
    }
}
