use std::ops::Range;

use super::Visit;

/// Prefixes in their order: those of one value are the last that is not behind it, and the chain of those that this one continues.
#[derive(Debug, Clone, Default)]
pub(super) struct Prefixes {
    /// All texts, one behind the other: an allocation for each would take longer than all else here.
    texts: Vec<u8>,
    /// What was added, by place in `texts`; in the order of the texts once sealed.
    added: Vec<(Range<usize>, u32)>,
    sorted: Vec<Prefix>,
}

#[derive(Debug, Clone)]
struct Prefix {
    text: Range<usize>,
    /// Places in `added`.
    rules: Range<usize>,
    /// The longest other prefix with which this one begins.
    shorter: Option<usize>,
}

impl Prefixes {
    pub(super) fn add(&mut self, text: impl Iterator<Item = u8>, number: u32) {
        let start = self.texts.len();
        self.texts.extend(text);
        self.added.push((start..self.texts.len(), number));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty()
    }

    pub(super) fn seal(&mut self) {
        let texts = &self.texts;
        let at = |range: &Range<usize>| texts.get(range.clone()).unwrap_or_default();
        self.added.sort_unstable_by(|(a, first), (b, second)| at(a).cmp(at(b)).then(first.cmp(second)));
        for (place, (text, _)) in self.added.iter().enumerate() {
            let mut shorter = self.sorted.len().checked_sub(1);
            if let Some(last) = self.sorted.last_mut().filter(|last| at(&last.text) == at(text)) {
                last.rules.end = place.saturating_add(1);
                continue;
            }
            while let Some(prefix) = shorter.and_then(|place| self.sorted.get(place)) {
                if at(text).starts_with(at(&prefix.text)) {
                    break;
                }
                shorter = prefix.shorter;
            }
            self.sorted.push(Prefix { text: text.clone(), rules: place..place.saturating_add(1), shorter });
        }
    }

    pub(super) fn all(&self, visit: Visit<'_>) {
        visit(&mut self.added.iter().map(|(_, number)| *number));
    }

    pub(super) fn find(&self, value: &[u8], visit: Visit<'_>) {
        let behind = self.sorted.partition_point(|prefix| self.text(prefix) <= value);
        let mut place = behind.checked_sub(1);
        while let Some(prefix) = place.and_then(|place| self.sorted.get(place)) {
            if value.starts_with(self.text(prefix)) {
                let rules = self.added.get(prefix.rules.clone()).unwrap_or_default();
                visit(&mut rules.iter().map(|(_, number)| *number));
            }
            place = prefix.shorter;
        }
    }

    fn text(&self, prefix: &Prefix) -> &[u8] {
        self.texts.get(prefix.text.clone()).unwrap_or_default()
    }
}
