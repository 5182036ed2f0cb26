//! The rules of all policies with one action, in the order of the documents, and which of them a request matches first.

use std::sync::Arc;

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

/// The rules of one action.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    entries: Vec<Entry>,
}

impl Layer {
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        Self { entries }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The first rule, in the order of the documents, that the request matches.
    pub(crate) fn first_match(&self, request: &Request<'_>) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.rule.matches(request))
    }
}
