//! A cursor over a document's tree that knows the path it is at and collects what is wrong, so that one reading reports every error.
//! A value that is missing or of the wrong type is read as `None`; the wrong type itself is reported by `schema`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use meshwright_policy::Invalid;
use serde::de::DeserializeOwned;

use crate::duration;
use crate::host::Host;
use crate::yaml::{Node, Position, Scalar, Value};

/// One thing wrong, before it is known which document it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) position: Position,
    pub(crate) path: String,
    pub(crate) message: String,
}

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Report(RefCell<Vec<Problem>>);

impl Report {
    pub(crate) fn add(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    fn has_below(&self, path: &str) -> bool {
        let below = |problem: &Problem| problem.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.0.borrow().iter().any(below)
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// A place in the tree, which may be empty.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    node: Option<&'a Node>,
    /// Where a message points: the key if there is one, else what it is missing from.
    position: Position,
    path: String,
    report: &'a Report,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(root: &'a Node, report: &'a Report) -> Self {
        Self { node: Some(root), position: root.position, path: String::new(), report }
    }

    pub(crate) fn get(&self, key: &str) -> Self {
        let entry = self.node.and_then(|node| node.get(key));
        Self {
            node: entry.map(|entry| &entry.node),
            position: entry.map_or(self.position, |entry| entry.position),
            path: join(&self.path, key),
            report: self.report,
        }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn is_present(&self) -> bool {
        self.node.is_some()
    }

    pub(crate) fn is_empty_object(&self) -> bool {
        matches!(self.node.map(|node| &node.value), Some(Value::Object(entries)) if entries.is_empty())
    }

    /// Reports and returns `None` when it is absent.
    pub(crate) fn required(&self) -> Option<Self> {
        if self.node.is_none() {
            self.fail("is required");
        }
        self.node.map(|_| self.clone())
    }

    pub(crate) fn items(&self) -> Vec<Self> {
        let Some(Value::List(items)) = self.node.map(|node| &node.value) else { return Vec::new() };
        let item = |(index, node): (usize, &'a Node)| Self {
            node: Some(node),
            position: node.position,
            path: format!("{}[{index}]", self.path),
            report: self.report,
        };
        items.iter().enumerate().map(item).collect()
    }

    /// Reports when there is none.
    pub(crate) fn required_items(&self) -> Vec<Self> {
        let items = self.items();
        if self.required().is_some_and(|list| matches!(list.node.map(|node| &node.value), Some(Value::List(items)) if items.is_empty())) {
            self.fail("at least one is required");
        }
        items
    }

    pub(crate) fn entries(&self) -> Vec<(String, Self)> {
        let Some(Value::Object(entries)) = self.node.map(|node| &node.value) else { return Vec::new() };
        entries.iter().map(|entry| (entry.key.clone(), self.get(&entry.key))).collect()
    }

    pub(crate) fn text(&self) -> Option<String> {
        self.node?.text().map(str::to_owned)
    }

    /// Reports when it is there and empty.
    pub(crate) fn non_empty_text(&self) -> Option<String> {
        let text = self.text();
        if text.as_deref() == Some("") {
            self.fail("is empty");
        }
        text
    }

    pub(crate) fn required_text(&self) -> Option<String> {
        self.required().and_then(|field| field.non_empty_text())
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.items().iter().filter_map(Self::non_empty_text).collect()
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        match self.node?.value {
            Value::Scalar(Scalar::Boolean(flag)) => Some(flag),
            Value::Scalar(_) | Value::List(_) | Value::Object(_) => None,
        }
    }

    pub(crate) fn integer<T: TryFrom<i64>>(&self, allowed: RangeInclusive<i64>) -> Option<T> {
        let Value::Scalar(Scalar::Integer(number)) = self.node?.value else { return None };
        let value = Some(number).filter(|number| allowed.contains(number)).and_then(|number| T::try_from(number).ok());
        if value.is_none() {
            self.fail(format!("found `{number}`, allowed: {} to {}", allowed.start(), allowed.end()));
        }
        value
    }

    pub(crate) fn port(&self) -> Option<u16> {
        self.integer(1..=65_535)
    }

    /// Above zero.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let text = self.text()?;
        duration::parse(&text).map_err(|error| self.fail(format!("`{text}`: {error}"))).ok()
    }

    /// A word of an enum; a word it does not have is reported by `schema`.
    pub(crate) fn word<T>(&self, from_word: impl Fn(&str) -> Option<T>) -> Option<T> {
        from_word(self.node?.text()?)
    }

    pub(crate) fn host(&self) -> Option<Host> {
        let text = self.text()?;
        Host::parse(&text).map_err(|error| self.fail(format!("found `{text}`: {error}"))).ok()
    }

    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let label = |(name, value): (String, Self)| {
            let text = value.text()?;
            if name.contains('*') || text.contains('*') {
                value.fail("labels have no wildcards");
            }
            Some((name, text))
        };
        self.entries().into_iter().filter_map(label).collect()
    }

    /// Every item as a wire type of another crate; `None` for one with something wrong in it, which has been reported then.
    pub(crate) fn items_as<T: DeserializeOwned>(&self) -> Vec<Option<T>> {
        let read = |item: Self| {
            if self.report.has_below(&item.path) {
                return None;
            }
            let json = item.node.map(Node::to_json).unwrap_or_default();
            let read: Result<T, _> = serde_path_to_error::deserialize(json);
            read.map_err(|error| item.fail_below(&error.path().to_string(), error.inner().to_string())).ok()
        };
        self.items().into_iter().map(read).collect()
    }

    /// The items that `validate` finds nothing wrong with, as long as nothing is wrong with any. Its paths start with the name of this
    /// list and are reported below `parent`.
    pub(crate) fn validated<T: DeserializeOwned + Clone>(
        &self,
        parent: &Self,
        validate: impl Fn(&[T]) -> Result<(), Vec<Invalid>>,
    ) -> Option<Vec<T>> {
        let items = self.items_as::<T>();
        let all: Option<Vec<T>> = items.iter().cloned().collect();
        if let Some(all) = &all {
            for error in validate(all).err().into_iter().flatten() {
                parent.fail_below(&error.path, error.message);
            }
            return Some(all.clone());
        }
        // The others are validated all the same, one at a time, so that every error is reported.
        for (index, item) in items.into_iter().enumerate() {
            for error in item.and_then(|item| validate(&[item]).err()).into_iter().flatten() {
                parent.fail_below(&error.path.replacen("[0]", &format!("[{index}]"), 1), error.message);
            }
        }
        None
    }

    pub(crate) fn fail(&self, message: impl Into<String>) {
        self.report.add(Problem { position: self.position, path: self.path.clone(), message: message.into() });
    }

    /// Reports at a path below this one, as `rules[0].from` or `[0].from`: at the deepest part of it that the document has.
    pub(crate) fn fail_below(&self, path: &str, message: impl Into<String>) {
        let mut at = self.clone();
        for segment in segments(path) {
            let next = match segment {
                Segment::Index(index) => at.items().into_iter().nth(index),
                Segment::Key(key) => Some(at.get(key)),
            };
            let Some(next) = next else { break };
            at = next;
        }
        let path = path.trim_end_matches('.').trim_start_matches('.');
        let full = if path.is_empty() || path.starts_with('[') { format!("{}{path}", self.path) } else { join(&self.path, path) };
        self.report.add(Problem { position: at.position, path: full, message: message.into() });
    }
}

/// `key` under `path`; a key with a dot in it is bracketed.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        return key.to_owned();
    }
    // One for each field of each document: `format!` takes several times as long.
    let (before, after) = if key.contains('.') && !key.contains('[') { ("[", "]") } else { (".", "") };
    [path, before, key, after].concat()
}

enum Segment<'a> {
    Key(&'a str),
    Index(usize),
}

fn segments(path: &str) -> impl Iterator<Item = Segment<'_>> {
    path.split(['.', '[']).filter(|part| !part.is_empty()).map(|part| match part.strip_suffix(']').map(str::parse) {
        Some(Ok(index)) => Segment::Index(index),
        Some(Err(_)) | None => Segment::Key(part.trim_end_matches(']')),
    })
}
