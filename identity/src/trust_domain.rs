use std::fmt;

use serde::{Deserialize, Serialize};

/// A SPIFFE trust domain: 1 to 255 of `a-z`, `0-9`, `.`, `-`, `_` (SPIFFE ID section 2.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(String);

/// Why a string is not a trust domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTrustDomain {
    #[error("a trust domain has 1 to 255 characters, found {0}")]
    Length(usize),
    #[error("a trust domain is made of `a-z`, `0-9`, `.`, `-` and `_`, found `{0}`")]
    Character(char),
}

impl TrustDomain {
    /// Longest trust domain, in bytes (SPIFFE ID section 2.3).
    pub const MAX_LEN: usize = 255;

    /// # Errors
    /// [`InvalidTrustDomain`] when the length or a character is outside the specification's.
    pub fn parse(name: &str) -> Result<Self, InvalidTrustDomain> {
        if name.is_empty() || name.len() > Self::MAX_LEN {
            return Err(InvalidTrustDomain::Length(name.len()));
        }
        match name.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | '_')) {
            Some(bad) => Err(InvalidTrustDomain::Character(bad)),
            None => Ok(Self(name.to_owned())),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = InvalidTrustDomain;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name)
    }
}

impl From<TrustDomain> for String {
    fn from(domain: TrustDomain) -> Self {
        domain.0
    }
}

impl std::str::FromStr for TrustDomain {
    type Err = InvalidTrustDomain;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::parse(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_the_specification_allows() {
        for good in ["a", "cluster.local", "prod-1_eu.example", &"a".repeat(255)] {
            assert_eq!(TrustDomain::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn refuses_everything_else_with_the_reason() {
        assert_eq!(TrustDomain::parse(""), Err(InvalidTrustDomain::Length(0)));
        assert_eq!(TrustDomain::parse(&"a".repeat(256)), Err(InvalidTrustDomain::Length(256)));
        for (bad, character) in [("Example.org", 'E'), ("a:1", ':'), ("a@b", '@'), ("a%41", '%'), ("a/b", '/'), ("ä", 'ä')] {
            assert_eq!(TrustDomain::parse(bad), Err(InvalidTrustDomain::Character(character)));
        }
    }
}
