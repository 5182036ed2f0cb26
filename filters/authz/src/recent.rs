/// What was made of late, to be used once more; oldest replaced first.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    items: Vec<T>,
    next: usize,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next: 0 }
    }
}

impl<T> Recent<T> {
    /// So many are kept; more would take longer to look through than one takes to make.
    const MOST: usize = 8;

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.items.iter()
    }

    /// Gives back what it takes the place of.
    pub(crate) fn push(&mut self, item: T) -> Option<T> {
        let at = self.next;
        self.next = at.saturating_add(1) % Self::MOST;
        if let Some(oldest) = self.items.get_mut(at) {
            return Some(std::mem::replace(oldest, item));
        }
        self.items.push(item);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way() {
        let mut recent = Recent::default();
        let replaced: Vec<Option<usize>> = (0..20).map(|number| recent.push(number)).collect();
        let expected: Vec<Option<usize>> = (0..20_usize).map(|number| number.checked_sub(Recent::<usize>::MOST)).collect();
        assert_eq!(replaced, expected);
        let mut kept: Vec<usize> = recent.iter().copied().collect();
        kept.sort_unstable();
        assert_eq!(kept, (12..20).collect::<Vec<_>>());
    }
}
