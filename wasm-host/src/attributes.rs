//! What a test says about a stream: the attributes Envoy would have and its filter state. How they are looked up is in `property`.

use std::collections::BTreeMap;

use crate::value::Value;

/// Attributes and filter state of one stream, or the attributes of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attributes {
    tree: Value,
    pub(crate) filter_state: BTreeMap<Vec<u8>, Value>,
    /// What is under `upstream` once that has answered.
    pub(crate) of_upstream: BTreeMap<&'static str, Value>,
}

impl Default for Attributes {
    fn default() -> Self {
        Self { tree: Value::empty_map(), filter_state: BTreeMap::new(), of_upstream: BTreeMap::new() }
    }
}

impl Attributes {
    pub(crate) fn insert(&mut self, path: &AttributePath, value: Value) {
        let path: Vec<&[u8]> = path.0.iter().map(Vec::as_slice).collect();
        self.tree.insert(&path, value);
    }

    pub(crate) fn any(&self) -> bool {
        self.tree != Value::empty_map()
    }

    pub(crate) fn get(&self, path: &[&[u8]]) -> Option<&Value> {
        self.tree.descend(path)
    }
}

/// Where an attribute is. From a string its segments are what dots separate; from an array the segments are as given, dots and all.
///
/// ```
/// use meshwright_wasm_host::AttributePath;
///
/// assert_eq!(AttributePath::from("connection.mtls"), AttributePath::from(["connection", "mtls"]));
/// assert_ne!(AttributePath::from("request.headers.a.b"), AttributePath::from(["request", "headers", "a.b"]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributePath(Vec<Vec<u8>>);

impl From<&str> for AttributePath {
    fn from(path: &str) -> Self {
        Self(path.split('.').map(|segment| segment.as_bytes().to_vec()).collect())
    }
}

impl<const N: usize> From<[&str; N]> for AttributePath {
    fn from(path: [&str; N]) -> Self {
        Self(path.iter().map(|segment| segment.as_bytes().to_vec()).collect())
    }
}
