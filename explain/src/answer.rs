//! An answer, as scripts read it.

use serde::Serialize;
use serde_json::Value;

/// What became of a case. The fields are a contract: scripts compare them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The case's; null when it could not be read.
    pub id: Value,
    pub decision: Verdict,
    /// What the client gets; null for a TCP connection, for one that the listener does not take, and where Envoy answers otherwise.
    pub status: Option<u16>,
    /// `<namespace>/<name>` of the AuthorizationPolicy that decided.
    pub policy: Option<String>,
    /// Index of the rule in it, from 0.
    pub rule: Option<u32>,
    /// A stable code.
    pub reason: String,
    /// The path that policy saw, without query; empty when it saw none.
    pub path: String,
    /// `<issuer>/<subject>` of a verified token.
    pub request_principal: Option<String>,
    /// As the app receives them; empty when it receives nothing.
    pub request_headers: Vec<(String, String)>,
    /// Why there is no answer.
    pub error: Option<String>,
}

/// What is done with the request or connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Allow,
    Deny,
    /// It could not be found out.
    Error,
}

impl Answer {
    pub(crate) fn denied(id: Value, status: Option<u16>, reason: &str) -> Self {
        Self {
            id,
            decision: Verdict::Deny,
            status,
            policy: None,
            rule: None,
            reason: reason.to_owned(),
            path: String::new(),
            request_principal: None,
            request_headers: Vec::new(),
            error: None,
        }
    }

    pub(crate) fn error(id: Value, reason: &str, error: String) -> Self {
        Self { decision: Verdict::Error, error: Some(error), ..Self::denied(id, None, reason) }
    }
}
