//! The rules of all policies with one action, in the order of the documents, and which of them a request matches first.

use std::sync::Arc;

use crate::index::{Attribute, Index};
use crate::request::Request;
use crate::rule::Rule;
use crate::wire::Action;

/// The AuthorizationPolicy that a rule is in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// `<namespace>/<name>`.
    pub(crate) key: String,
    pub(crate) action: Action,
    pub(crate) provider: Option<String>,
    pub(crate) dry_run: bool,
}

/// One rule of an AuthorizationPolicy; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    origin: Arc<Origin>,
    /// The rule's index in the document.
    index: u32,
    rule: Arc<Rule>,
}

impl Entry {
    pub(crate) fn new(origin: &Arc<Origin>, index: u32, rule: Rule) -> Self {
        Self { origin: Arc::clone(origin), index, rule: Arc::new(rule) }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    pub(crate) fn rule(&self) -> &Rule {
        &self.rule
    }
}

/// Fewer rules than this are looked at one by one.
const WORTH_AN_INDEX: usize = 8;

/// The rules of one action.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    entries: Vec<Entry>,
    index: Option<Index>,
}

impl Layer {
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        let index = (entries.len() >= WORTH_AN_INDEX).then(|| Index::new(entries.iter().map(Entry::rule)));
        Self { entries, index }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The rules that a request may match of which some attributes are `missing`, in the order of the documents.
    pub(crate) fn candidates(&self, request: &Request<'_>, missing: &dyn Fn(&Attribute) -> bool) -> impl Iterator<Item = &Entry> {
        let found = self.index.as_ref().map(|index| index.candidates(request, missing));
        let all = if found.is_some() { &[][..] } else { self.entries.as_slice() };
        let found = found.unwrap_or_default().into_iter().filter_map(|number| self.entries.get(usize::try_from(number).ok()?));
        found.chain(all)
    }

    /// Rules that the request may nearly match: at most `most` that an index finds, then the first `most`.
    pub(crate) fn near(&self, request: &Request<'_>, most: usize) -> impl Iterator<Item = &Entry> {
        let found = self.index.as_ref().map(|index| index.found(request, most)).unwrap_or_default();
        let found = found.into_iter().filter_map(|number| self.entries.get(usize::try_from(number).ok()?));
        found.chain(self.entries.iter().take(most))
    }

    /// The first rule, in the order of the documents, that the request matches.
    pub(crate) fn first_match(&self, request: &Request<'_>) -> Option<&Entry> {
        let entry = |number: u32| usize::try_from(number).ok().and_then(|place| self.entries.get(place));
        match &self.index {
            Some(index) => {
                let found = index.first(request, |number| entry(number).is_some_and(|entry| entry.rule.matches(request)));
                found.and_then(entry)
            }
            None => self.entries.iter().find(|entry| entry.rule.matches(request)),
        }
    }
}
