//! Decides about a request of which not everything is known, as about one that was logged: a decision comes out when what is missing could not
//! change it. Three-valued (Kleene): a check of what is missing may hold or not, and so may what depends on it. Sound, and not complete: that
//! two checks of the same missing value contradict each other is not seen.

use std::fmt;

use crate::check::{Check, Test};
use crate::decision::{Decision, Reason, Verdict};
use crate::evaluation::{CustomCheck, RuleRef};
use crate::index;
use crate::jwt::Authentication;
use crate::layer::{Entry, Layer};
use crate::metadata::MetadataKey;
use crate::policy::{Layers, Policy, Provider};
use crate::request::{Peer, Request};
use crate::rule::Rule;
use crate::view::as_rules_see_it;

/// One thing that a decision may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute<'p> {
    /// What became of the request's tokens. When it is missing, so is all that a token says and changes.
    Token,
    /// The peer's identity.
    Peer,
    /// The serial of the peer's certificate.
    PeerSerial,
    /// Who opened the connection.
    DirectIp,
    /// Who sent the request.
    RemoteIp,
    /// The workload's own address.
    DestinationIp,
    /// The workload's own port.
    DestinationPort,
    /// The server name that the client's TLS asked for.
    Sni,
    /// Issuer and subject of the verified token.
    RequestPrincipal,
    /// The host.
    Host,
    /// The method.
    Method,
    /// The path, without query.
    Path,
    /// What another filter says, by its key.
    Metadata(&'p MetadataKey),
    /// A header, by its name as the policy writes it.
    Header(&'p str),
    /// A claim of the verified token, by its path.
    Claim(&'p [String]),
}

impl<'p> Attribute<'p> {
    fn of(test: &'p Test) -> Self {
        match test {
            Test::Principals(_) | Test::Namespaces(_) | Test::ServiceAccounts(_) | Test::TrustDomains(_) => Self::Peer,
            Test::DirectIp(_) => Self::DirectIp,
            Test::RemoteIp(_) => Self::RemoteIp,
            Test::DestinationIp(_) => Self::DestinationIp,
            Test::DestinationPort(_) => Self::DestinationPort,
            Test::Sni(_) => Self::Sni,
            Test::Metadata(key, _) => Self::Metadata(key),
            Test::RequestPrincipals(_) => Self::RequestPrincipal,
            Test::Hosts(_) => Self::Host,
            Test::Methods(_) => Self::Method,
            Test::Paths(_) => Self::Path,
            Test::Header(name, ..) => Self::Header(name),
            Test::Claim(path, _) => Self::Claim(path),
        }
    }

    /// What rules are filed under.
    fn filed(attribute: &'p index::Attribute) -> Self {
        match attribute {
            index::Attribute::Path => Self::Path,
            index::Attribute::Host => Self::Host,
            index::Attribute::Method => Self::Method,
            index::Attribute::PeerName | index::Attribute::Namespace | index::Attribute::Account => Self::Peer,
            index::Attribute::DirectIp => Self::DirectIp,
            index::Attribute::RemoteIp => Self::RemoteIp,
            index::Attribute::DestinationIp => Self::DestinationIp,
            index::Attribute::DestinationPort => Self::DestinationPort,
            index::Attribute::Sni => Self::Sni,
            index::Attribute::Issuer | index::Attribute::Subject => Self::RequestPrincipal,
            index::Attribute::Header(name) => Self::Header(name),
            index::Attribute::Claim(path) => Self::Claim(path),
        }
    }

    /// A verified token takes headers away and writes others.
    fn depends_on_token(self) -> bool {
        match self {
            Self::Token | Self::RequestPrincipal | Self::Header(_) | Self::Claim(_) => true,
            Self::Peer
            | Self::PeerSerial
            | Self::DirectIp
            | Self::RemoteIp
            | Self::DestinationIp
            | Self::DestinationPort
            | Self::Sni
            | Self::Metadata(_)
            | Self::Host
            | Self::Method
            | Self::Path => false,
        }
    }
}

impl fmt::Display for Attribute<'_> {
    /// As the key of a condition is written, where there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "token",
            Self::Peer => "source.principal",
            Self::PeerSerial => "source.serial",
            Self::DirectIp => "source.ip",
            Self::RemoteIp => "remote.ip",
            Self::DestinationIp => "destination.ip",
            Self::DestinationPort => "destination.port",
            Self::Sni => "connection.sni",
            Self::RequestPrincipal => "request.auth.principal",
            Self::Host => "request.host",
            Self::Method => "request.method",
            Self::Path => "request.path",
            Self::Header(name) => return write!(f, "request.headers[{name}]"),
            Self::Metadata(key) => return write!(f, "{key}"),
            Self::Claim(path) => return write!(f, "request.auth.claims[{}]", path.join("][")),
        })
    }
}

/// What comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partially<'p> {
    /// Whatever is missing, this is done.
    Decided {
        /// The verdict is certain. Policy, rule and reason are so when `exact` says it; else another rule, of which not everything is known, may
        /// be the one that decides the same.
        decision: Decision<'p>,
        /// Whether all of the decision is certain.
        exact: bool,
        /// Who has to agree, too, to what the decision allows; the providers are certain.
        custom: Vec<CustomCheck<'p>>,
    },
    /// What is missing may change it: these rules and attributes.
    Undecided(Vec<Open<'p>>),
}

impl Partially<'_> {
    fn certain(decision: Decision<'static>) -> Self {
        Self::Decided { decision, exact: true, custom: Vec::new() }
    }
}

/// Why nothing is decided.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Open<'p> {
    /// The rule of which it is not known whether it matches; none: the token, or the peer itself, may be refused.
    pub rule: Option<(&'p str, u32)>,
    /// What it looks at and nobody knows.
    pub missing: Attribute<'p>,
}

/// What is known beside the request itself.
#[derive(Clone, Copy)]
pub struct Knowledge<'k> {
    /// Attributes that are not known: what the request says of them counts for nothing.
    pub missing: &'k dyn Fn(Attribute<'_>) -> bool,
    /// Rules of which it is known whether they match, as from the record of a decision. Asked only where the attributes do not say it.
    pub rules: &'k dyn Fn(RuleRef<'_>) -> Option<bool>,
}

impl fmt::Debug for Knowledge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Knowledge").finish_non_exhaustive()
    }
}

/// Decides about a request of which not everything is known.
#[must_use]
pub fn decide_partially<'p>(policy: &'p Policy, request: &Request<'_>, knowledge: Knowledge<'_>) -> Partially<'p> {
    let connection = request.connection;
    let suspicion = match (missing_of_peer(policy, &connection.peer, knowledge), policy.refuses(connection)) {
        (None, Some(reason)) => return Partially::certain(Decision::denied(reason)),
        (open, _) => open,
    };
    let found = decide_admitted(policy, request, knowledge);
    // The peer may be denied: only what is denied anyway is decided.
    let Some(missing) = suspicion else { return found };
    let refused = Open { rule: None, missing };
    match found {
        Partially::Decided { decision, .. } if decision.verdict == Verdict::Deny => {
            Partially::Decided { decision, exact: false, custom: Vec::new() }
        }
        Partially::Decided { .. } => Partially::Undecided(vec![refused]),
        Partially::Undecided(mut open) => {
            open.push(refused);
            Partially::Undecided(open)
        }
    }
}

/// What would have to be known of a peer to say whether it is denied as such.
fn missing_of_peer<'p>(policy: &Policy, peer: &Peer, knowledge: Knowledge<'_>) -> Option<Attribute<'p>> {
    let denied = &policy.denied;
    let is_missing = |attribute| (knowledge.missing)(attribute);
    if is_missing(Attribute::Peer) {
        return (!denied.is_empty() || !policy.mutual_tls.is_empty()).then_some(Attribute::Peer);
    }
    let Peer::Authenticated { uri_sans, serial, .. } = peer else {
        let by_port = !policy.mutual_tls.except.is_empty() && is_missing(Attribute::DestinationPort);
        return by_port.then_some(Attribute::DestinationPort);
    };
    let unknown = denied.has_serials() && (serial.is_none() || is_missing(Attribute::PeerSerial));
    (unknown && !denied.has_one_of(uri_sans)).then_some(Attribute::PeerSerial)
}

/// As [`decide_partially`], of a peer that is not denied as such.
fn decide_admitted<'p>(policy: &'p Policy, request: &Request<'_>, knowledge: Knowledge<'_>) -> Partially<'p> {
    let Knowledge { missing, rules } = knowledge;
    let token = request.http.is_some() && policy.verifies_tokens() && missing(Attribute::Token);
    if let (Authentication::Refused(refusal), false) = (request.authentication, token) {
        return Partially::certain(Decision::denied(Reason::Token(refusal.error())));
    }
    let missing = |attribute: Attribute<'_>| token && attribute.depends_on_token() || missing(attribute);
    let found = as_rules_see_it(request, |request| Partial { request, missing: &missing, rules }.decide(policy));
    if !token {
        return found;
    }
    // The token may be refused, which denies: only what is denied anyway is decided.
    let refused = Open { rule: None, missing: Attribute::Token };
    match found {
        Partially::Decided { decision, .. } if decision.verdict == Verdict::Deny => {
            Partially::Decided { decision, exact: false, custom: Vec::new() }
        }
        Partially::Decided { .. } => Partially::Undecided(vec![refused]),
        Partially::Undecided(mut open) => {
            open.push(refused);
            Partially::Undecided(open)
        }
    }
}

/// In an order in which "and" is the least and "or" the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Truth {
    No,
    Unknown,
    Yes,
}

impl From<bool> for Truth {
    fn from(known: bool) -> Self {
        if known { Self::Yes } else { Self::No }
    }
}

struct Partial<'a> {
    request: &'a Request<'a>,
    missing: &'a dyn Fn(Attribute<'_>) -> bool,
    rules: &'a dyn Fn(RuleRef<'_>) -> Option<bool>,
}

/// Of the rules of one action.
struct Matches<'p> {
    /// The first that matches, whatever is missing.
    first: Option<&'p Entry>,
    /// Those before it that may match.
    open: Vec<&'p Entry>,
}

impl Partial<'_> {
    fn decide<'p>(&self, policy: &'p Policy) -> Partially<'p> {
        let (decision, exact) = match self.by_rules(&policy.enforced) {
            Ok(decided) => decided,
            Err(open) => return Partially::Undecided(open),
        };
        let mut custom = Vec::new();
        if decision.verdict == Verdict::Allow {
            for Provider { name: provider, layer } in &policy.custom {
                let Matches { first, open } = self.matches(layer);
                match first {
                    Some(entry) => custom.push(CustomCheck { provider, rule: reference(entry) }),
                    None if open.is_empty() => {}
                    None => return Partially::Undecided(self.told(&open)),
                }
            }
        }
        Partially::Decided { decision, exact, custom }
    }

    /// As the full decision goes: DENY, then ALLOW; where ALLOW policies apply, what none of them matches is denied.
    fn by_rules<'p>(&self, layers: &'p Layers) -> Result<(Decision<'p>, bool), Vec<Open<'p>>> {
        let by =
            |entry: &'p Entry, verdict, reason| Decision { verdict, policy: Some(&entry.origin().key), rule: Some(entry.index()), reason };
        let deny = self.matches(&layers.deny);
        if let Some(entry) = deny.first {
            return Ok((by(entry, Verdict::Deny, Reason::DenyRule), deny.open.is_empty()));
        }
        let undecided = |open: &[&'p Entry]| Err(self.told(open));
        let nobody = |verdict, reason| Decision { verdict, policy: None, rule: None, reason };
        let Some(allow) = &layers.allow else {
            return if deny.open.is_empty() { Ok((nobody(Verdict::Allow, Reason::NoAllowPolicy), true)) } else { undecided(&deny.open) };
        };
        let allow = self.matches(allow);
        match allow.first {
            Some(_) if !deny.open.is_empty() => undecided(&deny.open),
            Some(entry) => Ok((by(entry, Verdict::Allow, Reason::AllowRule), allow.open.is_empty())),
            None if allow.open.is_empty() => Ok((nobody(Verdict::Deny, Reason::NoAllowRuleMatched), deny.open.is_empty())),
            None => undecided(&[deny.open, allow.open].concat()),
        }
    }

    fn matches<'p>(&self, layer: &'p Layer) -> Matches<'p> {
        let mut open = Vec::new();
        let missing = |attribute: &index::Attribute| (self.missing)(Attribute::filed(attribute));
        for entry in layer.candidates(self.request, &missing) {
            match self.entry(entry) {
                Truth::Yes => return Matches { first: Some(entry), open },
                Truth::Unknown => open.push(entry),
                Truth::No => {}
            }
        }
        Matches { first: None, open }
    }

    fn entry(&self, entry: &Entry) -> Truth {
        match self.rule(entry.rule()) {
            Truth::Unknown => (self.rules)(reference(entry)).map_or(Truth::Unknown, Truth::from),
            known @ (Truth::No | Truth::Yes) => known,
        }
    }

    fn rule(&self, rule: &Rule) -> Truth {
        let to = self.any(rule.to());
        if to == Truth::No {
            return to;
        }
        to.min(self.any(rule.from())).min(self.all(rule.when()))
    }

    fn any(&self, alternatives: Option<&[Vec<Check>]>) -> Truth {
        let any = |list: &[Vec<Check>]| list.iter().map(|checks| self.all(checks)).max().unwrap_or(Truth::No);
        alternatives.map_or(Truth::Yes, any)
    }

    fn all(&self, checks: &[Check]) -> Truth {
        let mut truth = Truth::Yes;
        for check in checks {
            truth = truth.min(self.check(check));
            if truth == Truth::No {
                break;
            }
        }
        truth
    }

    fn check(&self, check: &Check) -> Truth {
        if (self.missing)(Attribute::of(&check.test)) { Truth::Unknown } else { check.matches(self.request).into() }
    }

    /// What keeps it open whether these rules match; each of a rule's attributes once.
    fn told<'p>(&self, entries: &[&'p Entry]) -> Vec<Open<'p>> {
        let mut all = Vec::new();
        for entry in entries {
            let (rule, place) = (entry.rule(), reference(entry));
            let parts = [rule.from(), rule.to()].into_iter().flatten().flatten().map(Vec::as_slice).chain([rule.when()]);
            let open = parts.filter(|checks| self.all(checks) == Truth::Unknown).flatten();
            for check in open.filter(|check| self.check(check) == Truth::Unknown) {
                let found = Open { rule: Some((place.policy, place.rule)), missing: Attribute::of(&check.test) };
                if !all.contains(&found) {
                    all.push(found);
                }
            }
        }
        all
    }
}

fn reference(entry: &Entry) -> RuleRef<'_> {
    RuleRef { policy: &entry.origin().key, rule: entry.index() }
}
