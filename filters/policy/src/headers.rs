//! Request headers as Envoy hands them to a module: bytes, in order, duplicates kept. Nothing is assumed to be UTF-8.

use std::borrow::Cow;

use crate::jwt::HeaderChange;

/// Names and values, borrowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    pairs: Vec<(&'a [u8], &'a [u8])>,
}

/// Why bytes are not a serialized map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeaders {
    #[error("the header map is cut short")]
    Truncated,
    #[error("the header map has {0} bytes too many")]
    Trailing(usize),
}

impl<'a> Headers<'a> {
    /// From proxy-wasm's serialized map: a little-endian u32 count, that many pairs of u32 lengths, then each name and value with a zero
    /// byte behind it. No bytes at all are an empty map.
    ///
    /// # Errors
    /// When the bytes are not exactly that.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, InvalidHeaders> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let (count, rest) = number(bytes)?;
        let lengths_size = count.checked_mul(8).ok_or(InvalidHeaders::Truncated)?;
        let (mut lengths, mut data) = rest.split_at_checked(lengths_size).ok_or(InvalidHeaders::Truncated)?;
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            let (name_length, rest) = number(lengths)?;
            let (value_length, rest) = number(rest)?;
            lengths = rest;
            let (name, rest) = terminated(data, name_length)?;
            let (value, rest) = terminated(rest, value_length)?;
            data = rest;
            pairs.push((name, value));
        }
        if data.is_empty() { Ok(Self { pairs }) } else { Err(InvalidHeaders::Trailing(data.len())) }
    }

    /// From pairs that somebody else has parsed.
    #[must_use]
    pub fn from_pairs(pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        Self { pairs: pairs.into_iter().collect() }
    }

    /// Every value of a header, in order. Names compare without regard to case.
    pub fn all<'n>(&self, name: &'n str) -> impl DoubleEndedIterator<Item = &'a [u8]> + Clone + use<'a, 'n, '_> {
        self.pairs.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| *value)
    }

    #[must_use]
    pub fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The value that policies compare: duplicates are joined with `,`, as Envoy joins them.
    #[must_use]
    pub fn joined(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        let mut values = self.all(name);
        let first = values.next()?;
        let Some(second) = values.next() else { return Some(Cow::Borrowed(first)) };
        let mut joined = first.to_vec();
        for value in std::iter::once(second).chain(values) {
            joined.push(b',');
            joined.extend_from_slice(value);
        }
        Some(Cow::Owned(joined))
    }

    /// The same after `changes`, in their order.
    pub(crate) fn changed<'c>(&self, changes: &'c [HeaderChange]) -> Headers<'c>
    where
        'a: 'c,
    {
        let mut pairs: Vec<(&[u8], &[u8])> = self.pairs.clone();
        for change in changes {
            let (HeaderChange::Set(name, _) | HeaderChange::Remove(name)) = change;
            pairs.retain(|(found, _)| !found.eq_ignore_ascii_case(name.as_bytes()));
            if let HeaderChange::Set(name, value) = change {
                pairs.push((name.as_bytes(), value.as_bytes()));
            }
        }
        Headers { pairs }
    }

    /// Only those for whose names `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&'a [u8]) -> bool) {
        self.pairs.retain(|(name, _)| keep(name));
    }

    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, (&'a [u8], &'a [u8])> {
        self.pairs.iter()
    }
}

/// Whether a text is a header's name (RFC 9110 section 5.1).
pub(crate) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn number(bytes: &[u8]) -> Result<(usize, &[u8]), InvalidHeaders> {
    let (four, rest) = bytes.split_first_chunk::<4>().ok_or(InvalidHeaders::Truncated)?;
    let number = usize::try_from(u32::from_le_bytes(*four)).map_err(|_| InvalidHeaders::Truncated)?;
    Ok((number, rest))
}

fn terminated(bytes: &[u8], length: usize) -> Result<(&[u8], &[u8]), InvalidHeaders> {
    let (text, rest) = bytes.split_at_checked(length).ok_or(InvalidHeaders::Truncated)?;
    match rest.split_first() {
        Some((0, rest)) => Ok((text, rest)),
        _ => Err(InvalidHeaders::Truncated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serialized(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut bytes = u32::try_from(pairs.len()).unwrap().to_le_bytes().to_vec();
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        }
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
        bytes
    }

    #[test]
    fn reads_what_envoy_serializes() {
        let pairs: &[(&[u8], &[u8])] = &[(b":path", b"/a?b#c"), (b"x-a", b"1"), (b"X-A", b""), (b"bin", b"\xff\xfe")];
        let bytes = serialized(pairs);
        let headers = Headers::parse(&bytes).unwrap();
        assert_eq!(headers.iter().copied().collect::<Vec<_>>(), pairs);
        assert_eq!(headers.joined("x-a").unwrap().as_ref(), b"1,");
        assert_eq!((headers.first("BIN"), headers.joined("none")), (Some(b"\xff\xfe".as_slice()), None));
        let request = crate::HttpRequest::new(headers);
        assert_eq!((request.path(), request.query()), (b"/a".as_slice(), b"b".as_slice()));
        assert_eq!(Headers::parse(b"").unwrap(), Headers::default());
    }

    #[test]
    fn every_prefix_and_every_surplus_is_refused() {
        let mut bytes = serialized(&[(b"name", b"value"), (b"n", b"")]);
        for end in 1..bytes.len() {
            assert!(Headers::parse(&bytes[..end]).is_err(), "{end}");
        }
        bytes.push(0);
        assert_eq!(Headers::parse(&bytes), Err(InvalidHeaders::Trailing(1)));
        assert_eq!(Headers::parse(&u32::MAX.to_le_bytes()), Err(InvalidHeaders::Truncated));
    }
}
