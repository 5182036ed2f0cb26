//! The rules that are filed under the values of one attribute.

use std::hash::BuildHasher as _;

use ipnet::IpNet;
use rustc_hash::FxBuildHasher;

use super::Visit;
use super::key::Pattern;
use super::prefixes::Prefixes;
use super::values::Value;

/// What rules wait for which value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Postings {
    exact: Hashed,
    prefixes: Prefixes,
    /// Reversed, as are the values that are looked up.
    suffixes: Prefixes,
    blocks: Hashed,
    /// Lengths that blocks have, of IPv4 (`true`) and IPv6.
    lengths: Vec<(bool, u8)>,
}

impl Postings {
    /// Numbers come in ascending order.
    pub(crate) fn add(&mut self, pattern: &Pattern<'_>, number: u32) {
        match pattern {
            Pattern::Exact(exact) => self.exact.add(hash(exact), number),
            Pattern::Prefix(prefix) => self.prefixes.add(prefix.iter().copied(), number),
            Pattern::Suffix(suffix) => self.suffixes.add(suffix.iter().rev().copied(), number),
            Pattern::Block(block) => {
                let length = (block.addr().is_ipv4(), block.prefix_len());
                if !self.lengths.contains(&length) {
                    self.lengths.push(length);
                }
                self.blocks.add(hash_of_block(block), number);
            }
        }
    }

    /// To be called once, before anything is looked up.
    pub(crate) fn seal(&mut self) {
        self.exact.seal();
        self.blocks.seal();
        self.prefixes.seal();
        self.suffixes.seal();
    }

    /// Whatever the value is.
    pub(crate) fn all(&self, visit: Visit<'_>) {
        self.exact.all(visit);
        self.blocks.all(visit);
        self.prefixes.all(visit);
        self.suffixes.all(visit);
    }

    pub(crate) fn find(&self, value: Value<'_>, visit: Visit<'_>) {
        match value {
            Value::Bytes(bytes) => {
                self.exact.find(|| hash(bytes), visit);
                self.prefixes.find(bytes, visit);
                if !self.suffixes.is_empty() {
                    let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
                    self.suffixes.find(&reversed, visit);
                }
            }
            Value::Address(address) => {
                let lengths = self.lengths.iter().filter(|(is_ipv4, _)| *is_ipv4 == address.is_ipv4());
                for block in lengths.filter_map(|(_, length)| IpNet::new(address, *length).ok()) {
                    self.blocks.find(|| hash_of_block(&block.trunc()), visit);
                }
            }
        }
    }
}

/// Rules by the hash of a value. Of two values with one hash a lookup gives the rules of both: those that do not match are sorted out like
/// all others. Hashed is what the configuration has, so that nobody who only sends requests can make two values collide.
#[derive(Debug, Clone, Default)]
struct Hashed(Vec<(u32, u32)>);

impl Hashed {
    fn add(&mut self, hash: u32, number: u32) {
        self.0.push((hash, number));
    }

    fn seal(&mut self) {
        self.0.sort_unstable();
        self.0.dedup();
        self.0.shrink_to_fit();
    }

    fn all(&self, visit: Visit<'_>) {
        self.0.iter().for_each(|(_, number)| visit(&mut std::iter::once(*number)));
    }

    fn find(&self, hash: impl FnOnce() -> u32, visit: Visit<'_>) {
        if self.0.is_empty() {
            return;
        }
        let hash = hash();
        let start = self.0.partition_point(|(other, _)| *other < hash);
        let found = self.0.get(start..).unwrap_or_default().iter().take_while(|(other, _)| *other == hash);
        visit(&mut found.map(|(_, number)| *number));
    }
}

fn hash(bytes: &[u8]) -> u32 {
    lower_half(FxBuildHasher.hash_one(bytes))
}

fn hash_of_block(block: &IpNet) -> u32 {
    lower_half(FxBuildHasher.hash_one(block))
}

/// All that the hasher gives in WebAssembly.
pub(super) fn lower_half(hash: u64) -> u32 {
    u32::try_from(hash & u64::from(u32::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn find(postings: &Postings, value: Value<'_>) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        postings.find(value, &mut |numbers| found.extend(numbers));
        found
    }

    fn sealed(patterns: impl IntoIterator<Item = Pattern<'static>>) -> Postings {
        let mut postings = Postings::default();
        (0..).zip(patterns).for_each(|(number, pattern)| postings.add(&pattern, number));
        postings.seal();
        postings
    }

    fn bytes(text: &str) -> std::borrow::Cow<'static, [u8]> {
        text.as_bytes().to_vec().into()
    }

    proptest! {
        #[test]
        fn texts_are_found(texts in prop::collection::vec("[ab/]{0,4}", 1..20), value in "[ab/]{0,6}") {
            let kinds = [Pattern::Prefix, Pattern::Suffix, Pattern::Exact];
            let postings = sealed(texts.iter().enumerate().map(|(number, text)| kinds[number % 3](bytes(text))));
            let matches = |number: usize, text: &str| [value.starts_with(text), value.ends_with(text), value == text][number % 3];
            let expected = (0..).zip(&texts).filter(|(number, text)| matches(usize::try_from(*number).unwrap(), text)).map(|(number, _)| number);
            prop_assert_eq!(find(&postings, Value::Bytes(value.as_bytes())), expected.collect::<BTreeSet<u32>>());
            let mut all = BTreeSet::new();
            postings.all(&mut |numbers| all.extend(numbers));
            prop_assert_eq!(all.len(), texts.len());
        }
    }

    #[test]
    fn blocks_of_every_length_are_found() {
        let blocks = ["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "10.1.2.3/32", "::/0", "2001:db8::/32"];
        let postings = sealed(blocks.map(|block| Pattern::Block(block.parse().unwrap())));
        for (address, expected) in [("10.1.2.3", vec![0, 1, 2, 3]), ("192.0.2.1", vec![2]), ("2001:db8::1", vec![4, 5]), ("::1", vec![4])] {
            assert_eq!(find(&postings, Value::Address(address.parse().unwrap())), expected.into_iter().collect(), "{address}");
        }
    }
}
