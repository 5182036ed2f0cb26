//! From a case to its answer, remembering policy sets between cases.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use meshwright_config::{MtlsMode, PathNormalization, State, Workload};
use meshwright_identity::SpiffeId;
use meshwright_policy::wire::{AuthzConfig, Protocol};

use crate::answer::{Answer, Verdict};
use crate::case::{Asked, Case, Source};
use crate::documents;
use crate::engine::{Decided, Decider, Engine, EngineError, Judge, Stream};
use crate::hcm::{self, Head};
use crate::lru::Lru;
use crate::silent::{self, Silent};

/// Documents that are remembered, by number and by bytes of text.
const MOST_DOCUMENTS: usize = 128;
const MOST_TEXT: usize = 128 << 20;
/// Each is a VM of a few megabytes, if the module decides.
const MOST_SETS: usize = 64;
/// What a directory counts for: its size is not known here.
const DIRECTORY: usize = 1 << 20;

/// Answers cases. Of a directory it knows what was in it when it was first asked for.
#[derive(Debug)]
pub struct Explainer {
    engine: Box<dyn Engine>,
    documents: Lru<Source, Remembered>,
    sets: Lru<SetKey, Set>,
    next: u64,
    /// Instead of what cases name.
    given: Option<Given>,
}

/// A mesh to answer for, whatever documents a case names.
#[derive(Debug)]
struct Given {
    state: Arc<State>,
    /// Key sets, by the issuers whose own they replace.
    keys: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct Remembered {
    number: u64,
    state: Result<Arc<State>, Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SetKey {
    documents: u64,
    workload: Asked,
    http: bool,
    /// When the next entry of a deny list ends, and how many have: what holds between two such moments is the same.
    denials: (Option<u64>, usize),
}

/// Everything that holds for one workload on ports of one protocol.
pub(crate) struct Set {
    state: Arc<State>,
    workload: Workload,
    address: Option<IpAddr>,
    normalization: PathNormalization,
    modes: HashMap<u16, MtlsMode>,
    configuration: String,
    decider: Box<dyn Decider>,
    judge: Option<Judge>,
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Set").field("workload", &self.workload.key()).finish_non_exhaustive()
    }
}

/// Why no policy was asked.
#[derive(Debug)]
pub(crate) enum Stop {
    Error { reason: &'static str, message: String },
    Denied { status: Option<u16>, reason: &'static str },
}

impl Stop {
    fn error(reason: &'static str, message: impl fmt::Display) -> Self {
        Self::Error { reason, message: message.to_string() }
    }

    pub(crate) fn answer(self, case: &Case) -> Answer {
        match self {
            Self::Error { reason, message } => Answer::error(case.id.clone(), reason, message),
            Self::Denied { status, reason } => Answer::denied(case.id.clone(), status, reason),
        }
    }
}

impl Explainer {
    #[must_use]
    pub fn new(engine: Box<dyn Engine>) -> Self {
        Self { engine, documents: Lru::new(MOST_DOCUMENTS, MOST_TEXT), sets: Lru::new(MOST_SETS, usize::MAX), next: 0, given: None }
    }

    /// Answers for one mesh: the documents that a case names are not looked at. `keys` are key sets (RFC 7517 section 5) by issuer, which hold
    /// instead of those that the mesh takes for it.
    #[must_use]
    pub fn for_mesh(engine: Box<dyn Engine>, state: Arc<State>, keys: BTreeMap<String, String>) -> Self {
        Self { given: Some(Given { state, keys }), ..Self::new(engine) }
    }

    /// The answer to one line. `now`, in seconds since the epoch, is the time of cases that have none.
    pub fn answer_line(&mut self, line: &[u8], now: u64) -> Answer {
        match Case::from_json(line) {
            Ok(case) => self.answer(&case, now),
            Err(invalid) => Answer::error(invalid.id.clone(), "invalid_case", invalid.to_string()),
        }
    }

    /// The answer to a case.
    pub fn answer(&mut self, case: &Case, now: u64) -> Answer {
        match self.decide(case, now) {
            Ok((head, decided)) => answer(case, head.as_ref(), decided),
            Err(stop) => stop.answer(case),
        }
    }

    pub(crate) fn decide(&mut self, case: &Case, now: u64) -> Result<(Option<Head>, Decided), Stop> {
        let set = self.set(case, now)?;
        let head = set.admit(case)?;
        let stream = set.stream(case, head.as_ref(), now)?;
        let decided = set.decider.decide(&stream).map_err(|error| Stop::error("engine_failed", error))?;
        Ok((head, decided))
    }

    /// The policy set that a case is about.
    pub(crate) fn set(&mut self, case: &Case, now: u64) -> Result<&mut Set, Stop> {
        let now = case.now.unwrap_or(now);
        let Remembered { number, state } = self.state(&case.source);
        let state = state.map_err(|error| Stop::error("invalid_documents", error))?;
        let http = case.connection.protocol == Protocol::Http;
        let ended = state.denials().filter(|denial| !denial.entry.holds_at(now)).count();
        let denials = (state.next_end_of_denial(now), ended);
        let key = SetKey { documents: number, workload: case.workload.clone(), http, denials };
        if self.sets.get(&key).is_none() {
            let state = state.without_ended(now).map_or(state, Arc::new);
            let set = Set::new(state, case, self.engine.as_ref(), self.given.as_ref().map(|given| &given.keys))?;
            self.sets.insert(key.clone(), set, 0);
        }
        self.sets.get(&key).ok_or_else(|| Stop::error("engine_failed", "the policy set is gone"))
    }

    fn state(&mut self, source: &Source) -> Remembered {
        if let Some(given) = &self.given {
            return Remembered { number: 0, state: Ok(Arc::clone(&given.state)) };
        }
        if let Some(known) = self.documents.get(source) {
            return known.clone();
        }
        self.next = self.next.saturating_add(1);
        let loaded = Remembered { number: self.next, state: documents::load(source).map_err(Arc::from) };
        let weight = match source {
            Source::Text(text) => text.len(),
            Source::Directory(_) => DIRECTORY,
        };
        self.documents.insert(source.clone(), loaded.clone(), weight);
        loaded
    }
}

impl Set {
    fn new(state: Arc<State>, case: &Case, engine: &dyn Engine, keys: Option<&BTreeMap<String, String>>) -> Result<Self, Stop> {
        let (workload, address) = documents::workload(&state, &case.workload).map_err(|error| Stop::error("invalid_case", error))?;
        let configuration = meshwright_translate::workload_policy(&state, &workload, case.connection.protocol)
            .map_err(|error| Stop::error("invalid_documents", error))?;
        let configuration = match keys {
            Some(keys) if !keys.is_empty() => with_keys(&configuration, keys).map_err(|error| Stop::error("engine_failed", error))?,
            Some(_) | None => configuration,
        };
        let decider = engine.start(&configuration).map_err(|error| Stop::error("invalid_documents", error))?;
        let normalization = state.mesh().map_or(PathNormalization::Base, |mesh| mesh.path_normalization());
        Ok(Self { state, workload, address, normalization, modes: HashMap::new(), configuration, decider, judge: None })
    }

    /// The library's own view, for people.
    pub(crate) fn judge(&mut self) -> Result<&mut Judge, EngineError> {
        let judge = match self.judge.take() {
            Some(judge) => judge,
            None => Judge::new(&self.configuration)?,
        };
        Ok(self.judge.insert(judge))
    }

    /// What the listener lets through, and the request as the first filter sees it.
    pub(crate) fn admit(&mut self, case: &Case) -> Result<Option<Head>, Stop> {
        let secure = case.connection.principal.is_some();
        match (self.mode(case.connection.port), secure) {
            (MtlsMode::Strict, false) => return Err(Stop::Denied { status: None, reason: "mtls_required" }),
            (MtlsMode::Disable, true) => return Err(Stop::Denied { status: None, reason: "mtls_disabled" }),
            (MtlsMode::Strict | MtlsMode::Permissive, true) | (MtlsMode::Disable | MtlsMode::Permissive, false) => {}
        }
        let head = case.request.as_ref().map(|request| hcm::admit(request, self.normalization, secure)).transpose();
        head.map_err(|refused| Stop::Denied { status: refused.status, reason: refused.reason })
    }

    pub(crate) fn mode(&mut self, port: u16) -> MtlsMode {
        *self.modes.entry(port).or_insert_with(|| self.state.peer_authentication_mode(&self.workload, port))
    }

    /// Whether a SPIFFE ID is of a trust domain that this mesh does not know.
    pub(crate) fn is_foreign(&self, principal: &str) -> bool {
        let (Some(mesh), Ok(id)) = (self.state.mesh(), SpiffeId::parse(principal)) else { return true };
        let is_declared = || mesh.foreign_domains().iter().any(|domain| domain.name() == id.trust_domain());
        id.trust_domain() != mesh.trust_domain() && !mesh.trust_domain_aliases().contains(id.trust_domain()) && !is_declared()
    }

    /// The entry of a deny list that refuses the peer, for people.
    pub(crate) fn denial(&self, case: &Case) -> Option<String> {
        let id = SpiffeId::parse(case.connection.principal.as_ref()?).ok()?;
        let denial = self.state.denial_of(Some(&id), Some(case.connection.serial.as_str()).filter(|serial| !serial.is_empty()))?;
        let reason = denial.entry.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
        Some(format!("{} denies {}{reason}", denial.list, denial.entry.denied()))
    }

    /// Policies that are there and say nothing here, for people.
    pub(crate) fn silent(&self, case: &Case, is_tried: impl Fn(&str, u32) -> bool) -> Vec<Silent> {
        silent::silent(&self.state, &self.workload, case.connection.protocol, is_tried)
    }

    /// What the filter would be told.
    pub(crate) fn stream<'a>(&self, case: &'a Case, head: Option<&'a Head>, now: u64) -> Result<Stream<'a>, Stop> {
        let connection = &case.connection;
        let missing =
            || Stop::error("invalid_case", "connection.destinationIp: missing, and no WorkloadEntry of this name has an IP address");
        let destination = connection.destination_ip.or(self.address).ok_or_else(missing)?;
        let remote = case.request.as_ref().and_then(|request| request.remote_ip);
        let forwarded = head.and_then(|head| head.forwarded_for);
        Ok(Stream {
            direct_ip: connection.source_ip,
            remote_ip: remote.or(forwarded).unwrap_or(connection.source_ip).to_canonical(),
            destination: SocketAddr::new(destination, connection.port),
            principal: connection.principal.as_deref(),
            serial: &connection.serial,
            sni: connection.sni.as_deref(),
            head,
            now: case.now.unwrap_or(now),
        })
    }
}

/// The configuration with other keys for some issuers.
fn with_keys(configuration: &str, keys: &BTreeMap<String, String>) -> Result<String, serde_json::Error> {
    let mut config: AuthzConfig = serde_json::from_str(configuration)?;
    for rule in config.request_authentication.iter_mut().flat_map(|document| &mut document.jwt_rules) {
        if let Some(keys) = keys.get(&rule.issuer) {
            rule.jwks = Some(keys.clone());
        }
    }
    serde_json::to_string(&config)
}

pub(crate) fn answer(case: &Case, head: Option<&Head>, decided: Decided) -> Answer {
    let Decided { allowed, status, policy, rule, reason, token, headers, custom } = decided;
    let principal = token.and_then(|token| Some(format!("{}/{}", token.issuer, token.subject?)));
    let path = head.and_then(|head| head.target.split('?').next()).unwrap_or_default().to_owned();
    let mut answer = Answer {
        id: case.id.clone(),
        decision: if allowed { Verdict::Allow } else { Verdict::Deny },
        status: if allowed { head.map(|_| 200) } else { status },
        policy,
        rule,
        reason,
        path,
        request_principal: principal,
        request_headers: headers.into_iter().filter(|(name, _)| !name.starts_with(':')).collect(),
        error: None,
    };
    if let Some(custom) = custom {
        answer.decision = Verdict::Error;
        answer.status = None;
        answer.request_headers = Vec::new();
        answer.error =
            Some(format!("allowed if the authorizer `{}` agrees, whom {} rule {} asks", custom.provider, custom.policy, custom.rule));
        (answer.policy, answer.rule) = (Some(custom.policy), Some(custom.rule));
        "external_authorizer".clone_into(&mut answer.reason);
    }
    answer
}
