/// Istio's string match: `v` exact, `v*` prefix, `*v` suffix, `*` any that is not empty. A `*` elsewhere is itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TextMatch {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Present,
}

impl TextMatch {
    pub(crate) fn parse(pattern: &str) -> Result<Self, String> {
        if pattern.is_empty() {
            return Err("found an empty string; a value is allowed, or `*` for any".to_owned());
        }
        // The order is Istio's: `*a*` is a suffix match on the literal `a*`.
        Ok(if pattern == "*" {
            Self::Present
        } else if let Some(suffix) = pattern.strip_prefix('*') {
            Self::Suffix(suffix.to_owned())
        } else if let Some(prefix) = pattern.strip_suffix('*') {
            Self::Prefix(prefix.to_owned())
        } else {
            Self::Exact(pattern.to_owned())
        })
    }

    #[inline(never)]
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => value == exact.as_bytes(),
            Self::Prefix(prefix) => value.starts_with(prefix.as_bytes()),
            Self::Suffix(suffix) => value.ends_with(suffix.as_bytes()),
            Self::Present => !value.is_empty(),
        }
    }

    /// Compares several values as if they were joined with `,`, and joins none.
    pub(crate) fn matches_joined<'a>(&self, values: impl DoubleEndedIterator<Item = &'a [u8]> + Clone) -> bool {
        let length = values.clone().fold(0_usize, |length, value| length.saturating_add(value.len()).saturating_add(1)).saturating_sub(1);
        // Each value with the comma behind it; the last comma is one too many, and is behind all that is compared.
        let forwards = || values.clone().flat_map(|value| value.iter().chain(b",")).take(length);
        let backwards = || values.clone().rev().flat_map(|value| value.iter().rev().chain(b",")).take(length);
        match self {
            Self::Exact(exact) => length == exact.len() && forwards().eq(exact.as_bytes()),
            Self::Prefix(prefix) => length >= prefix.len() && forwards().take(prefix.len()).eq(prefix.as_bytes()),
            Self::Suffix(suffix) => length >= suffix.len() && backwards().take(suffix.len()).eq(suffix.as_bytes().iter().rev()),
            Self::Present => values.clone().next().is_some(),
        }
    }

    /// Host names compare without regard to case (CVE-2021-39155).
    #[inline(never)]
    pub(crate) fn matches_ignoring_case(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => value.eq_ignore_ascii_case(exact.as_bytes()),
            Self::Prefix(prefix) => value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes())),
            Self::Suffix(suffix) => {
                let end = value.len().checked_sub(suffix.len()).and_then(|start| value.get(start..));
                end.is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
            }
            Self::Present => !value.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_as_istio_does() {
        for (pattern, yes, no) in [
            ("a", vec!["a"], vec!["", "A", "ab", "ba"]),
            ("a*", vec!["a", "ab"], vec!["", "ba"]),
            ("*a", vec!["a", "ba"], vec!["", "ab"]),
            ("*", vec!["a", "*"], vec![""]),
            ("*a*", vec!["xa*"], vec!["xa", "xab"]),
            ("a*b", vec!["a*b"], vec!["axb"]),
        ] {
            let compiled = TextMatch::parse(pattern).unwrap();
            yes.iter().for_each(|v| assert!(compiled.matches(v.as_bytes()), "{pattern} {v}"));
            no.iter().for_each(|v| assert!(!compiled.matches(v.as_bytes()), "{pattern} {v}"));
        }
        assert!(TextMatch::parse("").is_err());
    }

    #[test]
    fn joined_values_compare_as_one() {
        let parts: [&[&[u8]]; 7] = [&[b""], &[b"a"], &[b"a", b"b"], &[b"", b""], &[b"", b"a"], &[b"ab", b"", b"c"], &[b"a", b"\xff"]];
        for pattern in
            ["a", "a,b", "a*", "a,*", "*b", "*,b", ",*", "*,", ",", "*,a", ",a", "ab,,c", "*,,c", "ab,,*", "*c", "*,ab,,c", "ab,,c,*"]
        {
            for values in parts {
                let pattern = TextMatch::parse(pattern).unwrap();
                let joined = values.join(&b',');
                assert_eq!(pattern.matches_joined(values.iter().copied()), pattern.matches(&joined), "{pattern:?} {values:?}");
            }
        }
        // Here `*` is the presence of the header, also of an empty one.
        assert!(TextMatch::Present.matches_joined([b"".as_slice()].into_iter()));
        assert!(!TextMatch::Present.matches_joined(std::iter::empty()));
    }

    #[test]
    fn hosts_ignore_case() {
        for (pattern, value, expected) in [
            ("A.com", "a.COM", true),
            ("*.Com", "x.cOM", true),
            ("api.*", "API.x", true),
            ("*.com", "com", false),
            ("*", "", false),
            ("abc*", "ab", false),
        ] {
            assert_eq!(TextMatch::parse(pattern).unwrap().matches_ignoring_case(value.as_bytes()), expected, "{pattern} {value}");
        }
    }
}
