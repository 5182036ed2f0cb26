//! What a source hands on: the state in force, and what is known of each document.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use itertools::EitherOrBoth::{Both, Left, Right};
use itertools::Itertools as _;
use meshwright_config::{Document, DocumentError, DocumentKey, Origin, Rejected, State};

use crate::guard::Held;
use crate::store;

/// The documents in force.
pub(crate) type Documents = BTreeMap<DocumentKey, InForce>;

type Entry<'a> = (&'a DocumentKey, &'a InForce);

/// What differs between two such, in the order of keys: as it was, and as it is. Documents that moved within their files are the same.
pub fn differences<'a>(
    old: &'a BTreeMap<DocumentKey, InForce>,
    new: &'a BTreeMap<DocumentKey, InForce>,
) -> impl Iterator<Item = (&'a DocumentKey, Option<&'a InForce>, Option<&'a InForce>)> {
    let order = |(before, was): &Entry<'_>, (now, is): &Entry<'_>| {
        if Arc::ptr_eq(&was.document, &is.document) { Ordering::Equal } else { before.cmp(now) }
    };
    old.iter().merge_join_by(new, order).filter_map(|pair| match pair {
        Both((_, was), (_, is)) if was.version == is.version => None,
        Both((_, was), (key, is)) => Some((key, Some(was), Some(is))),
        Left((key, was)) => Some((key, Some(was), None)),
        Right((key, is)) => Some((key, None, Some(is))),
    })
}

/// The state in force and how it came about.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub(crate) state: Arc<State>,
    pub(crate) in_force: Arc<Documents>,
    pub(crate) documents: Vec<DocumentStatus>,
    pub(crate) held: Option<Held>,
    pub(crate) source_error: Option<String>,
}

impl PartialEq for Loaded {
    /// What is quick to tell first.
    fn eq(&self, other: &Self) -> bool {
        self.source_error == other.source_error
            && self.held == other.held
            && self.in_force == other.in_force
            && self.documents == other.documents
            && (Arc::ptr_eq(&self.state, &other.state) || self.state == other.state)
    }
}

impl Loaded {
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// The documents of which the state is made.
    #[must_use]
    pub fn in_force(&self) -> &BTreeMap<DocumentKey, InForce> {
        &self.in_force
    }

    /// Every document that was found, in the order of files and of places in them.
    #[must_use]
    pub fn documents(&self) -> &[DocumentStatus] {
        &self.documents
    }

    /// What is in force and does not do what it is for at `now`: rules that break calls, certificates that have ended.
    #[must_use]
    pub fn warnings(&self, now: SystemTime) -> Vec<DocumentError> {
        store::warnings(&self.state, self.in_force.values().map(|in_force| &*in_force.document), now)
    }

    /// A removal that is held back.
    #[must_use]
    pub fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// Why the source as a whole cannot be read now; the state is the last good one then.
    #[must_use]
    pub fn source_error(&self) -> Option<&str> {
        self.source_error.as_deref()
    }
}

/// A document in force: not always the one that was found, see [`DocumentState::Quarantined`].
#[derive(Debug, Clone)]
pub struct InForce {
    pub(crate) document: Arc<Document>,
    pub(crate) version: Arc<str>,
    pub(crate) saved: SystemTime,
}

impl InForce {
    #[must_use]
    pub fn document(&self) -> &Arc<Document> {
        &self.document
    }

    /// A hash of the document's text.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// When this version was written, or seen where the file's own time cannot be true.
    #[must_use]
    pub fn saved(&self) -> SystemTime {
        self.saved
    }
}

impl PartialEq for InForce {
    /// The version stands for the content.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.document, &other.document) || self.version == other.version && self.document.origin() == other.document.origin()
    }
}

/// One document and whether it is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentStatus {
    pub(crate) key: Option<DocumentKey>,
    pub(crate) file: Arc<str>,
    pub(crate) line: usize,
    pub(crate) version: Arc<str>,
    pub(crate) state: DocumentState,
}

impl DocumentStatus {
    /// `None` when it could not be read.
    #[must_use]
    pub fn key(&self) -> Option<&DocumentKey> {
        self.key.as_ref()
    }

    /// Relative to the source's directory.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line on which it starts, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// A hash of the document's text.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    #[must_use]
    pub fn state(&self) -> &DocumentState {
        &self.state
    }
}

/// Whether a document is in force as it is written.
#[derive(Debug, Clone, PartialEq)]
pub enum DocumentState {
    Accepted,
    /// It is not.
    Quarantined {
        error: Rejected,
        /// Whether an earlier version of it is in force instead.
        last_good: bool,
    },
}

/// What `load_once` found.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    pub(crate) state: State,
    pub(crate) documents: usize,
    pub(crate) errors: Vec<DocumentError>,
    pub(crate) warnings: Vec<DocumentError>,
    pub(crate) origins: BTreeMap<DocumentKey, Origin>,
}

impl Checked {
    /// What holds of it without the documents that have errors.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// How many documents were found, good or bad.
    #[must_use]
    pub fn documents(&self) -> usize {
        self.documents
    }

    /// All errors of all documents, in the order of files and lines.
    #[must_use]
    pub fn errors(&self) -> &[DocumentError] {
        &self.errors
    }

    /// What holds as it is written and does not do what it is for: rules that break calls, certificates that have ended.
    #[must_use]
    pub fn warnings(&self) -> &[DocumentError] {
        &self.warnings
    }

    /// Where a document that could be read was written.
    #[must_use]
    pub fn origin(&self, key: &DocumentKey) -> Option<&Origin> {
        self.origins.get(key)
    }
}
