use std::sync::Arc;

/// A map by name that takes no more room than its entries: of these there is one for each type of each stream.
#[derive(Debug)]
pub(super) struct Sorted<V>(Vec<(Arc<str>, V)>);

impl<V> Default for Sorted<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Sorted<V> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, name: &str) -> Option<&V> {
        let at = self.find(name).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    pub(super) fn insert(&mut self, name: Arc<str>, value: V) {
        match self.find(&name) {
            Ok(at) => {
                if let Some(entry) = self.0.get_mut(at) {
                    entry.1 = value;
                }
            }
            Err(at) => self.0.insert(at, (name, value)),
        }
    }

    /// Many at once, in any order; of one name the last counts.
    pub(super) fn extend(&mut self, entries: impl IntoIterator<Item = (Arc<str>, V)>) {
        self.0.extend(entries);
        // Stable: what came last is first of its name once it is turned round.
        self.0.reverse();
        self.0.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.0.dedup_by(|(one, _), (other, _)| one == other);
        self.shrink();
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Ok(at) = self.find(name) {
            self.0.remove(at);
        }
    }

    pub(super) fn retain(&mut self, keeps: impl Fn(&Arc<str>) -> bool) {
        self.0.retain(|(name, _)| keeps(name));
        self.shrink();
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().map(|(name, _)| name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(Arc<str>, V)> {
        self.0.iter()
    }

    /// Gives back what growing has taken in advance, where that is much.
    pub(super) fn shrink(&mut self) {
        if self.0.capacity() > self.0.len().saturating_add(self.0.len() / 8).saturating_add(8) {
            self.0.shrink_to_fit();
        }
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(found, _)| (**found).cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_in_order_whatever_came_when_and_the_last_counts() {
        let mut sorted = Sorted::default();
        sorted.insert("c".into(), 1);
        sorted.extend([("b", 2), ("c", 3), ("a", 4), ("b", 5)].map(|(name, value)| (Arc::from(name), value)));
        let entries = |sorted: &Sorted<i32>| sorted.iter().map(|(name, value)| format!("{name}{value}")).collect::<String>();
        assert_eq!(entries(&sorted), "a4b5c3");
        sorted.insert("b".into(), 6);
        sorted.remove("a");
        sorted.retain(|name| &**name != "c");
        assert_eq!((entries(&sorted).as_str(), sorted.len(), sorted.get("b"), sorted.contains("a")), ("b6", 1, Some(&6), false));
    }
}
