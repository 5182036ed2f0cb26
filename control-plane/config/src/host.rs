//! Host names as the documents write them: exact, or with a wildcard as the first label.

use std::fmt;

const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// A lower-case DNS name, `*.` and a DNS name, or `*` alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(String);

/// Why a text is not a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    #[error("a host is not empty")]
    Empty,
    #[error("a host has at most {LONGEST_NAME} characters, found {0}")]
    TooLong(usize),
    #[error("`{0}` is not a DNS label: 1 to {LONGEST_LABEL} of `a-z`, `0-9`, `-` and `_`, not starting or ending with `-`")]
    Label(String),
    #[error("`*` may only be the first label, as in `*.example.com`")]
    Wildcard,
    #[error("`{0}` is an IP address: a host is a DNS name")]
    Address(String),
}

impl Host {
    /// Case is ignored: hosts are kept in lower case (RFC 9110, section 4.2.3).
    ///
    /// # Errors
    /// [`InvalidHost`].
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        if text.is_empty() {
            return Err(InvalidHost::Empty);
        }
        if text.len() > LONGEST_NAME {
            return Err(InvalidHost::TooLong(text.len()));
        }
        if text.parse::<std::net::IpAddr>().is_ok() {
            return Err(InvalidHost::Address(text.to_owned()));
        }
        let host = text.to_ascii_lowercase();
        if host == "*" {
            return Ok(Self(host));
        }
        let name = host.strip_prefix("*.").unwrap_or(&host);
        name.split('.').try_for_each(check_label)?;
        Ok(Self(host))
    }

    /// As [`Host::parse`], and a name without a dot is taken as a service of `namespace`, as Istio does: `catalog` in namespace `shop` is
    /// `catalog.shop.svc.cluster.local`. `registered` says whether a service has the short name itself, which then wins.
    pub(crate) fn qualified(&self, namespace: &str, registered: impl Fn(&Self) -> bool) -> Self {
        if self.0.contains('.') || self.0 == "*" || registered(self) {
            return self.clone();
        }
        Self(format!("{}.{namespace}.svc.cluster.local", self.0))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with('*')
    }

    /// Whether every name that `other` stands for is one that `self` stands for.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match self.0.strip_prefix('*') {
            Some(suffix) => {
                other.0.strip_prefix('*').unwrap_or(&other.0).ends_with(suffix) && (suffix.is_empty() || other.0.len() > suffix.len())
            }
            None => self == other,
        }
    }

    /// Whether a name exists that both stand for.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

fn check_label(label: &str) -> Result<(), InvalidHost> {
    if label.contains('*') {
        return Err(InvalidHost::Wildcard);
    }
    let good = !label.is_empty()
        && label.len() <= LONGEST_LABEL
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-');
    if good { Ok(()) } else { Err(InvalidHost::Label(label.to_owned())) }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    #[test]
    fn hosts_are_lower_case_names_with_at_most_a_leading_wildcard() {
        assert_eq!(host("Catalog.Shop.Mesh").as_str(), "catalog.shop.mesh");
        for (bad, why) in [
            ("", InvalidHost::Empty),
            ("a..b", InvalidHost::Label(String::new())),
            ("a b", InvalidHost::Label("a b".to_owned())),
            ("-a", InvalidHost::Label("-a".to_owned())),
            ("a.*.b", InvalidHost::Wildcard),
            ("*a.b", InvalidHost::Wildcard),
            ("10.0.0.1", InvalidHost::Address("10.0.0.1".to_owned())),
            (&"a".repeat(300), InvalidHost::TooLong(300)),
        ] {
            assert_eq!(Host::parse(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_covers_names_below_it_but_not_its_own() {
        for (wide, narrow, covers) in [
            ("*", "a.b", true),
            ("*", "*.b", true),
            ("*.b", "a.b", true),
            ("*.b", "c.a.b", true),
            ("*.b", "*.a.b", true),
            ("*.b", "*.b", true),
            ("*.b", "b", false),
            ("*.b", "ab", false),
            ("*.a.b", "*.b", false),
            ("a.b", "a.b", true),
            ("a.b", "*.b", false),
        ] {
            assert_eq!(host(wide).covers(&host(narrow)), covers, "{wide} {narrow}");
        }
        assert!(host("a.b").overlaps(&host("*.b")));
        assert!(!host("a.b").overlaps(&host("*.c")));
    }

    #[test]
    fn short_names_belong_to_the_namespace_of_the_document() {
        assert_eq!(host("catalog").qualified("shop", |_| false).as_str(), "catalog.shop.svc.cluster.local");
        assert_eq!(host("catalog").qualified("shop", |_| true).as_str(), "catalog");
        assert_eq!(host("a.b").qualified("shop", |_| false).as_str(), "a.b");
    }
}
