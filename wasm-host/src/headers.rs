//! An ordered multimap of header names and values, and its form on the wire. Knows nothing of phases or streams.

use crate::abi::length;

/// HTTP headers or trailers: ordered, names in lower case, several values per name, any bytes.
///
/// ```
/// use meshwright_wasm_host::Headers;
///
/// let headers: Headers = [("A", "1"), ("b", "2"), ("a", "3")].into_iter().collect();
/// assert_eq!(headers.get("a"), Some(b"1".as_slice()));
/// assert_eq!(headers.get_all("a").count(), 2);
/// assert_eq!(Headers::parse(&headers.serialize()), Some(headers));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Vec<u8>, Vec<u8>)>);

impl Headers {
    /// No headers.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The first value of `name`, which is in any case.
    #[must_use]
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name.as_ref())).map(|(_, value)| value.as_slice())
    }

    /// The first value of `name` when it is UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// Every value of `name`, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value.as_slice())
    }

    /// All pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// Number of pairs.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a value, beside those that the name has.
    pub fn add(&mut self, name: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) {
        self.0.push((name.as_ref().to_ascii_lowercase(), value.into()));
    }

    /// Makes `value` the only one of `name`.
    pub fn set(&mut self, name: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) {
        let key = name.as_ref().to_ascii_lowercase();
        let place = self.0.iter().position(|(existing, _)| *existing == key).unwrap_or(self.0.len());
        self.remove(&key);
        self.0.insert(place.min(self.0.len()), (key, value.into()));
    }

    /// As [`set`](Self::set), but in the place where a new header goes: behind all others, and a pseudo header behind those.
    pub(crate) fn replace(&mut self, name: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) {
        let key = name.as_ref().to_ascii_lowercase();
        self.remove(&key);
        let place = if key.starts_with(b":") { self.0.iter().take_while(|(name, _)| name.starts_with(b":")).count() } else { self.0.len() };
        self.0.insert(place, (key, value.into()));
    }

    /// Removes every value of `name`.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) {
        self.0.retain(|(key, _)| !key.eq_ignore_ascii_case(name.as_ref()));
    }

    /// Bytes of all names and values: what `proxy_get_header_map_size` answers.
    #[must_use]
    pub fn byte_size(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    /// Pairs whose names keep their case: not headers, but of the same form on the wire.
    pub(crate) const fn verbatim(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        Self(pairs)
    }

    /// All values of `name` joined by commas, as the property `request.headers.<name>` has them.
    pub(crate) fn joined(&self, name: &[u8]) -> Option<Vec<u8>> {
        let values: Vec<&[u8]> = self.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect();
        (!values.is_empty()).then(|| values.join(&b","[..]))
    }

    /// The ABI's form of a map: nothing for an empty one, else a little-endian `u32` count, the pairs of lengths, then every name and value
    /// with a zero byte after each.
    #[must_use]
    pub fn serialize(&self) -> Vec<u8> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut out = Vec::with_capacity(4 + self.byte_size() + 10 * self.len());
        out.extend(length(self.len()).to_le_bytes());
        for (key, value) in &self.0 {
            out.extend(length(key.len()).to_le_bytes());
            out.extend(length(value.len()).to_le_bytes());
        }
        for part in self.0.iter().flat_map(|(key, value)| [key, value]) {
            out.extend_from_slice(part);
            out.push(0);
        }
        out
    }

    /// Reads what [`serialize`](Self::serialize) writes; nothing and a lone zero byte are the empty map. `None` when the bytes are not
    /// exactly a map.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if matches!(bytes, [] | [0]) {
            return Some(Self::new());
        }
        let (count, rest) = take_u32(bytes)?;
        let count = usize::try_from(count).ok()?;
        // The count is the guest's word: nothing is reserved for pairs that the bytes cannot hold.
        let sizes_len = count.checked_mul(8).filter(|len| *len <= rest.len())?;
        let (mut sizes, mut data) = rest.split_at_checked(sizes_len)?;
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            let (key_len, after) = take_u32(sizes)?;
            let (value_len, after) = take_u32(after)?;
            sizes = after;
            let (key, after) = take_terminated(data, key_len)?;
            let (value, after) = take_terminated(after, value_len)?;
            data = after;
            pairs.push((key.to_ascii_lowercase(), value.to_vec()));
        }
        data.is_empty().then_some(Self(pairs))
    }
}

impl<N: AsRef<[u8]>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::new();
        for (name, value) in pairs {
            headers.add(name, value);
        }
        headers
    }
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number), rest))
}

fn take_terminated(bytes: &[u8], len: u32) -> Option<(&[u8], &[u8])> {
    let (part, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
    match rest.split_first()? {
        (0, rest) => Some((part, rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_exactly_a_map_or_nothing() {
        let wire = b"\x02\0\0\0\x01\0\0\0\x02\0\0\0\x02\0\0\0\0\0\0\0A\0xy\0:p\0\0".to_vec();
        let headers: Headers = [("a", "xy"), (":p", "")].into_iter().collect();
        assert_eq!(Headers::parse(&wire), Some(headers));
        for cut in 2..wire.len() {
            assert_eq!(Headers::parse(&wire[..cut]), None, "{cut}");
        }
        assert_eq!(Headers::parse(&[wire.clone(), vec![0]].concat()), None, "a byte more");
        assert_eq!(Headers::parse(b"\xff\xff\xff\xff"), None);
        assert_eq!(Headers::parse(b"\0"), Some(Headers::new()));
        assert_eq!(Headers::parse(b"\x01\0\0\0\x01\0\0\0\0\0\0\0axx"), None, "no terminator");
    }

    #[test]
    fn set_keeps_the_place_and_one_value() {
        let mut headers: Headers = [(":path", "/"), ("a", "1"), ("b", "2"), ("a", "3")].into_iter().collect();
        headers.set("A", "4");
        assert_eq!(headers, [(":path", "/"), ("a", "4"), ("b", "2")].into_iter().collect());
        assert_eq!(headers.byte_size(), 10);
        headers.remove("b");
        headers.set("c", "5");
        assert_eq!(headers, [(":path", "/"), ("a", "4"), ("c", "5")].into_iter().collect());
    }
}
