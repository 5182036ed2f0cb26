//! Finds the rules that a request may match without looking at all of them.
//!
//! Each rule is filed under keys of which a request that matches it has at least one: the values of one of its fields, the rarest. A lookup
//! takes the request's attributes, and gives a superset of what matches; the rules themselves then decide. What has no such field is filed
//! nowhere, and always looked at.

mod key;
mod posting;
mod values;

use std::collections::BTreeMap;

use crate::request::Request;
use crate::rule::Rule;
pub(crate) use key::{Attribute, Pattern, text};
use key::{Frequencies, Key};
use posting::Postings;

/// The numbers of rules, ascending.
pub(crate) type Numbers = Vec<u32>;

/// Rules by what a request must have to match them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    attributes: BTreeMap<Attribute, Postings>,
    /// Those that no key can find.
    others: Numbers,
}

impl Index {
    /// The rules are known by their places.
    #[inline(never)]
    pub(crate) fn new<'r>(rules: impl Iterator<Item = &'r Rule> + Clone) -> Self {
        let mut frequencies = Frequencies::default();
        rules.clone().for_each(|rule| key::all(rule, &mut |key| frequencies.count(&key)));
        let mut index = Self::default();
        for (number, rule) in (0..).zip(rules) {
            match key::rarest(rule, &frequencies) {
                Some(keys) => keys.into_iter().for_each(|key| index.file(key, number)),
                None => index.others.push(number),
            }
        }
        index.attributes.values_mut().for_each(Postings::seal);
        index
    }

    fn file(&mut self, key: Key<'_>, number: u32) {
        let Key { attribute, pattern } = key;
        self.attributes.entry(attribute.into()).or_default().add(pattern, number);
    }

    /// At most `most` of the rules that share a key with the request.
    pub(crate) fn found(&self, request: &Request<'_>, most: usize) -> Numbers {
        let mut found = Numbers::new();
        let mut visit = |numbers: &Numbers| {
            let room = most.saturating_sub(found.len());
            found.extend(numbers.iter().take(room));
        };
        for (attribute, postings) in &self.attributes {
            values::of(attribute, request, &mut |value| postings.find(value, &mut visit));
        }
        found
    }

    /// Every rule that may match a request of which some attributes are `missing`, in ascending order.
    pub(crate) fn candidates(&self, request: &Request<'_>, missing: &dyn Fn(&Attribute) -> bool) -> Numbers {
        let mut found = self.others.clone();
        let mut visit = |numbers: &Numbers| found.extend(numbers);
        for (attribute, postings) in &self.attributes {
            if missing(attribute) {
                postings.all(&mut visit);
            } else {
                values::of(attribute, request, &mut |value| postings.find(value, &mut visit));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The first rule for which `matches` holds, of those that may match.
    pub(crate) fn first(&self, request: &Request<'_>, matches: impl Fn(u32) -> bool) -> Option<u32> {
        let mut best = None;
        let mut visit = |numbers: &Numbers| {
            let better = numbers.iter().copied().take_while(|number| best.is_none_or(|best| *number < best));
            best = better.into_iter().find(|number| matches(*number)).or(best);
        };
        for (attribute, postings) in &self.attributes {
            values::of(attribute, request, &mut |value| postings.find(value, &mut visit));
        }
        visit(&self.others);
        best
    }
}
