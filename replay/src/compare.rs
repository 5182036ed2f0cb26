//! One record against the policies: what they decide of it now, and what they would.

use std::borrow::Cow;
use std::collections::hash_map::Entry;

use meshwright_config::MtlsMode;
use meshwright_policy::wire::{Direction, Protocol};
use meshwright_policy::{
    Attribute, Authentication, Connection, Headers, HttpRequest, Knowledge, Metadata, Partially, Peer, Policy, Request, RuleRef,
    decide_partially,
};
use rustc_hash::FxHashMap;

use crate::decision::{Decision, Word};
use crate::known::{Facts, Places};
use crate::record::{NotWhole, Record};
use crate::side::{Mesh, Set};
use crate::tally::{Gap, Skipped};

/// Refusals of the filter when it could not ask the policies.
const OF_NO_POLICY: [&str; 4] = ["peer_state_missing", "peer_state_invalid", "peer_address_unknown", "provider_missing"];

/// The candidate, and the current mesh if there is one to compare with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides<'m> {
    pub(crate) candidate: &'m Mesh,
    pub(crate) current: Option<&'m Mesh>,
    /// Without a current mesh: the candidate's rules for tokens are those of the log.
    pub(crate) same_tokens: bool,
}

/// What becomes of one record.
#[derive(Debug)]
pub(crate) enum Fate<'a> {
    Same,
    Flipped { from: Decision<'a>, to: Decision<'a> },
    Undecided(Vec<Gap>),
    Skipped(Skipped),
}

/// And whether the current policies decide otherwise than the log says.
#[derive(Debug)]
pub(crate) struct Compared<'a> {
    pub(crate) fate: Fate<'a>,
    pub(crate) drifted: bool,
}

/// Compares records, remembering what it finds out of workloads.
#[derive(Debug)]
pub(crate) struct Comparer<'m> {
    sides: Sides<'m>,
    modes: FxHashMap<(bool, usize, u16), MtlsMode>,
    /// By the candidate's and the current number of a workload, and protocol.
    pairs: FxHashMap<(usize, usize, bool), Pair>,
}

/// What holds of one workload's policies in both meshes.
#[derive(Debug)]
struct Pair {
    same_tokens: bool,
    places: Places,
}

/// What is known of a request's tokens under one set of policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tokens {
    /// As the log says.
    Recorded,
    Unknown,
}

/// How one side is to look at a record.
struct View<'v> {
    tokens: Tokens,
    /// The log's path is the one that the policies would see.
    same_path: bool,
    /// Whether the log has a gateway's path and host from before routes rewrote them.
    rewritten: bool,
    rules: &'v dyn Fn(RuleRef<'_>) -> Option<bool>,
}

type Answer<'m> = Result<Decision<'m>, Vec<Gap>>;

impl<'m> Comparer<'m> {
    pub(crate) fn new(sides: Sides<'m>) -> Self {
        Self { sides, modes: FxHashMap::default(), pairs: FxHashMap::default() }
    }

    /// # Errors
    /// What keeps policies from being compiled.
    pub(crate) fn compare<'a>(&mut self, record: &'a Record<'_>) -> Result<Compared<'a>, String>
    where
        'm: 'a,
    {
        let certain = |fate| Ok(Compared { fate, drifted: false });
        let recorded = match (&record.decision, record.direction) {
            (_, Direction::Outbound) => return certain(Fate::Skipped(Skipped::Outbound)),
            (None, Direction::Inbound | Direction::Gateway) => return certain(Fate::Skipped(Skipped::NoDecision)),
            (Some(decision), _) if OF_NO_POLICY.contains(&&*decision.reason) => return certain(Fate::Skipped(Skipped::NoPolicy)),
            (Some(decision), Direction::Inbound | Direction::Gateway) => decision,
        };
        let Some(workload) = self.sides.candidate.workload(&record.namespace, &record.workload) else {
            return certain(Fate::Undecided(vec![Gap::workload(record, "the candidate")]));
        };
        match self.sides.current {
            None => self.with_log(record, workload, recorded),
            Some(current) => self.with_current(record, workload, current, recorded),
        }
    }

    fn with_log<'a>(&mut self, record: &'a Record<'_>, workload: usize, recorded: &Decision<'a>) -> Result<Compared<'a>, String>
    where
        'm: 'a,
    {
        let candidate = self.sides.candidate;
        let tokens = if self.sides.same_tokens { Tokens::Recorded } else { Tokens::Unknown };
        let view = View { tokens, same_path: true, rewritten: candidate.rewrites(), rules: &|_| None };
        let to = self.ask(candidate, true, workload, record, &view)?;
        Ok(Compared { fate: fate(recorded.clone(), to), drifted: false })
    }

    fn with_current<'a>(
        &mut self,
        record: &'a Record<'_>,
        workload: usize,
        current: &'m Mesh,
        recorded: &Decision<'a>,
    ) -> Result<Compared<'a>, String>
    where
        'm: 'a,
    {
        let candidate = self.sides.candidate;
        let Some(own) = current.workload(&record.namespace, &record.workload) else {
            return Ok(Compared { fate: Fate::Undecided(vec![Gap::workload(record, "the current mesh")]), drifted: false });
        };
        let rewritten = candidate.rewrites() || current.rewrites();
        let nothing = |_: RuleRef<'_>| None;
        let mut view = View { tokens: Tokens::Recorded, same_path: true, rewritten, rules: &nothing };
        let mut from = self.ask(current, false, own, record, &view)?;
        let pair = self.pair(workload, current, own, record.protocol)?;
        let facts = pair.places.facts(recorded);
        let drifted = match &from {
            Ok(decision) => contradicts(decision, recorded),
            // Not decided by it, and by no rule that it has.
            Err(_) => facts.is_none() && !recorded.reason.starts_with("jwt_"),
        };
        let facts = facts.filter(|_| !drifted);
        if drifted {
            // The log is of other policies: it does not say what becomes of a token under these.
            view.tokens = Tokens::Unknown;
            from = self.ask(current, false, own, record, &view)?;
        } else if from.is_err() {
            from = Ok(recorded.clone());
        }
        let to = self.candidate(record, workload, own, current, facts, &view)?;
        let fate = match from {
            Ok(from) => fate(from, to),
            Err(gaps) => Fate::Undecided(gaps),
        };
        Ok(Compared { fate, drifted })
    }

    fn candidate<'a>(
        &mut self,
        record: &'a Record<'_>,
        workload: usize,
        own: usize,
        current: &Mesh,
        facts: Option<Facts>,
        view: &View<'_>,
    ) -> Result<Answer<'a>, String>
    where
        'm: 'a,
    {
        let candidate = self.sides.candidate;
        // Taken out while the candidate is asked, which needs the rest of it.
        let key = (workload, own, record.protocol == Protocol::Http);
        let Some(pair) = self.pairs.remove(&key) else { return Err("the pair of policies is gone".to_owned()) };
        let told = |rule: RuleRef<'_>| pair.places.matches(facts?, rule);
        let view = View {
            tokens: if pair.same_tokens { view.tokens } else { Tokens::Unknown },
            same_path: candidate.normalization() == current.normalization(),
            rewritten: view.rewritten,
            rules: &told,
        };
        let answer = self.ask(candidate, true, workload, record, &view);
        self.pairs.insert(key, pair);
        answer
    }

    fn pair(&mut self, workload: usize, current: &Mesh, own: usize, protocol: Protocol) -> Result<&Pair, String> {
        let candidate = self.sides.candidate;
        let key = (workload, own, protocol == Protocol::Http);
        match self.pairs.entry(key) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let same_tokens = candidate.jwt_rules(workload) == current.jwt_rules(own);
                let comparable = same_tokens && candidate.normalization() == current.normalization();
                let places = Places::new(&current.set(own, protocol)?.config, &candidate.set(workload, protocol)?.config, comparable);
                Ok(place.insert(Pair { same_tokens, places }))
            }
        }
    }

    fn ask<'a>(
        &mut self,
        mesh: &'a Mesh,
        is_candidate: bool,
        workload: usize,
        record: &'a Record<'_>,
        view: &View<'_>,
    ) -> Result<Answer<'a>, String> {
        if record.direction == Direction::Inbound {
            let Some(destination) = record.destination else {
                return Ok(Err(vec![Gap::attribute(Attribute::DestinationPort)]));
            };
            let port = destination.port();
            let mode = *self.modes.entry((is_candidate, workload, port)).or_insert_with(|| mesh.mode(workload, port));
            let secure = !matches!(record.principal, Ok(None));
            match (mode, secure) {
                (MtlsMode::Strict, false) => return Ok(Ok(Decision::denied("mtls_required"))),
                (MtlsMode::Disable, true) => return Ok(Ok(Decision::denied("mtls_disabled"))),
                (MtlsMode::Strict | MtlsMode::Permissive, true) | (MtlsMode::Disable | MtlsMode::Permissive, false) => {}
            }
        }
        Ok(by_policy(mesh.set(workload, record.protocol)?, record, view))
    }
}

/// Also where the same is done, but by another rule.
fn contradicts(decided: &Decision<'_>, recorded: &Decision<'_>) -> bool {
    let by = |decision: &Decision<'_>| (decision.policy.as_deref().map(str::to_owned), decision.rule);
    // Of what an authorizer did not agree to, the log names the rule that asked it.
    let named = decided.exact && !matches!(recorded.word, Word::Ask(_));
    decided.word != recorded.word || (named && (by(decided), &*decided.reason) != (by(recorded), &*recorded.reason))
}

fn fate<'a>(from: Decision<'a>, to: Answer<'a>) -> Fate<'a> {
    match to {
        Ok(to) if to.word == from.word => Fate::Same,
        Ok(to) => Fate::Flipped { from, to },
        Err(gaps) => Fate::Undecided(gaps),
    }
}

fn by_policy<'a>(set: &'a Set, record: &'a Record<'_>, view: &View<'_>) -> Answer<'a> {
    let policy = &set.policy;
    let checks_tokens = record.protocol == Protocol::Http && policy.verifies_tokens();
    let recorded = checks_tokens && view.tokens == Tokens::Recorded;
    if let (true, Some(decision)) = (recorded, &record.decision)
        && decision.reason.starts_with("jwt_")
    {
        return Ok(Decision { word: Word::Deny, policy: None, rule: None, reason: Cow::Borrowed(&decision.reason), exact: true });
    }
    // What is not known of a token is not taken from it.
    let token_unknown = checks_tokens && (!recorded || record.token.is_err());
    let token = if recorded { record.token.as_ref().ok().and_then(Option::as_ref) } else { None };
    let authentication = token.map_or(Authentication::Anonymous, |token| Authentication::recorded(&token.issuer, token.subject.as_deref()));
    let pairs = [(":authority", &record.host), (":path", &record.path), (":method", &record.method)];
    let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name.as_bytes(), value.as_deref()?.as_bytes())));
    let http = (record.protocol == Protocol::Http).then(|| HttpRequest::new(Headers::from_pairs(pairs)));
    let connection = connection(record);
    let request = Request { connection: &connection, http: http.as_ref(), authentication: &authentication };
    let known = Known { record, view, policy, token_unknown, has_token: token.is_some() };
    let missing = |attribute: Attribute<'_>| known.is_missing(attribute);
    match decide_partially(policy, &request, Knowledge { missing: &missing, rules: view.rules }) {
        Partially::Decided { decision, exact, custom } => Ok(Decision::of(decision, exact, &custom)),
        Partially::Undecided(open) => Err(open.iter().map(Gap::of).collect()),
    }
}

fn connection(record: &Record<'_>) -> Connection {
    let peer = match &record.principal {
        Ok(Some(principal)) => Peer::Authenticated {
            uri_sans: vec![principal.clone().into_owned()],
            dns_sans: Vec::new(),
            subject: None,
            serial: record.serial.clone().map(Cow::into_owned),
        },
        Ok(None) | Err(NotWhole) => Peer::Plaintext,
    };
    let source = record.source.map(|address| address.ip());
    Connection { direct_ip: source, remote_ip: source, peer, sni: None, destination: record.destination, metadata: Metadata::default() }
}

/// What a record says of a request, for one set of policies.
struct Known<'k> {
    record: &'k Record<'k>,
    view: &'k View<'k>,
    policy: &'k Policy,
    token_unknown: bool,
    has_token: bool,
}

impl Known<'_> {
    fn is_missing(&self, attribute: Attribute<'_>) -> bool {
        let record = self.record;
        let at_gateway = record.direction == Direction::Gateway && self.view.rewritten;
        match attribute {
            Attribute::Token => self.token_unknown,
            Attribute::Peer => record.principal.is_err(),
            Attribute::PeerSerial => record.serial.is_none(),
            // Of HTTP the log has who sent the request, which may be another than who connected.
            Attribute::DirectIp => record.protocol == Protocol::Http || record.source.is_none(),
            Attribute::RemoteIp => record.source.is_none(),
            Attribute::DestinationIp | Attribute::DestinationPort => record.destination.is_none(),
            Attribute::Sni | Attribute::Metadata(_) => true,
            Attribute::RequestPrincipal => self.token_unknown,
            Attribute::Claim(path) => self.token_unknown || (self.has_token && !matches!(path, [only] if only == "iss" || only == "sub")),
            Attribute::Method => record.method.is_none(),
            Attribute::Host => record.host.is_none() || at_gateway,
            Attribute::Path => record.path.is_none() || !self.view.same_path || at_gateway,
            Attribute::Header(":method") => record.method.is_none(),
            Attribute::Header(":authority") => record.host.is_none() || at_gateway,
            // A request without a token comes without what only a token may set.
            Attribute::Header(name) => {
                let owned = || self.policy.owned_headers().iter().any(|owned| owned.eq_ignore_ascii_case(name));
                self.token_unknown || self.has_token || !owned()
            }
        }
    }
}
