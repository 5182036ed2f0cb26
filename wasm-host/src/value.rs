//! The values that properties have, and how `proxy_get_property` encodes each.

use std::collections::BTreeMap;

use crate::abi::Status;
use crate::headers::Headers;

/// The value of an attribute or of a filter state object.
///
/// ```
/// use meshwright_wasm_host::Value;
///
/// assert_eq!(Value::from("v").encode(), Ok(b"v".to_vec()));
/// assert_eq!(Value::from(true).encode(), Ok(vec![1]));
/// assert_eq!(Value::from(258).encode(), Ok(vec![2, 1, 0, 0, 0, 0, 0, 0]));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A string, bytes or a serialized protobuf message: as they are.
    Bytes(Vec<u8>),
    /// Eight bytes, little endian. Durations and timestamps are integers of nanoseconds.
    Integer(i64),
    /// Eight bytes, little endian.
    Double(f64),
    /// One byte.
    Bool(bool),
    /// The form of header maps; a path may also lead into it.
    Map(BTreeMap<Vec<u8>, Value>),
    /// The form of header maps, with the elements as names of empty values.
    List(Vec<Value>),
}

impl Value {
    /// The bytes that the guest gets. A map or list whose members are not all plain is [`Status::SerializationFailure`].
    pub fn encode(&self) -> Result<Vec<u8>, Status> {
        match self {
            Self::Map(map) => {
                let pairs = map.iter().map(|(key, value)| Ok((key.clone(), value.encode_plain()?)));
                Ok(pairs_of(pairs.collect::<Result<Vec<_>, Status>>()?))
            }
            Self::List(list) => {
                let pairs = list.iter().map(|value| Ok((value.encode_plain()?, Vec::new())));
                Ok(pairs_of(pairs.collect::<Result<Vec<_>, Status>>()?))
            }
            Self::Bytes(_) | Self::Integer(_) | Self::Double(_) | Self::Bool(_) => self.encode_plain(),
        }
    }

    fn encode_plain(&self) -> Result<Vec<u8>, Status> {
        Ok(match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Integer(number) => number.to_le_bytes().to_vec(),
            Self::Double(number) => number.to_le_bytes().to_vec(),
            Self::Bool(value) => vec![u8::from(*value)],
            Self::Map(_) | Self::List(_) => return Err(Status::SerializationFailure),
        })
    }

    /// The value at the end of `path`; `None` when there is none.
    pub(crate) fn descend(&self, path: &[&[u8]]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else {
            return Some(self);
        };
        match self {
            Self::Map(map) => map.get(*first)?.descend(rest),
            Self::Bytes(_) | Self::Integer(_) | Self::Double(_) | Self::Bool(_) | Self::List(_) => None,
        }
    }

    /// Puts `value` at the end of `path`, making maps on the way and replacing what is no map.
    pub(crate) fn insert(&mut self, path: &[&[u8]], value: Self) {
        let Some((first, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if !matches!(self, Self::Map(_)) {
            *self = Self::empty_map();
        }
        if let Self::Map(map) = self {
            map.entry(first.to_vec()).or_insert_with(Self::empty_map).insert(rest, value);
        }
    }

    pub(crate) const fn empty_map() -> Self {
        Self::Map(BTreeMap::new())
    }
}

/// Not through [`Headers`], whose names are in lower case: these keep theirs.
///
/// An empty map is a count of none, where an empty header map is nothing at all.
fn pairs_of(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<u8> {
    if pairs.is_empty() {
        return vec![0; 4];
    }
    Headers::verbatim(pairs).serialize()
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_and_lists_are_pairs_and_do_not_nest() {
        let list = Value::List(vec!["B".into(), "a".into()]);
        assert_eq!(list.encode().unwrap(), b"\x02\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0B\0\0a\0\0");
        let mut map = Value::empty_map();
        map.insert(&[b"k"], "v".into());
        assert_eq!(map.encode().unwrap(), b"\x01\0\0\0\x01\0\0\0\x01\0\0\0k\0v\0");
        map.insert(&[b"m", b"n"], 1.into());
        assert_eq!(map.encode(), Err(Status::SerializationFailure));
        assert_eq!(map.descend(&[b"m", b"n"]), Some(&Value::Integer(1)));
        assert_eq!(map.descend(&[b"k", b"n"]), None);
    }
}
