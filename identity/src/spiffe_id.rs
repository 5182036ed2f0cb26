use std::fmt;

use serde::{Deserialize, Serialize};

use crate::trust_domain::{InvalidTrustDomain, TrustDomain};

const SCHEME: &str = "spiffe://";

/// A SPIFFE ID: `spiffe://<trust domain>[/<segment>…]` (SPIFFE ID section 2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpiffeId {
    trust_domain: TrustDomain,
    /// Empty, or starts with `/`.
    path: String,
}

/// Why a string is not a SPIFFE ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpiffeId {
    #[error("a SPIFFE ID has at most 2048 bytes, found {0}")]
    TooLong(usize),
    #[error("a SPIFFE ID starts with `spiffe://`")]
    Scheme,
    #[error(transparent)]
    TrustDomain(#[from] InvalidTrustDomain),
    #[error("a SPIFFE ID's path has no empty segment and no trailing `/`")]
    EmptySegment,
    #[error("a SPIFFE ID's path has no `.` or `..` segment")]
    DotSegment,
    #[error("a SPIFFE ID's path is made of `A-Z`, `a-z`, `0-9`, `.`, `-` and `_`, found `{0}`")]
    Character(char),
}

impl SpiffeId {
    /// Longest SPIFFE ID, in bytes (SPIFFE ID section 2.3).
    pub const MAX_LEN: usize = 2048;

    /// # Errors
    /// [`InvalidSpiffeId`], naming the first rule of the specification that does not hold.
    pub fn parse(id: &str) -> Result<Self, InvalidSpiffeId> {
        if id.len() > Self::MAX_LEN {
            return Err(InvalidSpiffeId::TooLong(id.len()));
        }
        let rest = id.strip_prefix(SCHEME).ok_or(InvalidSpiffeId::Scheme)?;
        let (domain, path) = match rest.split_once('/') {
            Some((domain, path)) => (domain, Some(path)),
            None => (rest, None),
        };
        let trust_domain = TrustDomain::parse(domain)?;
        let path = match path {
            Some(path) => {
                path.split('/').try_for_each(check_segment)?;
                format!("/{path}")
            }
            None => String::new(),
        };
        Ok(Self { trust_domain, path })
    }

    /// The identity of a service account, in the form that Istio uses: `spiffe://<td>/ns/<namespace>/sa/<service account>`.
    ///
    /// # Errors
    /// [`InvalidSpiffeId`] when a name has characters that a path segment may not have.
    pub fn for_service_account(trust_domain: &TrustDomain, namespace: &str, service_account: &str) -> Result<Self, InvalidSpiffeId> {
        check_segment(namespace)?;
        check_segment(service_account)?;
        Self::parse(&format!("{SCHEME}{trust_domain}/ns/{namespace}/sa/{service_account}"))
    }

    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Empty for a trust domain's own ID, else starting with `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `(namespace, service account)` when the path is exactly `/ns/<namespace>/sa/<service account>`.
    #[must_use]
    pub fn service_account(&self) -> Option<(&str, &str)> {
        let mut parts = self.path.split('/').skip(1);
        match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("ns"), Some(namespace), Some("sa"), Some(account), None) => Some((namespace, account)),
            _ => None,
        }
    }

    /// Without the scheme: `<td>/ns/<ns>/sa/<sa>`, the form in which Istio's `principals` are written.
    #[must_use]
    pub fn principal(&self) -> String {
        format!("{}{}", self.trust_domain, self.path)
    }
}

fn check_segment(segment: &str) -> Result<(), InvalidSpiffeId> {
    if segment.is_empty() {
        return Err(InvalidSpiffeId::EmptySegment);
    }
    if segment == "." || segment == ".." {
        return Err(InvalidSpiffeId::DotSegment);
    }
    match segment.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_')) {
        Some(bad) => Err(InvalidSpiffeId::Character(bad)),
        None => Ok(()),
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", self.trust_domain, self.path)
    }
}

impl TryFrom<String> for SpiffeId {
    type Error = InvalidSpiffeId;
    fn try_from(id: String) -> Result<Self, Self::Error> {
        Self::parse(&id)
    }
}

impl From<SpiffeId> for String {
    fn from(id: SpiffeId) -> Self {
        id.to_string()
    }
}

impl std::str::FromStr for SpiffeId {
    type Err = InvalidSpiffeId;
    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::parse(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_takes_apart() {
        let id = SpiffeId::parse("spiffe://cluster.local/ns/shop/sa/cart").unwrap();
        assert_eq!(id.to_string(), "spiffe://cluster.local/ns/shop/sa/cart");
        assert_eq!(id.service_account(), Some(("shop", "cart")));
        assert_eq!(id.principal(), "cluster.local/ns/shop/sa/cart");
        assert_eq!(SpiffeId::parse("spiffe://td").unwrap().path(), "");
        assert_eq!(SpiffeId::parse("spiffe://td/ns/a/sa/b/c").unwrap().service_account(), None);
    }

    #[test]
    fn refuses_with_the_rule_that_does_not_hold() {
        use InvalidSpiffeId as E;
        let long = format!("spiffe://td/{}", "a".repeat(2048));
        for (bad, why) in [
            ("https://td/a", E::Scheme),
            ("spiffe://td/", E::EmptySegment),
            ("spiffe://td//a", E::EmptySegment),
            ("spiffe://td/a/", E::EmptySegment),
            ("spiffe://td/./a", E::DotSegment),
            ("spiffe://td/a/..", E::DotSegment),
            ("spiffe://td/a%20", E::Character('%')),
            ("spiffe://td/a?b", E::Character('?')),
            ("spiffe://TD/a", E::TrustDomain(InvalidTrustDomain::Character('T'))),
            ("spiffe:///a", E::TrustDomain(InvalidTrustDomain::Length(0))),
            (long.as_str(), E::TooLong(long.len())),
        ] {
            assert_eq!(SpiffeId::parse(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_service_account_cannot_smuggle_segments() {
        let td = TrustDomain::parse("td").unwrap();
        assert_eq!(SpiffeId::for_service_account(&td, "a/sa/b", "c"), Err(InvalidSpiffeId::Character('/')));
        assert_eq!(SpiffeId::for_service_account(&td, "a", "").unwrap_err(), InvalidSpiffeId::EmptySegment);
    }
}
