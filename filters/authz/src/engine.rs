//! The way from what was read of a stream to what is done about it; knows the policy and no stream.

use std::cell::RefCell;
use std::rc::Rc;

use meshwright_policy::{
    AuditRecord, Authentication, Connection, Crypto, Decision, Evaluation, HeaderChange, Headers, HttpRequest, Metadata, Peer, Policy,
    Reason, Request, TokenCache, TokenCounts, Verdict, evaluate,
};

use crate::alike::{Alike, Lasting, Repeated};
use crate::connection::UnknownPeer;
use crate::crypto::HostCrypto;
use crate::records::Records;
use crate::tally::Tally;
use crate::unknown_keys::UnknownKeys;
use crate::usual::{Known, Plain, Usual};

const FORBIDDEN: u16 = 403;
const UNAUTHORIZED: u16 = 401;
/// The reason in the access log.
const PROVIDER_MISSING: &str = "provider_missing";
const ACCESS_DENIED: &str = "RBAC: access denied";

/// A compiled policy with what it remembers between streams: a new policy remembers nothing.
#[derive(Debug)]
pub(crate) struct Engine<C = HostCrypto> {
    policy: Policy,
    tokens: RefCell<TokenCache>,
    tally: RefCell<Tally>,
    records: RefCell<Records>,
    usual: RefCell<Usual>,
    alike: RefCell<Alike>,
    unknown_keys: RefCell<UnknownKeys>,
    crypto: C,
}

/// What is to be done with a stream.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `None` lets it pass.
    pub(crate) denial: Option<Denial>,
    /// The external authorizers that must agree to what passes.
    pub(crate) custom: Vec<String>,
    /// What to do to the headers of a request that passes, in order.
    pub(crate) changes: Vec<HeaderChange>,
    /// For the access log: JSON of an [`AuditRecord`].
    pub(crate) record: Rc<[u8]>,
    /// For the host's log.
    pub(crate) unknown_key: Option<String>,
    /// Of what passes, and would pass again.
    pub(crate) lasting: Option<Lasting>,
}

/// The reply that a denied request gets. A denied connection is closed instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) status: u16,
    pub(crate) body: &'static str,
    /// `www-authenticate`, which a 401 must have (RFC 9110 section 15.5.2).
    pub(crate) challenge: Option<String>,
}

impl Denial {
    /// For when something went wrong on the way to a decision.
    pub(crate) const FORBIDDEN: Self = Self { status: FORBIDDEN, body: ACCESS_DENIED, challenge: None };
}

impl<C: Crypto> Engine<C> {
    pub(crate) fn new(policy: Policy, crypto: C) -> Self {
        let (tokens, tally, unknown_keys) = (RefCell::default(), RefCell::default(), RefCell::default());
        let (records, usual) = (RefCell::default(), RefCell::default());
        let alike = RefCell::new(Alike::new(&policy));
        Self { policy, tokens, tally, records, usual, alike, unknown_keys, crypto }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What was done about the same request before; `now` is in seconds since the epoch, and asked for only if it matters.
    /// `connection`: where the policy looks at it.
    pub(crate) fn again(&self, connection: Option<&Connection>, headers: &[u8], now: impl FnOnce() -> u64) -> Option<Rc<Repeated>> {
        self.alike.borrow_mut().find(connection, headers, now)
    }

    /// For [`Engine::again`]. `headers` are those that the outcome is about, as the host has them.
    pub(crate) fn remember(&self, outcome: &mut Outcome, connection: Connection, headers: &[u8]) {
        let Some(lasting) = outcome.lasting.take() else { return };
        let last = self.alike.borrow_mut().remember(lasting, connection, headers, &outcome.changes);
        last.iter().for_each(|known| known.settle(&mut self.tally.borrow_mut()));
    }

    /// Decides about an HTTP request; `now` is in seconds since the epoch, and asked for only if it matters.
    pub(crate) fn request(&self, connection: Result<&Connection, UnknownPeer>, headers: Headers<'_>, now: impl FnOnce() -> u64) -> Outcome {
        let connection = match connection {
            Ok(connection) => connection,
            Err(error) => return self.unknown_peer(error),
        };
        let http = HttpRequest::new(headers);
        // Of a peer that is denied no token is looked at.
        let verifies = self.policy.verifies_tokens() && self.policy.refuses(connection).is_none();
        let (authentication, unknown_key) = if verifies { self.authenticate(&http, now()) } else { (Authentication::Anonymous, None) };
        Outcome { unknown_key, ..self.decide(connection, Some(&http), authentication) }
    }

    #[inline(never)]
    fn authenticate(&self, http: &HttpRequest<'_>, now: u64) -> (Authentication, Option<String>) {
        // Each borrowed for one call alone, which does not come back here.
        let authentication = self.policy.authenticate(http, now, &self.crypto, &mut self.tokens.borrow_mut());
        self.tally.borrow_mut().authentication(&authentication);
        let unknown_key = match authentication {
            Authentication::Refused(_) => {
                let find = || self.policy.unknown_key(http, &authentication);
                self.unknown_keys.borrow_mut().line(now, find)
            }
            Authentication::Anonymous | Authentication::Token(_) => None,
        };
        (authentication, unknown_key)
    }

    /// Decides about a TCP connection.
    pub(crate) fn connection(&self, connection: Result<Connection, UnknownPeer>) -> Outcome {
        match connection {
            Ok(connection) => self.decide(&connection, None, Authentication::Anonymous),
            Err(error) => self.unknown_peer(error),
        }
    }

    #[inline(never)]
    fn decide(&self, connection: &Connection, http: Option<&HttpRequest<'_>>, authentication: Authentication) -> Outcome {
        let evaluation = evaluate(&self.policy, &Request { connection, http, authentication: &authentication });
        let denial = match evaluation.decision.verdict {
            Verdict::Allow => None,
            Verdict::Deny => Some(denial(&evaluation.decision, http)),
        };
        let is_plain = evaluation.is_plain() && !self.policy.denies_serials();
        let plain = is_plain.then(|| Plain::new(evaluation.decision, connection, &authentication));
        let (custom, record, known) = match plain.as_ref().and_then(|plain| self.usual.borrow().count(plain)) {
            Some(known) => (Vec::new(), Rc::clone(known.record()), Some(known)),
            None => self.record(evaluation, plain.as_ref(), connection, &authentication),
        };
        let lasting = if denial.is_none() { known.and_then(|known| Lasting::new(known, &authentication)) } else { None };
        Outcome { denial, custom, changes: authentication.into_changes(), record, unknown_key: None, lasting }
    }

    /// Counts it, and says whom to ask.
    #[inline(never)]
    fn record(
        &self,
        evaluation: Evaluation<'_>,
        plain: Option<&Plain<'_>>,
        connection: &Connection,
        authentication: &Authentication,
    ) -> (Vec<String>, Rc<[u8]>, Option<Rc<Known>>) {
        self.tally.borrow_mut().evaluation(&evaluation);
        let custom = evaluation.custom.iter().map(|check| check.provider.to_owned()).collect();
        let record = AuditRecord::new(self.policy.version(), evaluation, connection, authentication);
        let record = if self.policy.denies_serials() { record.with_serial(connection) } else { record };
        let Some(plain) = plain else { return (custom, self.records.borrow_mut().json(&record), None) };
        let record = self.records.borrow_mut().json_once(&record);
        let known = self.usual.borrow_mut().remember(plain, &record, &mut self.tally.borrow_mut());
        (custom, record, Some(known))
    }

    fn unknown_peer(&self, error: UnknownPeer) -> Outcome {
        self.refused(error.reason())
    }

    /// A denial that no policy made.
    fn refused(&self, reason: &'static str) -> Outcome {
        self.tally.borrow_mut().refusal(reason);
        let record = self.records.borrow_mut().json(&AuditRecord::refused(reason));
        Outcome { denial: Some(Denial::FORBIDDEN), custom: Vec::new(), changes: Vec::new(), record, unknown_key: None, lasting: None }
    }

    /// The record of a refusal that is not this policy's, or comes late: the peer is denied by the newest list.
    pub(crate) fn refused_peer(&self, reason: Reason, peer: Peer) -> Rc<[u8]> {
        self.tally.borrow_mut().refusal(reason.as_str());
        let connection = Connection { direct_ip: None, remote_ip: None, peer, sni: None, destination: None, metadata: Metadata::default() };
        let record = AuditRecord::refused_peer(self.policy.version(), reason, &connection);
        self.records.borrow_mut().json(&record)
    }

    /// Denies what somebody has to be asked about whom this chain cannot ask. `providers`: the chain's, as `,one,two,`. A chain that drains
    /// has the newest policy and its old filters.
    pub(crate) fn if_askable(&self, outcome: Outcome, providers: impl FnOnce() -> Option<String>) -> Outcome {
        if outcome.denial.is_some() || outcome.custom.is_empty() {
            return outcome;
        }
        let providers = providers().unwrap_or_default();
        let can_ask = |name: &String| providers.contains(&framed(std::slice::from_ref(name)));
        if outcome.custom.iter().all(can_ask) { outcome } else { self.refused(PROVIDER_MISSING) }
    }

    /// Gives the host what was counted since the last time.
    pub(crate) fn flush(&self) {
        let counts = self.settle();
        self.tally.borrow_mut().flush(counts);
    }

    /// Tells the tally what was counted elsewhere; but of the cache of tokens, whose counts are given back.
    fn settle(&self) -> TokenCounts {
        let mut counts = self.tokens.borrow_mut().take_counts();
        let mut tally = self.tally.borrow_mut();
        self.usual.borrow().settle(&mut tally);
        let tokens = self.alike.borrow_mut().settle(&mut tally);
        counts.hits = counts.hits.saturating_add(tokens);
        counts
    }

    /// Of the counter with this name.
    #[cfg(test)]
    pub(crate) fn pending(&self, name: &str) -> i64 {
        self.settle();
        self.tally.borrow().pending(name)
    }
}

impl Outcome {
    /// Whom to ask, as `,one,two,`: a comma on both sides of each name, so that none is found in another. `None`: nobody.
    pub(crate) fn to_ask(&self) -> Option<String> {
        (self.denial.is_none() && !self.custom.is_empty()).then(|| framed(&self.custom))
    }
}

#[inline(never)]
fn framed(names: &[String]) -> String {
    format!(",{},", names.join(","))
}

#[inline(never)]
fn denial(decision: &Decision<'_>, http: Option<&HttpRequest<'_>>) -> Denial {
    let status = decision.status();
    let challenge = match (decision.reason, http) {
        (Reason::Token(_), Some(http)) if status == UNAUTHORIZED => Some(challenge(http)),
        (
            Reason::Token(_)
            | Reason::PeerIdentityDenied
            | Reason::PeerSerialDenied
            | Reason::PeerSerialUnknown
            | Reason::MtlsRequired
            | Reason::DenyRule
            | Reason::AllowRule
            | Reason::NoAllowPolicy
            | Reason::NoAllowRuleMatched
            | Reason::CustomProvider,
            _,
        ) => None,
    };
    Denial { status, body: decision.body(), challenge }
}

/// As jwt_authn writes it (RFC 6750 section 3), but without the query, which may hold a token, and without what no quoted string may hold.
#[inline(never)]
fn challenge(http: &HttpRequest<'_>) -> String {
    let scheme = http.headers().first(":scheme").unwrap_or(b"http");
    let uri = [scheme, b"://", http.authority(), http.path()].concat();
    match String::from_utf8(uri) {
        Ok(uri) if uri.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')) => {
            format!("Bearer realm=\"{uri}\", error=\"invalid_token\"")
        }
        Ok(_) | Err(_) => "Bearer error=\"invalid_token\"".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use meshwright_policy::SoftwareCrypto;
    use serde_json::json;

    use super::*;

    /// The key of RFC 8037, appendix A.2.
    const JWKS: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn engine() -> Engine<SoftwareCrypto> {
        let policy = json!({
            "version": 1, "protocol": "http", "trust_domain": "mesh.local",
            "request_authentication": [{"namespace": "shop", "name": "tokens", "jwt_rules": [
                {"issuer": "https://i", "jwks": JWKS, "outputClaimToHeaders": [{"header": "X-User", "claim": "sub"}]},
            ]}],
            "authorization": [{"namespace": "shop", "name": "callers", "action": "ALLOW", "rules": [
                {"from": [{"source": {"principals": ["mesh.local/ns/shop/sa/orders"]}}]},
            ]}],
        });
        Engine::new(Policy::from_json(policy.to_string().as_bytes()).unwrap(), SoftwareCrypto)
    }

    fn connection(account: &str) -> Connection {
        let uri_sans = vec![format!("spiffe://mesh.local/ns/shop/sa/{account}")];
        let peer = Peer::Authenticated { uri_sans, dns_sans: Vec::new(), subject: None, serial: None };
        Connection { direct_ip: None, remote_ip: None, peer, sni: None, destination: None, metadata: Metadata::default() }
    }

    fn headers<'a>(headers: &[(&'a str, &'a str)]) -> Headers<'a> {
        Headers::from_pairs(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    fn record(outcome: &Outcome) -> AuditRecord<'_> {
        serde_json::from_slice(&outcome.record).unwrap()
    }

    #[test]
    fn an_allowed_request_passes_and_is_recorded() {
        let outcome = engine().request(Ok(&connection("orders")), Headers::default(), || 0);
        assert_eq!(outcome.denial, None);
        let record = record(&outcome);
        assert_eq!((&*record.verdict, record.policy.as_deref()), ("ALLOW", Some("shop/callers")));
    }

    #[test]
    fn the_same_decision_again_leaves_the_same_record() {
        let engine = engine();
        for _ in 0..3 {
            for account in ["orders", "catalog"] {
                let decide = |engine: &Engine<_>| engine.request(Ok(&connection(account)), Headers::default(), || 0);
                assert_eq!(decide(&engine).record, decide(&self::engine()).record, "{account}");
            }
        }
    }

    #[test]
    fn a_denied_request_gets_403() {
        let outcome = engine().request(Ok(&connection("catalog")), Headers::default(), || 0);
        assert_eq!(outcome.denial, Some(Denial::FORBIDDEN));
        assert_eq!(record(&outcome).verdict, "DENY");
    }

    #[test]
    fn a_bad_token_gets_401_and_a_challenge_without_the_query() {
        let engine = engine();
        let pairs = [(":scheme", "https"), (":authority", "a.test"), (":path", "/a?access_token=x"), ("authorization", "Bearer nonsense")];
        let outcome = engine.request(Ok(&connection("orders")), headers(&pairs), || 0);
        let denial = outcome.denial.unwrap();
        assert_eq!(denial.status, 401);
        assert_eq!(denial.challenge.as_deref(), Some("Bearer realm=\"https://a.test/a\", error=\"invalid_token\""));
    }

    #[test]
    fn a_key_that_nobody_has_is_told_and_changes_no_decision() {
        let engine = engine();
        // {"alg":"EdDSA","kid":"new"} and {"iss":"https://i"}
        let token = "Bearer eyJhbGciOiJFZERTQSIsImtpZCI6Im5ldyJ9.eyJpc3MiOiJodHRwczovL2kifQ.AAAA";
        let request = |now| engine.request(Ok(&connection("orders")), headers(&[("authorization", token)]), || now);
        let outcome = request(100);
        assert_eq!(outcome.denial.map(|denial| denial.status), Some(401));
        assert_eq!(outcome.unknown_key.as_deref(), Some(r#"meshwright-unknown-key {"issuer":"https://i","kid":"new"}"#));
        assert_eq!(request(101).unknown_key, None, "once");
    }

    #[test]
    fn a_challenge_quotes_nothing_that_could_end_it() {
        for path in [&b"/a\"b"[..], b"/a\\", b"/\xff", b"/a b"] {
            let http = HttpRequest::new(Headers::from_pairs([(&b":path"[..], path)]));
            assert_eq!(challenge(&http), "Bearer error=\"invalid_token\"");
        }
    }

    #[test]
    fn nobody_passes_whom_the_chain_cannot_ask_about() {
        let custom =
            |provider: &str| json!({"namespace": "shop", "name": provider, "action": "CUSTOM", "provider": provider, "rules": [{}]});
        let policy =
            json!({"version": 1, "protocol": "http", "trust_domain": "mesh.local", "authorization": [custom("opa"), custom("legacy")]});
        let engine = Engine::new(Policy::from_json(policy.to_string().as_bytes()).unwrap(), SoftwareCrypto);
        let outcome = || engine.request(Ok(&connection("orders")), Headers::default(), || 0);
        for chain in [None, Some(",opa,"), Some(",opa,legacy2,"), Some("opa,legacy")] {
            let refused = engine.if_askable(outcome(), || chain.map(str::to_owned));
            assert_eq!((refused.denial.as_ref(), refused.to_ask()), (Some(&Denial::FORBIDDEN), None), "{chain:?}");
            let record = record(&refused);
            assert_eq!((&*record.verdict, &*record.reason), ("DENY", "provider_missing"));
        }
        let asked = engine.if_askable(outcome(), || Some(",opa,other,legacy,".to_owned()));
        assert_eq!((asked.denial.as_ref(), asked.to_ask().as_deref()), (None, Some(",legacy,opa,")));
    }

    #[test]
    fn what_is_denied_or_asks_nobody_needs_no_provider() {
        for account in ["orders", "catalog"] {
            let engine = engine();
            let outcome = engine.request(Ok(&connection(account)), Headers::default(), || 0);
            let denied = outcome.denial.clone();
            let outcome = engine.if_askable(outcome, || panic!("not looked at"));
            assert_eq!((&outcome.denial, outcome.to_ask()), (&denied, None), "{account}");
        }
    }

    #[test]
    fn an_unknown_peer_is_denied_whatever_the_policy_says() {
        for outcome in
            [engine().request(Err(UnknownPeer::Missing), Headers::default(), || 0), engine().connection(Err(UnknownPeer::Missing))]
        {
            assert_eq!(outcome.denial, Some(Denial::FORBIDDEN));
            let record = record(&outcome);
            assert_eq!((&*record.verdict, &*record.reason), ("DENY", "peer_state_missing"));
        }
    }
}
