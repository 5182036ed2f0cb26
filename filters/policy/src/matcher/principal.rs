use super::text::TextMatch;

/// `requestPrincipals`: `<issuer>/<subject>` of a verified token, split at the last `/`, each part matched by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestPrincipalMatch {
    issuer: TextMatch,
    /// None: the token's subject would have to be empty, which no token's is.
    subject: Option<TextMatch>,
}

impl RequestPrincipalMatch {
    pub(crate) fn parse(pattern: &str) -> Result<Self, String> {
        let whole = TextMatch::parse(pattern)?;
        let Some((issuer, subject)) = pattern.rsplit_once('/') else {
            return Ok(match whole {
                TextMatch::Present => Self { issuer: TextMatch::Present, subject: Some(TextMatch::Present) },
                TextMatch::Prefix(_) => Self { issuer: whole, subject: Some(TextMatch::Present) },
                TextMatch::Suffix(_) => Self { issuer: TextMatch::Present, subject: Some(whole) },
                TextMatch::Exact(_) => Self { issuer: whole, subject: None },
            });
        };
        if issuer.is_empty() || subject.is_empty() {
            return Err(format!("found `{pattern}`; `ISSUER/SUBJECT` is allowed, each with `*` at one end or alone"));
        }
        // Only a star at the very start or the very end of the value is one; between issuer and subject it is itself.
        let issuer = match whole {
            TextMatch::Suffix(_) | TextMatch::Present => TextMatch::parse(issuer)?,
            TextMatch::Exact(_) | TextMatch::Prefix(_) => TextMatch::Exact(issuer.to_owned()),
        };
        let subject = match whole {
            TextMatch::Prefix(_) if subject == "*" => TextMatch::Present,
            TextMatch::Prefix(_) => TextMatch::Prefix(subject.strip_suffix('*').unwrap_or(subject).to_owned()),
            TextMatch::Exact(_) | TextMatch::Suffix(_) | TextMatch::Present => TextMatch::Exact(subject.to_owned()),
        };
        Ok(Self { issuer, subject: Some(subject) })
    }

    pub(crate) fn issuer(&self) -> &TextMatch {
        &self.issuer
    }

    /// None: nothing matches.
    pub(crate) fn subject(&self) -> Option<&TextMatch> {
        self.subject.as_ref()
    }

    #[inline(never)]
    pub(crate) fn matches(&self, issuer: &str, subject: Option<&str>) -> bool {
        let (Some(wanted), Some(subject)) = (&self.subject, subject) else { return false };
        self.issuer.matches(issuer.as_bytes()) && wanted.matches(subject.as_bytes()) && !subject.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuer_and_subject_match_apart() {
        for (pattern, issuer, subject, expected) in [
            ("*", "i", Some("s"), true),
            ("*", "i", None, false),
            ("i/s", "i", Some("s"), true),
            ("i/s", "i", Some("t"), false),
            ("https://a/b/s", "https://a/b", Some("s"), true),
            ("i/s*", "i", Some("st"), true),
            ("i/*", "i", Some("x"), true),
            ("i/*", "j", Some("x"), false),
            ("i/*s*", "i", Some("*st"), true),
            ("i/*s*", "i", Some("xs*"), false),
            ("*i/s", "xi", Some("s"), true),
            ("*i/s", "xi", Some("t"), false),
            ("*i/s", "xj", Some("s"), false),
            ("*/s", "any", Some("s"), true),
            ("ex*", "example", Some("any"), true),
            ("*le", "any", Some("example"), true),
            ("plain", "plain", Some("s"), false),
        ] {
            assert_eq!(RequestPrincipalMatch::parse(pattern).unwrap().matches(issuer, subject), expected, "{pattern} {issuer} {subject:?}");
        }
        assert!(RequestPrincipalMatch::parse("/s").is_err() && RequestPrincipalMatch::parse("i/").is_err());
    }
}
