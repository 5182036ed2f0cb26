//! The rules that are filed under the values of one attribute.

use std::collections::BTreeSet;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::Numbers;
use super::key::Pattern;
use super::values::Value;

/// What rules wait for which value. Keys come from the configuration alone, so that nobody can make them collide.
#[derive(Debug, Clone, Default)]
pub(crate) struct Postings {
    exact: FxHashMap<Box<[u8]>, Numbers>,
    prefixes: Prefixes,
    /// Reversed, as are the values that are looked up.
    suffixes: Prefixes,
    blocks: FxHashMap<IpNet, Numbers>,
    /// Lengths that blocks have, of IPv4 (`true`) and IPv6.
    lengths: BTreeSet<(bool, u8)>,
}

impl Postings {
    /// Numbers come in ascending order.
    pub(crate) fn add(&mut self, pattern: Pattern<'_>, number: u32) {
        let numbers = match pattern {
            Pattern::Exact(exact) => self.exact.entry(exact.into()).or_default(),
            Pattern::Prefix(prefix) => self.prefixes.building.entry(prefix.into()).or_default(),
            Pattern::Suffix(suffix) => self.suffixes.building.entry(suffix.iter().rev().copied().collect()).or_default(),
            Pattern::Block(block) => {
                self.lengths.insert((block.addr().is_ipv4(), block.prefix_len()));
                self.blocks.entry(block).or_default()
            }
        };
        if numbers.last() != Some(&number) {
            numbers.push(number);
        }
    }

    /// To be called once, before anything is looked up.
    pub(crate) fn seal(&mut self) {
        self.prefixes.seal();
        self.suffixes.seal();
    }

    /// Whatever the value is.
    pub(crate) fn all(&self, visit: &mut dyn FnMut(&Numbers)) {
        let prefixes = self.prefixes.sorted.iter().chain(&self.suffixes.sorted).map(|prefix| &prefix.numbers);
        self.exact.values().chain(self.blocks.values()).chain(prefixes).for_each(visit);
    }

    pub(crate) fn find(&self, value: Value<'_>, visit: &mut dyn FnMut(&Numbers)) {
        match value {
            Value::Bytes(bytes) => {
                if let Some(numbers) = self.exact.get(bytes) {
                    visit(numbers);
                }
                self.prefixes.find(bytes, visit);
                if !self.suffixes.sorted.is_empty() {
                    let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
                    self.suffixes.find(&reversed, visit);
                }
            }
            Value::Address(address) => {
                let lengths = self.lengths.iter().filter(|(is_ipv4, _)| *is_ipv4 == address.is_ipv4());
                let blocks = lengths.filter_map(|(_, length)| IpNet::new(address, *length).ok());
                blocks.filter_map(|block| self.blocks.get(&block.trunc())).for_each(visit);
            }
        }
    }
}

/// Prefixes in their order: those of one value are the last that is not behind it, and the chain of those that this one continues.
#[derive(Debug, Clone, Default)]
struct Prefixes {
    building: FxHashMap<Box<[u8]>, Numbers>,
    sorted: Vec<Prefix>,
}

#[derive(Debug, Clone)]
struct Prefix {
    text: Box<[u8]>,
    numbers: Numbers,
    /// The longest other prefix with which this one begins.
    shorter: Option<usize>,
}

impl Prefixes {
    fn seal(&mut self) {
        let mut all: Vec<_> = std::mem::take(&mut self.building).into_iter().collect();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (text, numbers) in all {
            let mut shorter = self.sorted.len().checked_sub(1);
            while let Some(prefix) = shorter.and_then(|place| self.sorted.get(place)) {
                if text.starts_with(&prefix.text) {
                    break;
                }
                shorter = prefix.shorter;
            }
            self.sorted.push(Prefix { text, numbers, shorter });
        }
    }

    fn find(&self, value: &[u8], visit: &mut dyn FnMut(&Numbers)) {
        let behind = self.sorted.partition_point(|prefix| &*prefix.text <= value);
        let mut place = behind.checked_sub(1);
        while let Some(prefix) = place.and_then(|place| self.sorted.get(place)) {
            if value.starts_with(&prefix.text) {
                visit(&prefix.numbers);
            }
            place = prefix.shorter;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find(postings: &Postings, value: Value<'_>) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        postings.find(value, &mut |numbers| found.extend(numbers));
        found
    }

    proptest! {
        #[test]
        fn prefixes_and_suffixes_are_found(texts in prop::collection::vec("[ab/]{0,4}", 1..20), value in "[ab/]{0,6}") {
            let mut postings = Postings::default();
            let mut expected = BTreeSet::new();
            for (number, text) in (0..).zip(&texts) {
                let pattern = if number % 2 == 0 { Pattern::Prefix(text.as_bytes().into()) } else { Pattern::Suffix(text.as_bytes().into()) };
                postings.add(pattern, number);
                let matches = if number % 2 == 0 { value.starts_with(text) } else { value.ends_with(text) };
                expected.extend(matches.then_some(number));
            }
            postings.seal();
            prop_assert_eq!(find(&postings, Value::Bytes(value.as_bytes())), expected);
        }
    }

    #[test]
    fn blocks_of_every_length_are_found() {
        let blocks = ["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "10.1.2.3/32", "::/0", "2001:db8::/32"];
        let mut postings = Postings::default();
        for (number, block) in (0..).zip(blocks) {
            postings.add(Pattern::Block(block.parse().unwrap()), number);
        }
        for (address, expected) in [("10.1.2.3", vec![0, 1, 2, 3]), ("192.0.2.1", vec![2]), ("2001:db8::1", vec![4, 5]), ("::1", vec![4])] {
            assert_eq!(find(&postings, Value::Address(address.parse().unwrap())), expected.into_iter().collect(), "{address}");
        }
    }
}
