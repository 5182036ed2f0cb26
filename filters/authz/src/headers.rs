//! A request's headers as the host gave them, without those that are the policy's to set.

use meshwright_policy::Headers;

/// What a request came with, split by who may say it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    kept: Vec<(String, Vec<u8>)>,
    forged: Vec<String>,
}

impl Received {
    /// `owned` are the names, in lower case as Envoy's are, that only the policy may set.
    pub(crate) fn new(pairs: Vec<(String, Vec<u8>)>, owned: &[String]) -> Self {
        if owned.is_empty() {
            return Self { kept: pairs, forged: Vec::new() };
        }
        let (forged, kept): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(name, _)| owned.contains(name));
        Self { kept, forged: forged.into_iter().map(|(name, _)| name).collect() }
    }

    /// What the policy may look at.
    pub(crate) fn headers(&self) -> Headers<'_> {
        Headers::from_pairs(self.kept.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())))
    }

    /// Names of headers that the client sent and only the policy may set; to be removed from the request.
    pub(crate) fn forged(&self) -> &[String] {
        &self.forged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
    }

    #[test]
    fn duplicates_and_bytes_are_kept() {
        let received = Received::new(pairs(&[("a", b"1"), ("b", b"\xff"), ("a", b"2")]), &[]);
        assert_eq!(received.headers().joined("a").unwrap().as_ref(), b"1,2");
        assert_eq!(received.headers().first("b"), Some(&b"\xff"[..]));
        assert!(received.forged().is_empty());
    }

    #[test]
    fn what_the_policy_owns_is_not_heard_from_clients() {
        let received = Received::new(pairs(&[("x-user", b"root"), ("a", b""), ("x-user", b"admin")]), &["x-user".to_owned()]);
        assert!(!received.headers().contains("x-user"));
        assert!(received.headers().contains("a"));
        assert_eq!(received.forged(), ["x-user", "x-user"]);
    }
}
