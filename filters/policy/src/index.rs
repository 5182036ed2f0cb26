//! Finds the rules that a request may match without looking at all of them.
//!
//! Each rule is filed under keys of which a request that matches it has at least one: the values of one of its fields, the rarest. A lookup
//! takes the request's attributes, and gives a superset of what matches; the rules themselves then decide. What has no such field is filed
//! nowhere, and always looked at.

mod key;
mod posting;
mod prefixes;
mod values;

use crate::request::Request;
use crate::rule::Rule;
pub(crate) use key::{Attribute, Pattern, text};
use key::{Frequencies, Key};
use posting::Postings;

/// The numbers of rules, ascending.
pub(crate) type Numbers = Vec<u32>;

/// Is given the rules of one key, ascending.
type Visit<'v> = &'v mut dyn FnMut(&mut dyn Iterator<Item = u32>);

/// Of more rules than this, only so many are looked at to find out which keys are rare, evenly spread: a key that is less rare than it seems
/// costs a little speed, and looking at all of them much of the time that an edit takes.
const MOST_COUNTED: usize = 1024;

/// Rules by what a request must have to match them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    /// Few: each header and each claim that rules name is one.
    attributes: Vec<(Attribute, Postings)>,
    /// Those that no key can find.
    others: Numbers,
}

impl Index {
    /// The rules are known by their places.
    #[inline(never)]
    pub(crate) fn new<'r>(rules: impl ExactSizeIterator<Item = &'r Rule> + Clone) -> Self {
        let every = rules.len().div_ceil(MOST_COUNTED).max(1);
        let mut frequencies = Frequencies::default();
        rules.clone().step_by(every).for_each(|rule| frequencies.count(rule));
        let mut index = Self::default();
        for (number, rule) in (0..).zip(rules) {
            if !frequencies.rarest(rule, &mut |key| index.file(&key, number)) {
                index.others.push(number);
            }
        }
        index.attributes.iter_mut().for_each(|(_, postings)| postings.seal());
        index
    }

    #[inline(never)]
    fn file(&mut self, key: &Key<'_>, number: u32) {
        if let Some((_, postings)) = self.attributes.iter_mut().find(|(attribute, _)| key.attribute.is(attribute)) {
            return postings.add(&key.pattern, number);
        }
        let mut postings = Postings::default();
        postings.add(&key.pattern, number);
        self.attributes.push((key.attribute.into(), postings));
    }

    /// At most `most` of the rules that share a key with the request.
    pub(crate) fn found(&self, request: &Request<'_>, most: usize) -> Numbers {
        let mut found = Numbers::new();
        self.visit(request, &|_| false, &mut |numbers| {
            let room = most.saturating_sub(found.len());
            found.extend(numbers.take(room));
        });
        found
    }

    /// Every rule that may match a request of which some attributes are `missing`, in ascending order.
    pub(crate) fn candidates(&self, request: &Request<'_>, missing: &dyn Fn(&Attribute) -> bool) -> Numbers {
        let mut found = self.others.clone();
        self.visit(request, missing, &mut |numbers| found.extend(numbers));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The first rule for which `matches` holds, of those that may match.
    pub(crate) fn first(&self, request: &Request<'_>, matches: impl Fn(u32) -> bool) -> Option<u32> {
        let mut best = None;
        let mut visit = |numbers: &mut dyn Iterator<Item = u32>| {
            let mut better = numbers.take_while(|number| best.is_none_or(|best| *number < best));
            best = better.find(|number| matches(*number)).or(best);
        };
        self.visit(request, &|_| false, &mut visit);
        visit(&mut self.others.iter().copied());
        best
    }

    fn visit(&self, request: &Request<'_>, missing: &dyn Fn(&Attribute) -> bool, visit: Visit<'_>) {
        for (attribute, postings) in &self.attributes {
            if missing(attribute) {
                postings.all(visit);
            } else {
                values::of(attribute, request, &mut |value| postings.find(value, visit));
            }
        }
    }
}
