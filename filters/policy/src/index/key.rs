//! Under what a rule can be filed.

use std::borrow::Cow;
use std::hash::BuildHasher as _;

use ipnet::IpNet;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::posting::lower_half;
use crate::check::{Check, Test};
use crate::matcher::path::PathMatch;
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

impl AttributeRef<'_> {
    /// Whether it is that one; names of headers are compared without regard to case.
    pub(crate) fn is(self, other: &Attribute) -> bool {
        match (self, other) {
            (AttributeRef::Header(name), Attribute::Header(other)) => name.eq_ignore_ascii_case(other),
            (AttributeRef::Claim(path), Attribute::Claim(other)) => path == other.as_slice(),
            (AttributeRef::Header(_) | AttributeRef::Claim(_), _) | (_, Attribute::Header(_) | Attribute::Claim(_)) => false,
            _ => Attribute::from(self) == *other,
        }
    }
}

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

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key<'r> {
    pub(crate) attribute: AttributeRef<'r>,
    pub(crate) pattern: Pattern<'r>,
}

/// How many rules have a key, by the keys' hashes: that two keys have one hash costs nothing but a little speed.
#[derive(Debug, Default)]
pub(crate) struct Frequencies(FxHashMap<u32, u32>);

impl Frequencies {
    /// Every key of the rule, of all its fields.
    pub(crate) fn count(&mut self, rule: &Rule) {
        for check in rule.checks() {
            keys(check, &mut |key| {
                let count = self.0.entry(hash(&key)).or_default();
                *count = count.saturating_add(1);
            });
        }
    }

    /// Finds the keys of which a request that matches the rule has one, chosen so that few rules share them. False when there are none.
    pub(crate) fn rarest<'r>(&self, rule: &'r Rule, found: &mut dyn FnMut(Key<'r>)) -> bool {
        let parts = [rule.to().map(Part::Alternatives), rule.from().map(Part::Alternatives), Some(Part::All(rule.when()))];
        let Some((_, part)) = first_least(parts.into_iter().flatten(), |part| self.cost_of(*part)) else { return false };
        match part {
            Part::All(checks) => self.file(checks, found),
            Part::Alternatives(alternatives) => alternatives.iter().for_each(|checks| self.file(checks, found)),
        }
        true
    }

    fn file<'r>(&self, checks: &'r [Check], found: &mut dyn FnMut(Key<'r>)) {
        if let Some((_, check)) = self.cheapest(checks) {
            keys(check, found);
        }
    }

    fn cost_of(&self, part: Part<'_>) -> Option<u32> {
        match part {
            Part::All(checks) => self.cheapest(checks).map(|(cost, _)| cost),
            // One of them must hold: each must have its keys, or none helps.
            Part::Alternatives(alternatives) => alternatives.iter().try_fold(0_u32, |sum, checks| {
                let (cost, _) = self.cheapest(checks)?;
                Some(sum.saturating_add(cost))
            }),
        }
    }

    /// Of checks that must all hold.
    fn cheapest<'r>(&self, checks: &'r [Check]) -> Option<(u32, &'r Check)> {
        first_least(checks, |check| {
            let mut cost = 0_u32;
            let of = |key: &Key<'_>| self.0.get(&hash(key)).copied().unwrap_or(0);
            // What was seen of no rule is rare, and yet not for nothing: ten such keys are worse than one.
            keys(check, &mut |key| cost = cost.saturating_add(of(&key)).saturating_add(1)).then_some(cost)
        })
    }
}

/// A part of a rule.
#[derive(Clone, Copy)]
enum Part<'r> {
    All(&'r [Check]),
    Alternatives(&'r [Vec<Check>]),
}

/// As little as can be paid: nobody looks further.
const LEAST: u32 = 2;

/// The first of those that cost the least; of what costs nearly nothing the first.
fn first_least<T>(all: impl IntoIterator<Item = T>, cost: impl Fn(&T) -> Option<u32>) -> Option<(u32, T)> {
    let mut best = None;
    for one in all {
        let Some(cost) = cost(&one) else { continue };
        if best.as_ref().is_none_or(|(least, _)| cost < *least) {
            best = Some((cost, one));
        }
        if cost <= LEAST {
            break;
        }
    }
    best
}

fn hash(key: &Key<'_>) -> u32 {
    lower_half(FxBuildHasher.hash_one(key))
}

/// Gives every key of a check to `found`, of which a request that matches it has one. False when it may match without any value that could
/// be looked up: then what was given means nothing.
#[inline(never)]
fn keys<'r>(check: &'r Check, found: &mut dyn FnMut(Key<'r>)) -> bool {
    if check.negated {
        return false;
    }
    match &check.test {
        Test::Paths(values) => each(AttributeRef::Path, values.iter().map(PathMatch::pattern), found),
        Test::Hosts(values) => each(AttributeRef::Host, values.iter().map(|value| text(value).map(lower)), found),
        Test::Methods(values) => texts(AttributeRef::Method, values, found),
        Test::Sni(values) => texts(AttributeRef::Sni, values, found),
        Test::Header(name, values, _) => texts(AttributeRef::Header(name), values, found),
        Test::Claim(path, values) => texts(AttributeRef::Claim(path), values, found),
        Test::Principals(values) => each(AttributeRef::PeerName, values.iter().flat_map(|value| value.patterns()), found),
        Test::Namespaces(values) => each(AttributeRef::Namespace, values.iter().map(|value| value.pattern()), found),
        Test::ServiceAccounts(values) => {
            each(AttributeRef::Account, values.iter().map(|value| Some(Pattern::Exact(value.name().as_bytes().into()))), found)
        }
        Test::RequestPrincipals(values) => values.iter().all(|value| match (value.subject(), value.issuer()) {
            (Some(subject @ TextMatch::Exact(_)), _) => texts(AttributeRef::Subject, std::slice::from_ref(subject), found),
            (_, issuer) => texts(AttributeRef::Issuer, std::slice::from_ref(issuer), found),
        }),
        Test::DirectIp(values) => blocks(AttributeRef::DirectIp, values, found),
        Test::RemoteIp(values) => blocks(AttributeRef::RemoteIp, values, found),
        Test::DestinationIp(values) => blocks(AttributeRef::DestinationIp, values, found),
        Test::DestinationPort(ports) => {
            let key = |port: &u16| Some(Pattern::Exact(port.to_be_bytes().to_vec().into()));
            each(AttributeRef::DestinationPort, ports.iter().map(key), found)
        }
        Test::TrustDomains(_) | Test::Metadata(..) => false,
    }
}

#[inline(never)]
fn texts<'r>(attribute: AttributeRef<'r>, values: &'r [TextMatch], found: &mut dyn FnMut(Key<'r>)) -> bool {
    each(attribute, values.iter().map(text), found)
}

#[inline(never)]
fn blocks<'r>(attribute: AttributeRef<'r>, blocks: &'r [IpNet], found: &mut dyn FnMut(Key<'r>)) -> bool {
    each(attribute, blocks.iter().map(|block| Some(Pattern::Block(*block))), found)
}

fn each<'r>(attribute: AttributeRef<'r>, patterns: impl Iterator<Item = Option<Pattern<'r>>>, found: &mut dyn FnMut(Key<'r>)) -> bool {
    for pattern in patterns {
        let Some(pattern) = pattern else { return false };
        found(Key { attribute, pattern });
    }
    true
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

fn lower(pattern: Pattern<'_>) -> Pattern<'_> {
    let lower = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.to_ascii_lowercase());
    match pattern {
        Pattern::Exact(exact) => Pattern::Exact(lower(exact)),
        Pattern::Prefix(prefix) => Pattern::Prefix(lower(prefix)),
        Pattern::Suffix(suffix) => Pattern::Suffix(lower(suffix)),
        Pattern::Block(block) => Pattern::Block(block),
    }
}
