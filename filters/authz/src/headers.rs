//! A request's headers as the host gave them, without those that are the policy's to set.

/// What a request came with, split by who may say it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// In proxy-wasm's serialized form (spec, "Serialization of header maps"): `u32` count, a pair of `u32` lengths for each, then each
    /// name and value followed by a zero byte; numbers are little endian.
    pub(crate) serialized: Vec<u8>,
    /// Names of headers that the client sent and only the policy may set; to be removed from the request.
    pub(crate) forged: Vec<String>,
}

impl Received {
    /// `None` when there is more than the form can express, which no proxy lets in.
    pub(crate) fn new(pairs: Vec<(String, Vec<u8>)>, is_owned: impl Fn(&str) -> bool) -> Option<Self> {
        let (owned, kept): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(name, _)| is_owned(name));
        let forged = owned.into_iter().map(|(name, _)| name).collect();
        Some(Self { serialized: serialize(&kept)?, forged })
    }
}

fn serialize(pairs: &[(String, Vec<u8>)]) -> Option<Vec<u8>> {
    let size: usize = pairs.iter().map(|(name, value)| name.len() + value.len() + 10).sum();
    let mut out = Vec::with_capacity(size + 4);
    out.extend(u32::try_from(pairs.len()).ok()?.to_le_bytes());
    for (name, value) in pairs {
        out.extend(u32::try_from(name.len()).ok()?.to_le_bytes());
        out.extend(u32::try_from(value.len()).ok()?.to_le_bytes());
    }
    for (name, value) in pairs {
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
    }

    #[test]
    fn serializes_as_the_host_does() {
        let received = Received::new(pairs(&[("a", b"xy"), (":p", b"\xff")]), |_| false).unwrap();
        assert_eq!(received.serialized, b"\x02\0\0\0\x01\0\0\0\x02\0\0\0\x02\0\0\0\x01\0\0\0a\0xy\0:p\0\xff\0");
        assert_eq!(received.forged, Vec::<String>::new());
    }

    #[test]
    fn what_the_policy_owns_is_not_heard_from_clients() {
        let received = Received::new(pairs(&[("x-user", b"root"), ("a", b""), ("x-user", b"admin")]), |name| name == "x-user").unwrap();
        assert_eq!(received.serialized, b"\x01\0\0\0\x01\0\0\0\0\0\0\0a\0\0");
        assert_eq!(received.forged, ["x-user", "x-user"]);
    }

    #[test]
    fn no_headers_are_a_count_of_zero() {
        assert_eq!(Received::new(Vec::new(), |_| true).unwrap().serialized, [0; 4]);
    }
}
