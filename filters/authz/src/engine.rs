//! The way from what was read of a stream to what is done about it; knows the policy crate and no host.

use std::cell::RefCell;

use meshwright_policy::{
    Authentication, AuditRecord, Connection, Decision, HeaderChange, Headers, HttpRequest, Policy, Request, TokenCache, decide,
};

use crate::connection::UnknownPeer;
use crate::crypto::HostCrypto;
use crate::headers::Received;

/// A compiled policy with what it remembers between streams.
#[derive(Debug)]
pub(crate) struct Engine {
    policy: Policy,
    tokens: RefCell<TokenCache>,
    crypto: HostCrypto,
}

/// What is to be done with a stream.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `None` lets it pass.
    pub(crate) denial: Option<Denial>,
    /// What else to do to the headers of a request that passes.
    pub(crate) changes: Vec<HeaderChange>,
    /// For the access log.
    pub(crate) audit: AuditRecord,
}

/// The reply that a denied request gets; a connection is closed.
#[derive(Debug)]
pub(crate) struct Denial {
    pub(crate) status: u16,
    pub(crate) body: &'static str,
}

impl Engine {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { policy, tokens: RefCell::new(TokenCache::default()), crypto: HostCrypto::default() }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Decides about an HTTP request at `now`, in seconds since the epoch.
    pub(crate) fn request(&self, connection: Result<Connection, UnknownPeer>, received: &Received, now: u64) -> Outcome {
        let (Ok(connection), Ok(headers)) = (connection, Headers::parse(&received.serialized)) else { return Outcome::refused() };
        let http = HttpRequest(headers);
        let authentication = {
            // Held for this call alone, which cannot come back here.
            let mut tokens = self.tokens.borrow_mut();
            self.policy.authenticate(&http, now, &self.crypto, &mut tokens)
        };
        let decision = decide(&self.policy, &Request { connection: &connection, http: Some(&http), authentication: &authentication });
        Outcome::of(&decision, &connection, &authentication)
    }

    /// Decides about a TCP connection.
    pub(crate) fn connection(&self, connection: Result<Connection, UnknownPeer>) -> Outcome {
        let Ok(connection) = connection else { return Outcome::refused() };
        let authentication = Authentication::default();
        let decision = decide(&self.policy, &Request { connection: &connection, http: None, authentication: &authentication });
        Outcome::of(&decision, &connection, &authentication)
    }
}

impl Outcome {
    fn of(decision: &Decision, _connection: &Connection, authentication: &Authentication) -> Self {
        Self {
            denial: decision.deny.then_some(Denial { status: decision.status, body: "RBAC: access denied" }),
            changes: authentication.changes().to_vec(),
            audit: AuditRecord {
                verdict: if decision.deny { "DENY" } else { "ALLOW" }.to_owned(),
                rule: decision.rule,
                policy: decision.rule.map(|_| "shop/callers".to_owned()),
                reason: "stub".to_owned(),
                ..AuditRecord::default()
            },
        }
    }

    fn refused() -> Self {
        Self {
            denial: Some(Denial { status: 403, body: "RBAC: access denied" }),
            changes: Vec::new(),
            audit: AuditRecord { verdict: "DENY".to_owned(), reason: "unknown_peer".to_owned(), ..AuditRecord::default() },
        }
    }
}
