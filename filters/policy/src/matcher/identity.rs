//! Matches on the peer's identity. A SPIFFE ID is parsed and taken apart; what is no SPIFFE ID has no namespace, account or trust domain.

use super::glob::Glob;
use super::spiffe::SpiffeView;
use super::text::TextMatch;
use crate::index::Pattern;
use crate::request::Peer;

const SCHEME: &str = "spiffe://";
/// Istio takes this name for whatever the mesh's own trust domain is.
const ANY_LOCAL: &str = "cluster.local";

/// The mesh's own trust domain and those that count as it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalDomains(Vec<String>);

impl LocalDomains {
    pub(crate) fn new(own: &str, aliases: &[String]) -> Self {
        let mut domains = vec![own.to_owned()];
        domains.extend(aliases.iter().filter(|alias| *alias != own).cloned());
        Self(domains)
    }

    pub(crate) fn contains(&self, domain: &str) -> bool {
        self.0.iter().any(|local| local == domain)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether a trust domain in a principal, which may have a star at one end, is a local one.
    fn includes(&self, pattern: &str) -> bool {
        let is_matched = |local: &String| is_matched_at_its_end(local, pattern) || is_matched_at_its_start(local, pattern);
        pattern == ANY_LOCAL || self.contains(pattern) || self.0.iter().any(is_matched)
    }

    /// The principals that one with a local trust domain stands for. One with a star in front stays itself for those that it matches.
    fn expand(&self, principal: &str, domain: &str, rest: &str) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for local in &self.0 {
            let one = if is_matched_at_its_end(local, domain) { principal.to_owned() } else { format!("{local}/{rest}") };
            if !all.contains(&one) {
                all.push(one);
            }
        }
        all
    }
}

fn is_matched_at_its_end(domain: &str, pattern: &str) -> bool {
    pattern.strip_prefix('*').is_some_and(|suffix| domain.ends_with(suffix))
}

fn is_matched_at_its_start(domain: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').is_some_and(|prefix| domain.starts_with(prefix))
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
    /// A principal of five segments whose trust domain is local stands for the same name in all local ones; any other is taken as it is
    /// (Istio, "trust domain migration").
    pub(crate) fn parse(pattern: &str, domains: &LocalDomains) -> Result<Self, String> {
        if pattern.starts_with(SCHEME) {
            // Istio puts the scheme in front of it, so that it never matches: a DENY would deny nothing.
            return Err(format!("found `{pattern}`; `TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT`, without `{SCHEME}`, is allowed"));
        }
        let expanded = match pattern.split_once('/') {
            Some((domain, rest)) if domain != "*" && rest.split('/').count() == 4 && domains.includes(domain) => {
                domains.expand(pattern, domain, rest)
            }
            _ => vec![pattern.to_owned()],
        };
        let parsed = expanded.iter().map(|pattern| TextMatch::parse(pattern).map(PrincipalPattern::from));
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// What one of its names has, each; none where that is no pattern.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = Option<Pattern<'_>>> {
        self.0.iter().map(|pattern| match pattern {
            PrincipalPattern::Exact(exact) => Some(Pattern::Exact(exact.as_bytes().into())),
            PrincipalPattern::Prefix(prefix) => Some(Pattern::Prefix(prefix.as_bytes().into())),
            PrincipalPattern::Suffix(suffix) => Some(Pattern::Suffix(suffix.as_bytes().into())),
            PrincipalPattern::Any => None,
        })
    }

    /// Every URI name, then every DNS name, then the subject, as Envoy tries them.
    #[inline(never)]
    pub(crate) fn matches(&self, peer: &Peer) -> bool {
        let Peer::Authenticated { uri_sans, dns_sans, subject, .. } = peer else { return false };
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

    pub(crate) fn pattern(&self) -> Option<Pattern<'_>> {
        self.0.pattern()
    }

    #[inline(never)]
    pub(crate) fn matches(&self, peer: &Peer) -> bool {
        any_id(peer, |id| id.namespace().is_some_and(|found| self.0.matches(found)))
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

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    #[inline(never)]
    pub(crate) fn matches(&self, peer: &Peer) -> bool {
        any_id(peer, |id| id.namespace() == Some(&self.namespace) && id.accounts().any(|account| account == self.name))
    }
}

/// `trustDomains`: a local one stands for all local ones.
#[derive(Debug, Clone)]
pub(crate) struct TrustDomainMatch {
    domains: Vec<Glob>,
}

impl TrustDomainMatch {
    pub(crate) fn parse(pattern: &str, local: &LocalDomains) -> Result<Self, String> {
        let mut domains = vec![Glob::parse(pattern)?];
        if local.contains(pattern) {
            domains = local.0.iter().map(|domain| Glob::parse(domain)).collect::<Result<_, _>>()?;
        }
        Ok(Self { domains })
    }

    #[inline(never)]
    pub(crate) fn matches(&self, peer: &Peer) -> bool {
        any_id(peer, |id| self.domains.iter().any(|domain| domain.matches(id.trust_domain())))
    }
}

fn any_id(peer: &Peer, holds: impl Fn(SpiffeView<'_>) -> bool) -> bool {
    let Peer::Authenticated { uri_sans, .. } = peer else { return false };
    uri_sans.iter().filter_map(|san| SpiffeView::parse(san)).any(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uri_sans: &[&str]) -> Peer {
        Peer::Authenticated {
            uri_sans: uri_sans.iter().map(|san| format!("spiffe://{san}")).collect(),
            dns_sans: vec![],
            subject: None,
            serial: None,
        }
    }

    #[test]
    fn principals_are_expanded_as_istio_tests_it() {
        for (own, aliases, pattern, matched, not) in [
            ("td2", vec!["td1"], "td2/ns/foo/sa/bar", vec!["td2/ns/foo/sa/bar", "td1/ns/foo/sa/bar"], vec!["td3/ns/foo/sa/bar"]),
            ("td2", vec!["td1"], "td1/ns/foo/sa/bar", vec!["td2/ns/foo/sa/bar", "td1/ns/foo/sa/bar"], vec!["td2/ns/foo/sa/b"]),
            ("td2", vec!["td1"], "cluster.local/ns/foo/sa/bar", vec!["td2/ns/foo/sa/bar"], vec!["cluster.local/ns/foo/sa/bar"]),
            ("td2", vec!["cluster.local"], "cluster.local/ns/foo/sa/bar", vec!["td2/ns/foo/sa/bar", "cluster.local/ns/foo/sa/bar"], vec![]),
            ("td2", vec!["td1"], "other/ns/foo/sa/bar", vec!["other/ns/foo/sa/bar"], vec!["td2/ns/foo/sa/bar"]),
            ("td2", vec!["td1"], "*/ns/foo/sa/bar", vec!["td1/ns/foo/sa/bar", "x/ns/foo/sa/bar"], vec!["x/ns/foo/sa/ba"]),
            (
                "td2",
                vec!["old-td", "x"],
                "*-td/ns/foo/sa/bar",
                vec!["td2/ns/foo/sa/bar", "x/ns/foo/sa/bar", "any-td/ns/foo/sa/bar"],
                vec![],
            ),
            ("td2", vec!["td1"], "td1/ns/foo/sa/*", vec!["td2/ns/foo/sa/x", "td1/ns/foo/sa/"], vec!["td3/ns/foo/sa/x"]),
            ("td2", vec!["td1"], "td1/ns/foo/*", vec!["td1/ns/foo/sa/x"], vec!["td2/ns/foo/sa/x"]),
            ("td2", vec!["td1"], "td*/ns/foo/sa/bar", vec!["td2/ns/foo/sa/bar", "td1/ns/foo/sa/bar"], vec!["td3/ns/foo/sa/bar"]),
            ("td2", vec![], "*", vec!["any"], vec![]),
        ] {
            let aliases: Vec<String> = aliases.into_iter().map(str::to_owned).collect();
            let compiled = PrincipalMatch::parse(pattern, &LocalDomains::new(own, &aliases)).unwrap();
            matched.iter().for_each(|name| assert!(compiled.matches(&peer(&[name])), "{pattern} {name}"));
            not.iter().for_each(|name| assert!(!compiled.matches(&peer(&[name])), "{pattern} {name}"));
            assert!(!compiled.matches(&Peer::Plaintext), "{pattern}");
        }
        assert!(PrincipalMatch::parse("spiffe://td/ns/a/sa/b", &LocalDomains::new("td", &[])).is_err());
    }

    #[test]
    fn any_uri_name_counts_and_other_names_only_for_any() {
        let domains = LocalDomains::new("td", &[]);
        let wanted = PrincipalMatch::parse("td/ns/a/sa/b", &domains).unwrap();
        assert!(wanted.matches(&peer(&["x/y", "td/ns/a/sa/b"])));
        let other = Peer::Authenticated {
            uri_sans: vec![],
            dns_sans: vec!["td/ns/a/sa/b".to_owned()],
            subject: Some("CN=b".to_owned()),
            serial: None,
        };
        assert!(!wanted.matches(&other));
        assert!(PrincipalMatch::parse("*", &domains).unwrap().matches(&other));
        let nameless = Peer::Authenticated { uri_sans: vec![], dns_sans: vec![], subject: None, serial: None };
        assert!(!PrincipalMatch::parse("*", &domains).unwrap().matches(&nameless));
    }

    #[test]
    fn namespaces_and_accounts_are_segments() {
        for (pattern, matched, not) in [
            ("shop", vec!["td/ns/shop/sa/a", "other/ns/shop/x"], vec!["td/ns/shop", "td/ns/shops/sa/a", "td/x/ns/shop/sa/a"]),
            ("sh*", vec!["td/ns/shop/sa/a"], vec!["td/ns/ashop/sa/a"]),
            ("*", vec!["td/ns/x/sa/a"], vec!["td/x"]),
            // Not a pattern: CVE-class bypass by a name with a dot.
            ("s.op", vec!["td/ns/s.op/sa/a"], vec!["td/ns/shop/sa/a"]),
        ] {
            let compiled = NamespaceMatch::parse(pattern).unwrap();
            matched.iter().for_each(|name| assert!(compiled.matches(&peer(&[name])), "{pattern} {name}"));
            not.iter().for_each(|name| assert!(!compiled.matches(&peer(&[name])), "{pattern} {name}"));
        }
        for (value, matched, not) in [
            ("cart", vec!["td/ns/own/sa/cart", "x/ns/own/y/z/sa/cart/more"], vec!["td/ns/shop/sa/cart", "td/ns/own/sa/carts"]),
            ("shop/cart", vec!["td/ns/shop/sa/cart"], vec!["td/ns/own/sa/cart", "td/sa/cart/ns/shop/x", "td/ns/shop/cart"]),
            ("shop/c.rt", vec![], vec!["td/ns/shop/sa/cart"]),
        ] {
            let compiled = ServiceAccountMatch::parse(value, "own").unwrap();
            matched.iter().for_each(|name| assert!(compiled.matches(&peer(&[name])), "{value} {name}"));
            not.iter().for_each(|name| assert!(!compiled.matches(&peer(&[name])), "{value} {name}"));
        }
        for bad in ["", "/a", "a/", "a/b/c", "a/*", "*", &"a".repeat(321)] {
            assert!(ServiceAccountMatch::parse(bad, "own").is_err(), "{bad}");
        }
    }

    #[test]
    fn trust_domains_are_expanded_exactly() {
        let domains = LocalDomains::new("td2", &["td1".to_owned()]);
        for (pattern, matched, not) in [
            ("td1", vec!["td1/x", "td2/x"], vec!["td3/x", "td11/x"]),
            ("td*", vec!["td1/x", "td9/x"], vec!["a/td1"]),
            ("*", vec!["any/x"], vec![]),
            // Stands for the local ones in `principals` only.
            ("cluster.local", vec!["cluster.local/x"], vec!["td2/x"]),
        ] {
            let compiled = TrustDomainMatch::parse(pattern, &domains).unwrap();
            matched.iter().for_each(|name| assert!(compiled.matches(&peer(&[name])), "{pattern} {name}"));
            not.iter().for_each(|name| assert!(!compiled.matches(&peer(&[name])), "{pattern} {name}"));
        }
        assert!(TrustDomainMatch::parse("a/b", &domains).is_err());
    }
}
