//! A request's headers as the host gave them, without those that are the policy's to set.

use meshwright_policy::{Headers, InvalidHeaders};

/// What a request came with, split by who may say it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received<'a> {
    kept: Headers<'a>,
    forged: Vec<&'a str>,
}

impl<'a> Received<'a> {
    /// `owned` are the names, in lower case as Envoy's are, that only the policy may set.
    pub(crate) fn parse(bytes: &'a [u8], owned: &'a [String]) -> Result<Self, InvalidHeaders> {
        let (mut kept, mut forged) = (Headers::parse(bytes)?, Vec::new());
        if !owned.is_empty() {
            kept.retain(|name| {
                let owner = owned.iter().find(|owned| owned.as_bytes() == name);
                forged.extend(owner.map(String::as_str));
                owner.is_none()
            });
        }
        Ok(Self { kept, forged })
    }

    /// What the policy may look at.
    pub(crate) fn into_headers(self) -> Headers<'a> {
        self.kept
    }

    /// Names of headers that the client sent and only the policy may set; to be removed from the request.
    pub(crate) fn forged(&self) -> &[&'a str] {
        &self.forged
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// As a host serializes headers.
    pub(crate) fn map(pairs: &[(&str, &[u8])]) -> Vec<u8> {
        let length = |text: &[u8]| u32::try_from(text.len()).unwrap().to_le_bytes();
        let lengths = pairs.iter().flat_map(|(name, value)| [length(name.as_bytes()), length(value)]).flatten();
        let texts = pairs.iter().flat_map(|(name, value)| [name.as_bytes(), b"\0", value, b"\0"]).flatten().copied();
        u32::try_from(pairs.len()).unwrap().to_le_bytes().into_iter().chain(lengths).chain(texts).collect()
    }

    #[test]
    fn duplicates_and_bytes_are_kept() {
        let bytes = map(&[("a", b"1"), ("b", b"\xff"), ("a", b"2")]);
        let received = Received::parse(&bytes, &[]).unwrap();
        assert!(received.forged().is_empty());
        let headers = received.into_headers();
        assert_eq!(headers.joined("a").unwrap().as_ref(), b"1,2");
        assert_eq!(headers.first("b"), Some(&b"\xff"[..]));
    }

    #[test]
    fn what_the_policy_owns_is_not_heard_from_clients() {
        let bytes = map(&[("x-user", b"root"), ("a", b""), ("x-user", b"admin")]);
        let owned = ["x-user".to_owned()];
        let received = Received::parse(&bytes, &owned).unwrap();
        assert_eq!(received.forged(), ["x-user", "x-user"]);
        let headers = received.into_headers();
        assert!(!headers.contains("x-user"));
        assert!(headers.contains("a"));
    }

    #[test]
    fn what_is_no_map_is_nothing() {
        assert!(Received::parse(b"\x01", &[]).is_err());
    }
}
