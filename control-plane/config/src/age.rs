//! Which of two documents is the older one.

use time::OffsetDateTime;

/// `metadata.creationTimestamp`, then the name: of documents without a time, the first by name counts as the oldest, and all of them as
/// younger than those with one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age {
    untimed: bool,
    created: Option<OffsetDateTime>,
    name: String,
}

impl Age {
    pub(crate) fn new(created: Option<OffsetDateTime>, name: &str) -> Self {
        Self { untimed: created.is_none(), created, name: name.to_owned() }
    }
}
