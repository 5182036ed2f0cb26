//! The way from what was read of a stream to what is done about it; knows the policy and no stream.

use std::cell::RefCell;

use meshwright_policy::{
    AuditRecord, Authentication, Connection, Crypto, Decision, HeaderChange, HttpRequest, Policy, Reason, Request, TokenCache, Verdict,
    evaluate,
};

use crate::connection::UnknownPeer;
use crate::crypto::HostCrypto;
use crate::headers::Received;

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
    /// For the access log.
    pub(crate) audit: AuditRecord,
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
        Self { policy, tokens: RefCell::new(TokenCache::default()), crypto }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Decides about an HTTP request at `now`, in seconds since the epoch.
    pub(crate) fn request(&self, connection: Result<Connection, UnknownPeer>, received: &Received, now: u64) -> Outcome {
        let connection = match connection {
            Ok(connection) => connection,
            Err(error) => return Outcome::unknown_peer(error),
        };
        let http = HttpRequest::new(received.headers());
        let authentication = {
            // Borrowed for this call alone, which does not come back here.
            let mut tokens = self.tokens.borrow_mut();
            self.policy.authenticate(&http, now, &self.crypto, &mut tokens)
        };
        self.decide(&connection, Some(&http), &authentication)
    }

    /// Decides about a TCP connection.
    pub(crate) fn connection(&self, connection: Result<Connection, UnknownPeer>) -> Outcome {
        match connection {
            Ok(connection) => self.decide(&connection, None, &Authentication::Anonymous),
            Err(error) => Outcome::unknown_peer(error),
        }
    }

    fn decide(&self, connection: &Connection, http: Option<&HttpRequest<'_>>, authentication: &Authentication) -> Outcome {
        let evaluation = evaluate(&self.policy, &Request { connection, http, authentication });
        let decision = evaluation.decision;
        let denial = match decision.verdict {
            Verdict::Allow => None,
            Verdict::Deny => Some(denial(&decision, http)),
        };
        let custom = evaluation.custom.iter().map(|check| check.provider.to_owned()).collect();
        let audit = AuditRecord::new(&decision, connection, authentication);
        Outcome { denial, custom, changes: authentication.changes().to_vec(), audit }
    }
}

impl Outcome {
    fn unknown_peer(error: UnknownPeer) -> Self {
        Self::refused(error.reason())
    }

    fn refused(reason: &'static str) -> Self {
        Self { denial: Some(Denial::FORBIDDEN), custom: Vec::new(), changes: Vec::new(), audit: AuditRecord::refused(reason) }
    }

    /// Denies what somebody has to be asked about whom this chain cannot ask. `providers`: the chain's, as `,one,two,`. A chain that drains
    /// has the newest policy and its old filters.
    pub(crate) fn if_askable(self, providers: impl FnOnce() -> Option<String>) -> Self {
        if self.denial.is_some() || self.custom.is_empty() {
            return self;
        }
        let providers = providers().unwrap_or_default();
        if self.custom.iter().all(|name| providers.contains(&framed(std::slice::from_ref(name)))) {
            self
        } else {
            Self::refused(PROVIDER_MISSING)
        }
    }

    /// Whom to ask, as `,one,two,`: a comma on both sides of each name, so that none is found in another. `None`: nobody.
    pub(crate) fn to_ask(&self) -> Option<String> {
        (self.denial.is_none() && !self.custom.is_empty()).then(|| framed(&self.custom))
    }
}

fn framed(names: &[String]) -> String {
    format!(",{},", names.join(","))
}

fn denial(decision: &Decision<'_>, http: Option<&HttpRequest<'_>>) -> Denial {
    let status = decision.status();
    let challenge = match (decision.reason, http) {
        (Reason::Token(_), Some(http)) if status == UNAUTHORIZED => Some(challenge(http)),
        (Reason::Token(_) | Reason::DenyRule | Reason::AllowRule | Reason::NoAllowPolicy | Reason::NoAllowRuleMatched, _) => None,
    };
    Denial { status, body: decision.body(), challenge }
}

/// As jwt_authn writes it (RFC 6750 section 3), but without the query, which may hold a token, and without what no quoted string may hold.
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
    use meshwright_policy::{Headers, Peer, SoftwareCrypto};
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
        let peer = Peer::Authenticated { uri_sans, dns_sans: Vec::new(), subject: None };
        Connection { direct_ip: None, remote_ip: None, peer, sni: None, destination: None }
    }

    fn received(headers: &[(&str, &str)], owned: &[String]) -> Received {
        Received::new(headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect(), owned)
    }

    #[test]
    fn an_allowed_request_passes_and_is_recorded() {
        let outcome = engine().request(Ok(connection("orders")), &Received::default(), 0);
        assert_eq!(outcome.denial, None);
        assert_eq!((outcome.audit.verdict.as_str(), outcome.audit.policy.as_deref()), ("ALLOW", Some("shop/callers")));
    }

    #[test]
    fn a_denied_request_gets_403() {
        let outcome = engine().request(Ok(connection("catalog")), &Received::default(), 0);
        assert_eq!(outcome.denial, Some(Denial::FORBIDDEN));
        assert_eq!(outcome.audit.verdict, "DENY");
    }

    #[test]
    fn a_bad_token_gets_401_and_a_challenge_without_the_query() {
        let engine = engine();
        let headers =
            [(":scheme", "https"), (":authority", "a.test"), (":path", "/a?access_token=x"), ("authorization", "Bearer nonsense")];
        let outcome = engine.request(Ok(connection("orders")), &received(&headers, engine.policy().owned_headers()), 0);
        let denial = outcome.denial.unwrap();
        assert_eq!(denial.status, 401);
        assert_eq!(denial.challenge.as_deref(), Some("Bearer realm=\"https://a.test/a\", error=\"invalid_token\""));
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
        let outcome = || engine.request(Ok(connection("orders")), &Received::default(), 0);
        for chain in [None, Some(",opa,"), Some(",opa,legacy2,"), Some("opa,legacy")] {
            let refused = outcome().if_askable(|| chain.map(str::to_owned));
            assert_eq!((refused.denial.as_ref(), refused.to_ask()), (Some(&Denial::FORBIDDEN), None), "{chain:?}");
            assert_eq!((refused.audit.verdict.as_str(), refused.audit.reason.as_str()), ("DENY", "provider_missing"));
        }
        let asked = outcome().if_askable(|| Some(",opa,other,legacy,".to_owned()));
        assert_eq!((asked.denial.as_ref(), asked.to_ask().as_deref()), (None, Some(",legacy,opa,")));
    }

    #[test]
    fn what_is_denied_or_asks_nobody_needs_no_provider() {
        for account in ["orders", "catalog"] {
            let outcome = self::engine().request(Ok(connection(account)), &Received::default(), 0);
            let denied = outcome.denial.clone();
            let outcome = outcome.if_askable(|| panic!("not looked at"));
            assert_eq!((&outcome.denial, outcome.to_ask()), (&denied, None), "{account}");
        }
    }

    #[test]
    fn an_unknown_peer_is_denied_whatever_the_policy_says() {
        for outcome in
            [engine().request(Err(UnknownPeer::Missing), &Received::default(), 0), engine().connection(Err(UnknownPeer::Missing))]
        {
            assert_eq!(outcome.denial, Some(Denial::FORBIDDEN));
            assert_eq!((outcome.audit.verdict.as_str(), outcome.audit.reason.as_str()), ("DENY", "peer_state_missing"));
        }
    }
}
