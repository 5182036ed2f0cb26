//! Under what a rule can be filed.

use std::borrow::Cow;
use std::hash::BuildHasher as _;

use ipnet::IpNet;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::check::{Check, Test};
use crate::matcher::text::TextMatch;
use crate::rule::Rule;

/// What of a request a key is about: `N` is a header's name, `P` the path to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum AttributeOf<N, P> {
    Path,
    Host,
    Method,
    PeerName,
    Namespace,
    Account,
    DirectIp,
    RemoteIp,
    DestinationIp,
    DestinationPort,
    Sni,
    Issuer,
    Subject,
    Header(N),
    Claim(P),
}

pub(crate) type Attribute = AttributeOf<String, Vec<String>>;
/// Borrowed: a rule has more keys than it is filed under.
pub(crate) type AttributeRef<'r> = AttributeOf<&'r str, &'r [String]>;

impl From<AttributeRef<'_>> for Attribute {
    fn from(attribute: AttributeRef<'_>) -> Self {
        match attribute {
            AttributeRef::Path => Self::Path,
            AttributeRef::Host => Self::Host,
            AttributeRef::Method => Self::Method,
            AttributeRef::PeerName => Self::PeerName,
            AttributeRef::Namespace => Self::Namespace,
            AttributeRef::Account => Self::Account,
            AttributeRef::DirectIp => Self::DirectIp,
            AttributeRef::RemoteIp => Self::RemoteIp,
            AttributeRef::DestinationIp => Self::DestinationIp,
            AttributeRef::DestinationPort => Self::DestinationPort,
            AttributeRef::Sni => Self::Sni,
            AttributeRef::Issuer => Self::Issuer,
            AttributeRef::Subject => Self::Subject,
            AttributeRef::Header(name) => Self::Header(name.to_ascii_lowercase()),
            AttributeRef::Claim(path) => Self::Claim(path.to_vec()),
        }
    }
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Pattern<'r> {
    Exact(Cow<'r, [u8]>),
    Prefix(Cow<'r, [u8]>),
    Suffix(Cow<'r, [u8]>),
    Block(IpNet),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key<'r> {
    pub(crate) attribute: AttributeRef<'r>,
    pub(crate) pattern: Pattern<'r>,
}

/// How many rules have a key, by the keys' hashes: that two keys have one hash costs nothing but a little speed.
#[derive(Debug, Default)]
pub(crate) struct Frequencies(FxHashMap<u64, u32>);

impl Frequencies {
    pub(crate) fn count(&mut self, key: &Key<'_>) {
        let count = self.0.entry(FxBuildHasher.hash_one(key)).or_default();
        *count = count.saturating_add(1);
    }

    fn of(&self, key: &Key<'_>) -> u64 {
        self.0.get(&FxBuildHasher.hash_one(key)).copied().unwrap_or(0).into()
    }
}

/// Every key of the rule, of all its fields.
pub(crate) fn all<'r>(rule: &'r Rule, found: &mut impl FnMut(Key<'r>)) {
    rule.checks().for_each(|check| {
        if let Some(keys) = of_check(check) {
            keys.into_iter().for_each(&mut *found);
        }
    });
}

/// The keys of which a request that matches has one, chosen so that few rules share them; none when there is no such set.
pub(crate) fn rarest<'r>(rule: &'r Rule, frequencies: &Frequencies) -> Option<Vec<Key<'r>>> {
    let cost = |keys: &[Key<'r>]| -> u64 { keys.iter().map(|key| frequencies.of(key)).sum() };
    let of_checks = |checks: &'r [Check]| checks.iter().filter_map(of_check).min_by_key(|keys| cost(keys));
    // One of the alternatives must hold: each must have its keys, or none helps.
    let of_alternatives = |alternatives: &'r [Vec<Check>]| -> Option<Vec<Key<'r>>> {
        let keys: Option<Vec<Vec<Key<'r>>>> = alternatives.iter().map(|checks| of_checks(checks)).collect();
        Some(keys?.into_iter().flatten().collect())
    };
    let sets = [rule.to().and_then(of_alternatives), rule.from().and_then(of_alternatives), of_checks(rule.when())];
    sets.into_iter().flatten().min_by_key(|keys| cost(keys))
}

/// None: a request may match without any value that could be looked up.
fn of_check(check: &Check) -> Option<Vec<Key<'_>>> {
    if check.negated {
        return None;
    }
    match &check.test {
        Test::Paths(values) => values.iter().map(|value| one(AttributeRef::Path, value.pattern())).collect(),
        Test::Hosts(values) => values.iter().map(|value| one(AttributeRef::Host, lower(text(value)?))).collect(),
        Test::Methods(values) => values.iter().map(|value| one(AttributeRef::Method, text(value))).collect(),
        Test::Sni(values) => values.iter().map(|value| one(AttributeRef::Sni, text(value))).collect(),
        Test::Header(name, values, _) => values.iter().map(|value| one(AttributeRef::Header(name), text(value))).collect(),
        Test::Claim(path, values) => values.iter().map(|value| one(AttributeRef::Claim(path), text(value))).collect(),
        Test::Principals(values) => {
            let patterns = values.iter().flat_map(|value| value.patterns());
            patterns.map(|pattern| one(AttributeRef::PeerName, pattern)).collect()
        }
        Test::Namespaces(values) => values.iter().map(|value| one(AttributeRef::Namespace, value.pattern())).collect(),
        Test::ServiceAccounts(values) => {
            values.iter().map(|value| one(AttributeRef::Account, Some(Pattern::Exact(value.name().as_bytes().into())))).collect()
        }
        Test::RequestPrincipals(values) => values
            .iter()
            .map(|value| match (value.subject(), value.issuer()) {
                (Some(TextMatch::Exact(subject)), _) => one(AttributeRef::Subject, Some(Pattern::Exact(subject.as_bytes().into()))),
                (_, issuer) => one(AttributeRef::Issuer, text(issuer)),
            })
            .collect(),
        Test::DirectIp(blocks) => blocks.iter().map(|block| one(AttributeRef::DirectIp, Some(Pattern::Block(*block)))).collect(),
        Test::RemoteIp(blocks) => blocks.iter().map(|block| one(AttributeRef::RemoteIp, Some(Pattern::Block(*block)))).collect(),
        Test::DestinationIp(blocks) => blocks.iter().map(|block| one(AttributeRef::DestinationIp, Some(Pattern::Block(*block)))).collect(),
        Test::DestinationPort(ports) => {
            let key = |port: &u16| one(AttributeRef::DestinationPort, Some(Pattern::Exact(port.to_be_bytes().to_vec().into())));
            ports.iter().map(key).collect()
        }
        Test::TrustDomains(_) | Test::Metadata(..) => None,
    }
}

fn one<'r>(attribute: AttributeRef<'r>, pattern: Option<Pattern<'r>>) -> Option<Key<'r>> {
    Some(Key { attribute, pattern: pattern? })
}

/// None for `*`, which any value matches.
pub(crate) fn text(text: &TextMatch) -> Option<Pattern<'_>> {
    match text {
        TextMatch::Exact(exact) => Some(Pattern::Exact(exact.as_bytes().into())),
        TextMatch::Prefix(prefix) => Some(Pattern::Prefix(prefix.as_bytes().into())),
        TextMatch::Suffix(suffix) => Some(Pattern::Suffix(suffix.as_bytes().into())),
        TextMatch::Present => None,
    }
}

fn lower(pattern: Pattern<'_>) -> Option<Pattern<'_>> {
    let lower = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.to_ascii_lowercase());
    Some(match pattern {
        Pattern::Exact(exact) => Pattern::Exact(lower(exact)),
        Pattern::Prefix(prefix) => Pattern::Prefix(lower(prefix)),
        Pattern::Suffix(suffix) => Pattern::Suffix(lower(suffix)),
        Pattern::Block(block) => Pattern::Block(block),
    })
}
