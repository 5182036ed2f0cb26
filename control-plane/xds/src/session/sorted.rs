use std::sync::Arc;

use crate::resource::Identity;

/// What has a name.
pub(super) trait Named {
    fn name(&self) -> &Arc<str>;
}

impl Named for Arc<str> {
    fn name(&self) -> &Arc<str> {
        self
    }
}

impl Named for Arc<Identity> {
    fn name(&self) -> &Arc<str> {
        &self.name
    }
}

/// Entries by name that take no more room than they must: of these there is a list for each type of each stream.
#[derive(Debug)]
pub(super) struct Sorted<T>(Vec<T>);

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Named> Sorted<T> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, name: &str) -> Option<&T> {
        let at = self.find(name).ok()?;
        self.0.get(at)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// In the place of what has the same name.
    pub(super) fn insert(&mut self, entry: T) {
        match self.find(entry.name()) {
            Ok(at) => {
                if let Some(known) = self.0.get_mut(at) {
                    *known = entry;
                }
            }
            Err(at) => self.0.insert(at, entry),
        }
    }

    /// Many at once, in any order; of one name the last counts.
    pub(super) fn extend(&mut self, entries: impl IntoIterator<Item = T>) {
        self.0.extend(entries);
        // Stable: what came last is first of its name once it is turned round.
        self.0.reverse();
        self.0.sort_by(|one, other| one.name().cmp(other.name()));
        self.0.dedup_by(|one, other| one.name() == other.name());
        self.shrink();
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Ok(at) = self.find(name) {
            self.0.remove(at);
        }
    }

    pub(super) fn retain(&mut self, keeps: impl Fn(&Arc<str>) -> bool) {
        self.0.retain(|entry| keeps(entry.name()));
        self.shrink();
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().map(Named::name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }

    /// Gives back what growing has taken in advance, where that is much.
    pub(super) fn shrink(&mut self) {
        if self.0.capacity() > self.0.len().saturating_add(self.0.len() / 8).saturating_add(8) {
            self.0.shrink_to_fit();
        }
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|found| (**found.name()).cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, version: i32) -> Arc<Identity> {
        Arc::new(Identity { name: name.into(), version: version.to_string().into() })
    }

    #[test]
    fn it_is_in_order_whatever_came_when_and_the_last_counts() {
        let mut sorted = Sorted::default();
        sorted.insert(entry("c", 1));
        sorted.extend([("b", 2), ("c", 3), ("a", 4), ("b", 5)].map(|(name, version)| entry(name, version)));
        let entries = |sorted: &Sorted<Arc<Identity>>| sorted.iter().map(|it| format!("{}{}", it.name, it.version)).collect::<String>();
        assert_eq!(entries(&sorted), "a4b5c3");
        sorted.insert(entry("b", 6));
        sorted.remove("a");
        sorted.retain(|name| &**name != "c");
        assert_eq!((entries(&sorted).as_str(), sorted.len(), sorted.contains("b"), sorted.contains("a")), ("b6", 1, true, false));
        assert_eq!(sorted.get("b"), Some(&entry("b", 6)));
    }
}
