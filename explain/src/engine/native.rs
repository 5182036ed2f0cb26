//! The policy library, asked directly.

use std::collections::HashSet;

use meshwright_policy::wire::{Action, AuthzConfig};
use meshwright_policy::{
    Authentication, Connection, Considered, Evaluation, HeaderChange, Headers, HttpRequest, Metadata, Peer, Policy, Request,
    SoftwareCrypto, TokenCache, Verdict, decide, evaluate, trace,
};

use super::{Custom, Decided, Decider, Engine, EngineError, Stream, Token};

/// Decides with `filters/policy`, without the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct NativeEngine;

impl Engine for NativeEngine {
    fn start(&self, configuration: &str) -> Result<Box<dyn Decider>, EngineError> {
        Ok(Box::new(Judge::new(configuration)?))
    }
}

/// A compiled policy set.
#[derive(Debug)]
pub(crate) struct Judge {
    policy: Policy,
    owned: HashSet<String>,
    has_custom: bool,
    tokens: TokenCache,
    now: u64,
}

/// All that can be said of a stream.
#[derive(Debug)]
pub(crate) struct Judged<'p> {
    pub(crate) evaluation: Evaluation<'p>,
    pub(crate) considered: Vec<Considered<'p>>,
}

type Pairs = Vec<(String, Vec<u8>)>;

impl Judge {
    pub(crate) fn new(configuration: &str) -> Result<Self, EngineError> {
        let config: AuthzConfig = serde_json::from_str(configuration).map_err(|error| EngineError(error.to_string()))?;
        let has_custom = config.authorization.iter().any(|policy| policy.action == Action::Custom);
        let policy = Policy::compile(config).map_err(|error| EngineError(error.to_string()))?;
        let owned = policy.owned_headers().iter().cloned().collect();
        Ok(Self { policy, owned, has_custom, tokens: TokenCache::default(), now: 0 })
    }

    /// Looks at every rule, for people.
    pub(crate) fn judge(&mut self, stream: &Stream<'_>) -> Judged<'_> {
        let pairs = self.pairs(stream);
        let http = stream.head.map(|_| HttpRequest::new(headers(&pairs)));
        let connection = connection(stream);
        let authentication = self.authenticate(&connection, http.as_ref(), stream.now);
        let request = Request { connection: &connection, http: http.as_ref(), authentication: &authentication };
        Judged { evaluation: evaluate(&self.policy, &request), considered: trace(&self.policy, &request) }
    }

    /// Without the headers that only a verified token may set.
    fn pairs(&self, stream: &Stream<'_>) -> Pairs {
        let Some(head) = stream.head else { return Vec::new() };
        let pseudo =
            [(":authority", head.authority.as_str()), (":path", &head.target), (":method", &head.method), (":scheme", stream.scheme())];
        let pseudo = pseudo.into_iter().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let sent = head.headers.iter().filter(|(name, _)| !self.owned.contains(name));
        pseudo.chain(sent.map(|(name, value)| (name.clone(), value.as_bytes().to_vec()))).collect()
    }

    /// Of a peer that is denied no token is looked at.
    fn authenticate(&mut self, connection: &Connection, http: Option<&HttpRequest<'_>>, now: u64) -> Authentication {
        // A token that was good later may not be good yet: what is remembered holds only forwards.
        if now < self.now {
            self.tokens = TokenCache::default();
        }
        self.now = now;
        let http = http.filter(|_| self.policy.refuses(connection).is_none());
        http.map_or(Authentication::Anonymous, |http| self.policy.authenticate(http, now, &SoftwareCrypto, &mut self.tokens))
    }
}

impl Decider for Judge {
    fn decide(&mut self, stream: &Stream<'_>) -> Result<Decided, EngineError> {
        let pairs = self.pairs(stream);
        let http = stream.head.map(|_| HttpRequest::new(headers(&pairs)));
        let connection = connection(stream);
        let authentication = self.authenticate(&connection, http.as_ref(), stream.now);
        let request = Request { connection: &connection, http: http.as_ref(), authentication: &authentication };
        let decision = decide(&self.policy, &request);
        let allowed = decision.verdict == Verdict::Allow;
        let custom = if allowed && self.has_custom { evaluate(&self.policy, &request).custom } else { Vec::new() };
        let custom = custom.first().map(|check| Custom {
            provider: check.provider.to_owned(),
            policy: check.rule.policy.to_owned(),
            rule: check.rule.rule,
        });
        let token = authentication
            .claims()
            .map(|claims| Token { issuer: claims.issuer().to_owned(), subject: claims.subject().map(str::to_owned) });
        Ok(Decided {
            allowed,
            status: (!allowed && http.is_some()).then(|| decision.status()),
            policy: decision.policy.map(str::to_owned),
            rule: decision.rule,
            reason: decision.reason.as_str().to_owned(),
            token,
            headers: if allowed { passed_on(pairs, authentication.changes()) } else { Vec::new() },
            custom,
        })
    }
}

fn headers(pairs: &Pairs) -> Headers<'_> {
    Headers::from_pairs(pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())))
}

fn connection(stream: &Stream<'_>) -> Connection {
    let peer = match stream.principal {
        Some(principal) => Peer::Authenticated {
            uri_sans: vec![principal.to_owned()],
            dns_sans: Vec::new(),
            subject: None,
            serial: Some(stream.serial.to_owned()),
        },
        None => Peer::Plaintext,
    };
    Connection {
        direct_ip: Some(stream.direct_ip),
        remote_ip: Some(stream.remote_ip),
        peer,
        sni: stream.sni.filter(|name| !name.is_empty()).map(str::to_owned),
        destination: Some(stream.destination),
        // Here is no other filter that would say something.
        metadata: Metadata::default(),
    }
}

/// The request's headers after the changes, each in its place.
fn passed_on(mut pairs: Pairs, changes: &[HeaderChange]) -> Vec<(String, String)> {
    for change in changes {
        match change {
            HeaderChange::Remove(name) => pairs.retain(|(known, _)| known != name),
            HeaderChange::Set(name, value) => {
                let place = pairs.iter().position(|(known, _)| known == name).unwrap_or(pairs.len());
                pairs.retain(|(known, _)| known != name);
                pairs.insert(place.min(pairs.len()), (name.clone(), value.as_bytes().to_vec()));
            }
        }
    }
    pairs.into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// What is not UTF-8 cannot be said in JSON, and nothing here makes any.
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
