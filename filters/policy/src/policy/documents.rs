//! The AuthorizationPolicies of a configuration, each with what was compiled of it and the text that it was read from. An edit changes few of
//! many: what stands in the next configuration as it stood in this one, to the last byte, is neither read nor compiled again.

use std::ops::Range;
use std::sync::Arc;

use crate::layer::{Entry, Origin};
use crate::wire::{AuthorizationPolicy, KnownDocuments};

/// After so many documents that are not as they were, changed ones are no longer looked for among the old ones.
const MOST_LOOKED_FOR: usize = 64;

/// In their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Documents {
    /// Of the whole configuration; empty where it is not kept.
    text: Arc<Vec<u8>>,
    list: Vec<Document>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Document {
    origin: Arc<Origin>,
    /// Its place in the configuration.
    text: Range<usize>,
    /// The places of what was compiled of it.
    entries: Range<usize>,
}

impl Documents {
    pub(super) fn with_room(text: Vec<u8>, documents: usize) -> Self {
        Self { text: Arc::new(text), list: Vec::with_capacity(documents), entries: Vec::with_capacity(documents) }
    }

    pub(super) fn add(&mut self, origin: Arc<Origin>, text: Range<usize>, entries: impl IntoIterator<Item = Entry>) {
        let start = self.entries.len();
        self.entries.extend(entries);
        self.list.push(Document { origin, text, entries: start..self.entries.len() });
    }

    /// What was compiled of another configuration's document, which stands here as it stands there.
    pub(super) fn take_over(&mut self, other: &Self, number: usize, text: Range<usize>) {
        if let Some(document) = other.list.get(number) {
            self.add(Arc::clone(&document.origin), text, other.entries_of(document).iter().cloned());
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Origin, &[Entry])> {
        self.list.iter().map(|document| (&*document.origin, self.entries_of(document)))
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Namespace and name.
    pub(super) fn name_of(&self, number: usize) -> (&str, &str) {
        let key = self.list.get(number).map_or("", |document| document.origin.key.as_str());
        key.split_once('/').unwrap_or_default()
    }

    fn entries_of(&self, document: &Document) -> &[Entry] {
        self.entries.get(document.entries.clone()).unwrap_or_default()
    }

    fn text_of(&self, document: &Document) -> &[u8] {
        self.text.get(document.text.clone()).unwrap_or_default()
    }
}

/// What a configuration has in its list of documents.
#[derive(Debug)]
pub(super) struct Item {
    /// Its place in the configuration.
    pub(super) text: Range<usize>,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// As the document with this number among those of before.
    Known(usize),
    New(AuthorizationPolicy),
}

/// Reads a configuration's documents beside those of an earlier one, in whose order most of them are. Each of those is taken once at most.
#[derive(Debug)]
pub(super) struct Beside<'d> {
    before: Option<&'d Documents>,
    /// The number of the first that may still come.
    next: usize,
    missed: usize,
    pub(super) items: Vec<Item>,
}

impl<'d> Beside<'d> {
    pub(super) fn new(before: Option<&'d Documents>) -> Self {
        Self { before, next: 0, missed: 0, items: Vec::with_capacity(before.map_or(0, |before| before.list.len())) }
    }

    /// Behind the one that has this name, if it may still come.
    fn go_behind(&mut self, policy: &AuthorizationPolicy) {
        let Some(before) = self.before.filter(|_| self.missed < MOST_LOOKED_FOR) else { return };
        self.missed = self.missed.saturating_add(1);
        let name = (policy.namespace.as_str(), policy.name.as_str());
        if let Some(place) = (self.next..before.list.len()).find(|number| before.name_of(*number) == name) {
            self.next = place.saturating_add(1);
        }
    }
}

impl KnownDocuments for Beside<'_> {
    /// A document's text is one JSON object, which ends where its last brace is: what begins with it begins with the same object.
    fn skip(&mut self, rest: &[u8], start: usize) -> Option<usize> {
        let before = self.before?;
        let text = before.text_of(before.list.get(self.next)?);
        if text.is_empty() || !rest.starts_with(text) {
            return None;
        }
        self.items.push(Item { text: start..start.saturating_add(text.len()), content: Content::Known(self.next) });
        self.next = self.next.saturating_add(1);
        Some(text.len())
    }

    fn read(&mut self, policy: AuthorizationPolicy, text: Range<usize>) {
        self.go_behind(&policy);
        self.items.push(Item { text, content: Content::New(policy) });
    }
}
