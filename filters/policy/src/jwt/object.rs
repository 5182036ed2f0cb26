//! A JSON object in two pieces of memory. A worker keeps thousands of tokens, and each makes and frees what the oldest is made of: with a
//! piece for each member that takes longer than reading them.

use std::ops::Range;

use crate::wire::json::Number;

/// A text with all names and strings in it, and what there is, one behind the other: each list and object before what is in it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    text: String,
    nodes: Vec<Node>,
}

/// Where in the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// None: it is too far for any text that is read here.
    pub(super) fn new(start: usize, length: usize) -> Option<Self> {
        Some(Self { start: u32::try_from(start).ok()?, end: u32::try_from(start.checked_add(length)?).ok()? })
    }

    pub(super) fn of(self, text: &str) -> &str {
        self.range().and_then(|range| text.get(range)).unwrap_or_default()
    }

    /// In two texts, one behind the other.
    pub(super) fn within<'t>(self, first: &'t str, second: &'t str) -> &'t str {
        let Some(Range { start, end }) = self.range() else { return "" };
        let in_second = start.checked_sub(first.len()).zip(end.checked_sub(first.len()));
        match in_second {
            Some((start, end)) => second.get(start..end).unwrap_or_default(),
            None => self.of(first),
        }
    }

    fn range(self) -> Option<Range<usize>> {
        Some(usize::try_from(self.start).ok()?..usize::try_from(self.end).ok()?)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Node {
    /// Of a member.
    pub(super) name: Span,
    pub(super) kind: Kind,
    /// The place behind all that is in it.
    pub(super) end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    String(Span),
    List,
    Object,
}

/// A value, to look at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'o> {
    Null,
    Bool(bool),
    Number(Number),
    String(&'o str),
    List(Values<'o>),
    Object(Values<'o>),
}

impl<'o> Value<'o> {
    pub(super) fn as_str(self) -> Option<&'o str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    pub(super) fn as_list(self) -> Option<Values<'o>> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    pub(super) fn as_object(self) -> Option<Values<'o>> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }
}

impl Object {
    /// `nodes` are those of one object, first itself.
    pub(super) fn new(text: String, nodes: Vec<Node>) -> Self {
        Self { text, nodes }
    }

    /// Of members that are strings.
    pub(super) fn of_strings<'s>(members: impl Iterator<Item = (&'s str, &'s str)>) -> Self {
        let members: Vec<_> = members.collect();
        let root = Node { name: Span::default(), kind: Kind::Object, end: members.len().saturating_add(1) };
        let (mut text, mut nodes) = (String::new(), vec![root]);
        for (name, value) in members {
            let mut add = |piece: &str| {
                let span = Span::new(text.len(), piece.len()).unwrap_or_default();
                text.push_str(piece);
                span
            };
            let (name, value) = (add(name), add(value));
            let end = nodes.len().saturating_add(1);
            nodes.push(Node { name, kind: Kind::String(value), end });
        }
        Self { text, nodes }
    }

    pub(super) fn members(&self) -> Values<'_> {
        Values { object: self, at: 1, end: self.nodes.len() }
    }

    pub(super) fn get(&self, name: &str) -> Option<Value<'_>> {
        self.members().get(name)
    }

    /// What [`Span::of`] finds a string again by.
    pub(super) fn string(&self, name: &str) -> Option<Span> {
        let (_, node) = self.members().find(|node| node.name.of(&self.text) == name)?;
        if let Kind::String(span) = node.kind { Some(span) } else { None }
    }

    /// The members, each as it is kept.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (&str, Kind)> {
        let mut members = self.members();
        std::iter::from_fn(move || members.find(|_| true).map(|(_, node)| (node.name.of(&self.text), node.kind)))
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What it takes in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.text.capacity().saturating_add(self.nodes.capacity().saturating_mul(size_of::<Node>()))
    }

    fn value(&self, at: usize, node: &Node) -> Value<'_> {
        let inner = || Values { object: self, at, end: node.end };
        match node.kind {
            Kind::Null => Value::Null,
            Kind::Bool(flag) => Value::Bool(flag),
            Kind::Number(number) => Value::Number(number),
            Kind::String(span) => Value::String(span.of(&self.text)),
            Kind::List => Value::List(inner()),
            Kind::Object => Value::Object(inner()),
        }
    }
}

/// The members of an object, or the items of a list, in their order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'o> {
    object: &'o Object,
    at: usize,
    end: usize,
}

impl<'o> Values<'o> {
    pub(super) fn get(mut self, name: &str) -> Option<Value<'o>> {
        let Self { object, .. } = self;
        let (at, node) = self.find(|node| node.name.of(&object.text) == name)?;
        Some(object.value(at, node))
    }

    pub(super) fn iter(mut self) -> impl Iterator<Item = Value<'o>> {
        let Self { object, .. } = self;
        std::iter::from_fn(move || self.find(|_| true).map(|(at, node)| object.value(at, node)))
    }

    /// The next one, with the place of what is in it.
    fn find(&mut self, is_it: impl Fn(&Node) -> bool) -> Option<(usize, &'o Node)> {
        while self.at < self.end {
            let node = self.object.nodes.get(self.at)?;
            let inner = self.at.saturating_add(1);
            self.at = node.end.max(inner);
            if is_it(node) {
                return Some((inner, node));
            }
        }
        None
    }
}

#[cfg(test)]
impl Object {
    pub(super) fn to_json(&self) -> serde_json::Value {
        self.members().to_object()
    }
}

#[cfg(test)]
impl Values<'_> {
    fn to_object(mut self) -> serde_json::Value {
        let mut members = serde_json::Map::new();
        while let Some((at, node)) = self.find(|_| true) {
            members.insert(node.name.of(&self.object.text).to_owned(), self.object.value(at, node).to_json());
        }
        members.into()
    }
}

#[cfg(test)]
impl Value<'_> {
    fn to_json(self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(flag) => flag.into(),
            Self::Number(Number::Unsigned(number)) => number.into(),
            Self::Number(Number::Negative(number)) => number.into(),
            Self::Number(Number::Float(number)) => number.into(),
            Self::String(text) => text.into(),
            Self::List(list) => list.iter().map(Value::to_json).collect(),
            Self::Object(members) => members.to_object(),
        }
    }
}
