use crate::index::Pattern;

/// A pattern in which every `*` stands for any run of characters, in any place: Istio's `namespaces` and `trustDomains`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    /// What stands between the stars; one part: no star.
    parts: Vec<String>,
}

impl Glob {
    pub(crate) fn parse(pattern: &str) -> Result<Self, String> {
        if pattern.is_empty() {
            return Err("found an empty string; a name is allowed, with `*` for any characters".to_owned());
        }
        if pattern.contains('/') {
            return Err(format!("found `{pattern}`; a name without `/` is allowed"));
        }
        Ok(Self { parts: pattern.split('*').map(str::to_owned).collect() })
    }

    /// What every value that matches has; none when that is nothing.
    pub(crate) fn pattern(&self) -> Option<Pattern<'_>> {
        let [first, .., last] = self.parts.as_slice() else {
            return self.parts.first().map(|only| Pattern::Exact(only.as_bytes().into()));
        };
        match (first.as_str(), last.as_str()) {
            ("", "") => None,
            ("", suffix) => Some(Pattern::Suffix(suffix.as_bytes().into())),
            (prefix, _) => Some(Pattern::Prefix(prefix.as_bytes().into())),
        }
    }

    pub(crate) fn matches(&self, value: &str) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return self.parts.first().is_some_and(|only| only == value);
        };
        let Some(mut rest) = value.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            match rest.split_once(part.as_str()) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        rest.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_anywhere() {
        for (pattern, yes, no) in [
            ("a", vec!["a"], vec!["", "aa", "b"]),
            ("a*", vec!["a", "ab"], vec!["ba"]),
            ("*a", vec!["a", "ba"], vec!["ab"]),
            ("a*c*e", vec!["ace", "abcde", "accee"], vec!["ae", "aec", "abc"]),
            ("*", vec!["", "a"], vec![]),
            ("aba*aba", vec!["abaaba"], vec!["aba", "ababa"]),
            ("a.b", vec!["a.b"], vec!["axb"]),
        ] {
            let glob = Glob::parse(pattern).unwrap();
            yes.iter().for_each(|v| assert!(glob.matches(v), "{pattern} {v}"));
            no.iter().for_each(|v| assert!(!glob.matches(v), "{pattern} {v}"));
        }
        assert!(Glob::parse("").is_err() && Glob::parse("a/b").is_err());
    }
}
