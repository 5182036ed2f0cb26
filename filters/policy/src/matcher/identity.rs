//! Matches on the peer's identity. A SPIFFE ID is parsed and taken apart; what is no SPIFFE ID has no namespace, account or trust domain.

use meshwright_identity::SpiffeId;

use super::glob::Glob;
use super::text::TextMatch;
use crate::request::Peer;

const SCHEME: &str = "spiffe://";
/// Istio takes this name for whatever the mesh's own trust domain is.
const ANY_LOCAL: &str = "cluster.local";

/// The mesh's own trust domain and those that count as it.
#[derive(Debug, Clone)]
pub(crate) struct LocalDomains(Vec<String>);

impl LocalDomains {
    pub(crate) fn new(own: &str, aliases: &[String]) -> Self {
        let mut domains = vec![own.to_owned()];
        domains.extend(aliases.iter().filter(|alias| *alias != own).cloned());
        Self(domains)
    }

    fn is_local(&self, domain: &str) -> bool {
        domain == ANY_LOCAL || self.0.iter().any(|local| local == domain)
    }
}

/// `principals`: compared with the peer's names as they are in its certificate.
#[derive(Debug, Clone)]
pub(crate) struct PrincipalMatch(Vec<PrincipalPattern>);

#[derive(Debug, Clone)]
enum PrincipalPattern {
    /// With the scheme in front.
    Exact(String),
    Prefix(String),
    /// Behind the scheme.
    Suffix(String),
    Any,
}

impl PrincipalMatch {
    /// A principal of five segments whose trust domain is local stands for all local ones; any other is taken as it is.
    pub(crate) fn parse(pattern: &str, domains: &LocalDomains) -> Result<Self, String> {
        let expanded = match pattern.split_once('/') {
            Some((domain, rest)) if rest.split('/').count() == 4 && domains.is_local(domain) => {
                let mut all: Vec<String> = domains.0.iter().map(|local| format!("{local}/{rest}")).collect();
                if !all.iter().any(|known| known == pattern) {
                    all.push(pattern.to_owned());
                }
                all
            }
            _ => vec![pattern.to_owned()],
        };
        let parsed = expanded.iter().map(|pattern| TextMatch::parse(pattern).map(PrincipalPattern::from));
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// Every URI name, then every DNS name, then the subject, as Envoy tries them.
    pub(crate) fn matches(&self, peer: &Peer) -> bool {
        let Peer::Authenticated { uri_sans, dns_sans, subject } = peer else { return false };
        let mut names = uri_sans.iter().chain(dns_sans).chain(subject);
        names.any(|name| self.0.iter().any(|pattern| pattern.matches(name)))
    }
}

impl From<TextMatch> for PrincipalPattern {
    fn from(text: TextMatch) -> Self {
        match text {
            TextMatch::Exact(exact) => Self::Exact(format!("{SCHEME}{exact}")),
            TextMatch::Prefix(prefix) => Self::Prefix(format!("{SCHEME}{prefix}")),
            TextMatch::Suffix(suffix) => Self::Suffix(suffix),
            TextMatch::Present => Self::Any,
        }
    }
}

impl PrincipalPattern {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => name == exact,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => name.strip_prefix(SCHEME).is_some_and(|principal| principal.ends_with(suffix.as_str())),
            Self::Any => !name.is_empty(),
        }
    }
}

/// `namespaces`: the segment behind `/ns/`, when something follows it.
#[derive(Debug, Clone)]
pub(crate) struct NamespaceMatch(Glob);

impl NamespaceMatch {
    pub(crate) fn parse(pattern: &str) -> Result<Self, String> {
        Glob::parse(pattern).map(Self)
    }

    pub(crate) fn matches(&self, peer: &Peer) -> bool {
        any_id(peer, |id| namespace(id).is_some_and(|found| self.0.matches(found)))
    }
}

/// `serviceAccounts`: `<namespace>/<name>`, or `<name>` in the policy's own namespace; of any trust domain.
#[derive(Debug, Clone)]
pub(crate) struct ServiceAccountMatch {
    namespace: String,
    name: String,
}

impl ServiceAccountMatch {
    /// Istio's limit.
    const LONGEST: usize = 320;

    pub(crate) fn parse(value: &str, own_namespace: &str) -> Result<Self, String> {
        let wrong =
            || Err(format!("found `{value}`; `NAMESPACE/NAME` or `NAME` of at most {} characters, without `*`, is allowed", Self::LONGEST));
        let (namespace, name) = value.split_once('/').unwrap_or((own_namespace, value));
        if namespace.is_empty() || name.is_empty() || name.contains('/') || value.contains('*') || value.len() > Self::LONGEST {
            return wrong();
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    pub(crate) fn matches(&self, peer: &Peer) -> bool {
        any_id(peer, |id| namespace(id) == Some(&self.namespace) && accounts(id).any(|account| account == self.name))
    }
}

/// `trustDomains`.
#[derive(Debug, Clone)]
pub(crate) struct TrustDomainMatch {
    domains: Vec<Glob>,
}

impl TrustDomainMatch {
    pub(crate) fn parse(pattern: &str, local: &LocalDomains) -> Result<Self, String> {
        let mut domains = vec![Glob::parse(pattern)?];
        if local.is_local(pattern) {
            domains.extend(local.0.iter().map(|domain| Glob::parse(domain)).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Self { domains })
    }

    pub(crate) fn matches(&self, peer: &Peer) -> bool {
        any_id(peer, |id| self.domains.iter().any(|domain| domain.matches(id.trust_domain().as_str())))
    }
}

fn any_id(peer: &Peer, holds: impl Fn(&SpiffeId) -> bool) -> bool {
    let Peer::Authenticated { uri_sans, .. } = peer else { return false };
    uri_sans.iter().any(|san| SpiffeId::parse(san).is_ok_and(|id| holds(&id)))
}

fn namespace(id: &SpiffeId) -> Option<&str> {
    let mut segments = id.path().split('/').skip(1);
    match (segments.next(), segments.next(), segments.next()) {
        (Some("ns"), Some(namespace), Some(_)) => Some(namespace),
        _ => None,
    }
}

/// What stands behind a segment `sa`, anywhere after the namespace: other segments may be in between.
fn accounts(id: &SpiffeId) -> impl Iterator<Item = &str> {
    let segments = id.path().split('/').skip(3);
    segments.clone().zip(segments.skip(1)).filter(|(key, _)| *key == "sa").map(|(_, account)| account)
}
