//! Where the keys of a token's issuer are, when they are not in the document. Fetching them is somebody else's.

use std::collections::BTreeMap;
use std::time::Duration;

use meshwright_policy::wire;

use crate::record::record;

/// Where a key set is fetched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeySource {
    /// At this URL.
    Uri(String),
    /// Where the configuration says that this issuer publishes (OpenID Connect Discovery 1.0).
    Issuer(String),
}

/// Key sets as JSON (RFC 7517), each checked by the policy's own parser.
pub type KeySets = BTreeMap<KeySource, String>;

impl KeySource {
    /// None: the rule has its keys in it.
    #[must_use]
    pub fn of(rule: &wire::JwtRule) -> Option<Self> {
        match (&rule.jwks, &rule.jwks_uri) {
            (Some(_), _) => None,
            (None, Some(uri)) => Some(Self::Uri(uri.clone())),
            (None, None) => Some(Self::Issuer(rule.issuer.clone())),
        }
    }

    /// What is asked for first.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Uri(uri) => uri.clone(),
            // "Any terminating / MUST be removed" (OpenID Connect Discovery 1.0 section 4.1).
            Self::Issuer(issuer) => format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer)),
        }
    }
}

record! {
    /// Keys that a rule needs and does not have in it.
    #[derive(Eq)]
    FetchedKeys {
        text issuer,
        plain source: KeySource,
        /// How long one fetch may take.
        copy timeout: Duration,
    }
}

impl FetchedKeys {
    /// Istio's.
    const TIMEOUT: Duration = Duration::from_secs(5);

    /// None: the rule has its keys in it.
    pub(crate) fn of(rule: &wire::JwtRule, timeout: Option<Duration>) -> Option<Self> {
        Some(Self { issuer: rule.issuer.clone(), source: KeySource::of(rule)?, timeout: timeout.unwrap_or(Self::TIMEOUT) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_what_is_asked_for_first() {
        let rule = |jwks: Option<&str>, uri: Option<&str>, issuer: &str| wire::JwtRule {
            issuer: issuer.to_owned(),
            jwks: jwks.map(str::to_owned),
            jwks_uri: uri.map(str::to_owned),
            ..wire::JwtRule::default()
        };
        let url = |rule: wire::JwtRule| KeySource::of(&rule).map(|source| source.url());
        assert_eq!(url(rule(Some("{}"), None, "https://i")), None);
        assert_eq!(url(rule(None, Some("https://k/keys"), "i")).as_deref(), Some("https://k/keys"));
        for issuer in ["https://i/a", "https://i/a/"] {
            assert_eq!(url(rule(None, None, issuer)).as_deref(), Some("https://i/a/.well-known/openid-configuration"));
        }
    }
}
