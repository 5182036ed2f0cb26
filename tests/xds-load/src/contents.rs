//! Every distinct content that any client was sent, decoded once.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use rustc_hash::FxHashMap;

use crate::marks::{MarkId, Marks};
use crate::references;
use crate::wire::{Kind, Raw};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NameId(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ContentId(u32);

/// One content of one resource.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) name: NameId,
    pub(crate) version: String,
    pub(crate) references: Box<[(Kind, NameId)]>,
    pub(crate) marks: Box<[MarkId]>,
}

/// Contents, names and marks of all clients together.
#[derive(Debug, Default)]
pub struct Contents {
    /// By a hash of type, name and version; of the bytes where the server tells no version.
    ids: FxHashMap<u64, ContentId>,
    all: Vec<Content>,
    name_ids: FxHashMap<Box<str>, NameId>,
    names: Vec<Box<str>>,
    pub marks: Marks,
}

impl Contents {
    pub(crate) fn intern(&mut self, kind: Kind, raw: &Raw<'_>) -> ContentId {
        let mut hasher = DefaultHasher::new();
        (kind, raw.name, raw.version).hash(&mut hasher);
        if raw.version.is_empty() {
            raw.body.hash(&mut hasher);
        }
        let hash = hasher.finish();
        if let Some(id) = self.ids.get(&hash) {
            return *id;
        }
        let content = Content {
            name: self.name(raw.name),
            version: raw.version.to_owned(),
            references: references::of(kind, raw.body).into_iter().map(|(kind, name)| (kind, self.name(&name))).collect(),
            marks: self.marks.found_in(raw.body),
        };
        let id = ContentId(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        self.all.push(content);
        self.ids.insert(hash, id);
        id
    }

    pub(crate) fn name(&mut self, name: &str) -> NameId {
        if let Some(id) = self.name_ids.get(name) {
            return *id;
        }
        let id = NameId(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.push(name.into());
        self.name_ids.insert(name.into(), id);
        id
    }

    pub(crate) fn text(&self, name: NameId) -> String {
        usize::try_from(name.0).ok().and_then(|index| self.names.get(index)).map(|name| name.to_string()).unwrap_or_default()
    }

    pub(crate) fn get(&self, id: ContentId) -> Option<&Content> {
        self.all.get(usize::try_from(id.0).ok()?)
    }

    /// How many contents there were.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.all.len()
    }
}
