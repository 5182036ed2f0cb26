use serde::{Deserialize, Serialize};

use crate::decision::Decision;
use crate::jwt::Authentication;
use crate::request::{Connection, Peer};

/// A decision as it travels from the filter that made it to the access log: small JSON in one property.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRecord {
    /// `ALLOW` or `DENY`.
    pub verdict: String,
    /// `<namespace>/<name>`; none when no policy decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u32>,
    pub reason: String,
    /// The peer's SPIFFE ID, as its certificate has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt_issuer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt_subject: Option<String>,
}

impl AuditRecord {
    #[must_use]
    pub fn new(decision: &Decision<'_>, connection: &Connection, authentication: &Authentication) -> Self {
        let claims = authentication.claims();
        let principal = match &connection.peer {
            Peer::Authenticated { uri_sans, .. } => uri_sans.first().cloned(),
            Peer::Plaintext => None,
        };
        Self {
            verdict: decision.verdict.as_str().to_owned(),
            policy: decision.policy.map(str::to_owned),
            rule: decision.rule,
            reason: decision.reason.as_str().to_owned(),
            principal,
            jwt_issuer: claims.map(|claims| claims.issuer().to_owned()),
            jwt_subject: claims.and_then(|claims| claims.subject().map(str::to_owned)),
        }
    }

    /// A refusal that no policy made: what the decision needs could not be had.
    #[must_use]
    pub fn refused(reason: &'static str) -> Self {
        Self { verdict: "DENY".to_owned(), reason: reason.to_owned(), ..Self::default() }
    }
}
