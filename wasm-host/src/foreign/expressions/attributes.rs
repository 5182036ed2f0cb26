//! Attributes as an expression sees them: by the names that `proxy_get_property` has, with CEL's types. Envoy's own trees are looked up name by
//! name, and are empty to whoever counts or lists them.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Iterable, Iterator, Sizer};
use cel::common::types::{CelBool, CelInt, CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;

use super::parse::STEP;
use super::value::{text, timestamp, to_cel};
use crate::property;
use crate::state::State;
use crate::value::Value;

/// Trees that are there only in a stream.
const OF_STREAM: [&str; 9] =
    ["request", "response", "connection", "upstream", "source", "destination", "metadata", "filter_state", "upstream_filter_state"];

/// What the names of an expression are.
pub(super) struct Activation<'a> {
    state: &'a State,
    iterations_left: AtomicU32,
}

impl<'a> Activation<'a> {
    pub(super) const fn new(state: &'a State, iterations: u32) -> Self {
        Self { state, iterations_left: AtomicU32::new(iterations) }
    }

    fn step(&self) -> bool {
        self.iterations_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

impl VariableResolver for Activation<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        if name == STEP {
            return self.step().then(|| CowVal::owned(CelBool::from(true)));
        }
        if name == "xds" || OF_STREAM.contains(&name) {
            let there = name == "xds" || self.state.stream().is_some();
            return there.then(|| CowVal::owned(Tree::new(self.state, vec![name.to_owned()])));
        }
        let value = property::find(self.state, &[name.as_bytes()])?;
        let value = match value {
            Value::Integer(number) if name == "connection_id" => cel::Value::UInt(number.cast_unsigned()),
            Value::Bytes(bytes) if !name.starts_with("plugin_") => set_by_guest(self.state, name, bytes),
            other => to_cel(&other),
        };
        value.try_into().ok().map(CowVal::Owned)
    }
}

/// Bytes, as whatever filter state is made of, but for what is declared to be a text.
fn set_by_guest(state: &State, name: &str, bytes: Vec<u8>) -> cel::Value {
    if state.declared(name.as_bytes()).text { text(&bytes) } else { cel::Value::Bytes(bytes.into()) }
}

/// A part of the attributes, found by name.
#[derive(Clone)]
struct Tree<'a> {
    state: &'a State,
    path: Vec<String>,
    /// Names that can be listed: of headers.
    names: Vec<CelString<'static>>,
}

impl fmt::Debug for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tree").field(&self.path).finish()
    }
}

impl<'a> Tree<'a> {
    fn new(state: &'a State, path: Vec<String>) -> Self {
        let mut tree = Self { state, path, names: Vec::new() };
        if tree.is_headers()
            && let Some(Value::Map(map)) = tree.find(&[])
        {
            tree.names = map.keys().map(|name| CelString::from(String::from_utf8_lossy(name).into_owned())).collect();
        }
        tree
    }

    fn is_headers(&self) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        matches!(path.as_slice(), ["request" | "response", "headers"] | ["response", "trailers"])
    }

    fn find(&self, rest: &[&[u8]]) -> Option<Value> {
        let path: Vec<&[u8]> = self.path.iter().map(String::as_bytes).chain(rest.iter().copied()).collect();
        property::find(self.state, &path)
    }

    fn member(&self, key: &dyn Val) -> Option<Box<dyn Val + 'a>> {
        let key = key.downcast_ref::<CelString<'_>>()?.inner();
        let path = || self.path.iter().cloned().chain([key.to_owned()]).collect();
        if self.is_headers() {
            let value = self.find(&[key.to_ascii_lowercase().as_bytes()])?;
            return to_cel(&value).try_into().ok();
        }
        let below = Tree::new(self.state, path());
        if below.is_headers() {
            return Some(Box::new(below));
        }
        let value = self.typed(key, self.find(&[key.as_bytes()])?);
        value.try_into().ok()
    }

    /// The ABI has fewer types than CEL.
    fn typed(&self, key: &str, value: Value) -> cel::Value {
        let tree = self.path.first().map(String::as_str).unwrap_or_default();
        match (tree, key, value) {
            ("request", "time", Value::Integer(number)) => timestamp(number),
            ("request", "duration", Value::Integer(number))
            | ("response", "backend_latency", Value::Integer(number))
            | ("upstream", "cx_pool_ready_duration", Value::Integer(number)) => cel::Value::Duration(chrono::Duration::nanoseconds(number)),
            ("connection", "id", Value::Integer(number))
            | ("upstream", "request_attempt_count" | "num_endpoints", Value::Integer(number)) => cel::Value::UInt(number.cast_unsigned()),
            ("filter_state" | "upstream_filter_state", _, Value::Bytes(bytes)) => {
                set_by_guest(self.state, key.strip_prefix("wasm.").unwrap_or_default(), bytes)
            }
            (_, _, Value::Bytes(bytes)) => text(&bytes),
            (_, _, other) => to_cel(&other),
        }
    }

    fn get_owned(&self, key: &dyn Val) -> Result<Box<dyn Val + 'a>, ExecutionError> {
        self.member(key).ok_or_else(|| ExecutionError::no_such_key(&format!("{key:?}")))
    }
}

impl Val for Tree<'_> {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn into_indexer<'v>(self: Box<Self>) -> Option<Box<dyn Indexer + 'v>>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    /// By what can be listed, which is nothing of most.
    fn equals(&self, other: &dyn Val) -> bool {
        let same = |name: &CelString<'static>| {
            let theirs = other.as_indexer().and_then(|other| other.get(name).ok());
            self.member(name).zip(theirs).is_some_and(|(mine, theirs)| mine.equals(theirs.as_ref()))
        };
        *other.get_type() == MAP_TYPE && other.as_sizer().map(Sizer::size) == Some(self.size()) && self.names.iter().all(same)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }
}

impl Container for Tree<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.member(key).is_some())
    }
}

impl Indexer for Tree<'_> {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get_owned(key).map(CowVal::Owned)
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get_owned(key)
    }
}

impl Sizer for Tree<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.names.len()).unwrap_or(i64::MAX))
    }
}

impl Iterable for Tree<'_> {
    fn iter<'b, 'v>(&'b self) -> Box<dyn Iterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Names(self.names.iter()))
    }
}

struct Names<'b>(std::slice::Iter<'b, CelString<'static>>);

impl<'b, 'v> Iterator<'b, 'v> for Names<'b> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        self.0.next().map(|name| name as &(dyn Val + 'v))
    }
}
