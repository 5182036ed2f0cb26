use crate::jwt::{Authentication, JwtError};
use crate::layer::Entry;
use crate::policy::{Layers, Policy};
use crate::request::Request;
use crate::view::as_rules_see_it;

/// What is done with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    Deny,
}

impl Verdict {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
        }
    }
}

/// Why, in words that stay the same: they are in the log, in metrics and in tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The peer's identity is denied in the whole mesh.
    PeerIdentityDenied,
    /// The peer's certificate is, by its serial.
    PeerSerialDenied,
    /// Some are denied by their serials, and the peer's is not known.
    PeerSerialUnknown,
    /// The peer has no verified certificate, where one is needed.
    MtlsRequired,
    /// A DENY rule matched.
    DenyRule,
    /// An ALLOW rule matched.
    AllowRule,
    /// No ALLOW policy applies to the workload, and no DENY rule matched.
    NoAllowPolicy,
    /// ALLOW policies apply, and no rule of theirs matched.
    NoAllowRuleMatched,
    /// The external authorizer of a CUSTOM policy did not agree. Not known when the policy decides: the access log finds it.
    CustomProvider,
    /// A token was presented and is not good.
    Token(JwtError),
}

impl Reason {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PeerIdentityDenied => "peer_identity_denied",
            Self::PeerSerialDenied => "peer_serial_denied",
            Self::PeerSerialUnknown => "peer_serial_unknown",
            Self::MtlsRequired => "mtls_required",
            Self::DenyRule => "deny_rule_matched",
            Self::AllowRule => "allow_rule_matched",
            Self::NoAllowPolicy => "no_allow_policy",
            Self::NoAllowRuleMatched => "no_allow_rule_matched",
            Self::CustomProvider => "custom_provider_denied",
            Self::Token(error) => error.reason(),
        }
    }
}

/// A decision and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'p> {
    pub verdict: Verdict,
    /// `<namespace>/<name>` of the AuthorizationPolicy that decided.
    pub policy: Option<&'p str>,
    /// Index of the rule in it, from 0.
    pub rule: Option<u32>,
    pub reason: Reason,
}

impl Decision<'_> {
    /// That no policy made.
    pub(crate) fn denied(reason: Reason) -> Self {
        Self { verdict: Verdict::Deny, policy: None, rule: None, reason }
    }

    /// The HTTP status of a refusal: 401 for a token that is not good, 403 for all else (a wrong audience too).
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.reason {
            Reason::Token(error) => error.status(),
            Reason::PeerIdentityDenied
            | Reason::PeerSerialDenied
            | Reason::PeerSerialUnknown
            | Reason::MtlsRequired
            | Reason::DenyRule
            | Reason::AllowRule
            | Reason::NoAllowPolicy
            | Reason::NoAllowRuleMatched
            | Reason::CustomProvider => 403,
        }
    }

    /// The body of a refusal, in Envoy's words.
    #[must_use]
    pub fn body(&self) -> &'static str {
        match self.reason {
            Reason::Token(error) => error.message(),
            Reason::PeerIdentityDenied
            | Reason::PeerSerialDenied
            | Reason::PeerSerialUnknown
            | Reason::MtlsRequired
            | Reason::DenyRule
            | Reason::AllowRule
            | Reason::NoAllowPolicy
            | Reason::NoAllowRuleMatched
            | Reason::CustomProvider => "RBAC: access denied",
        }
    }

    /// The response code details of a refusal, in Envoy's form.
    #[must_use]
    pub fn details(&self) -> String {
        match (self.reason, self.policy.and_then(|key| key.split_once('/')), self.rule) {
            (Reason::Token(error), ..) => format!("jwt_authn_access_denied{{{}}}", error.message().replace(' ', "_")),
            (_, Some((namespace, name)), Some(rule)) => {
                format!("rbac_access_denied_matched_policy[ns[{namespace}]-policy[{name}]-rule[{rule}]]")
            }
            _ => "rbac_access_denied_matched_policy[none]".to_owned(),
        }
    }
}

/// Decides. Peers that are denied, or that have no certificate where one is needed, come first; then the order is Istio's: a bad token, then
/// DENY, then ALLOW; where ALLOW policies apply, what none of them matches is denied.
#[must_use]
pub fn decide<'p>(policy: &'p Policy, request: &Request<'_>) -> Decision<'p> {
    if let Some(reason) = policy.refuses(request.connection) {
        return Decision::denied(reason);
    }
    if let Authentication::Refused(refusal) = request.authentication {
        return Decision::denied(Reason::Token(refusal.error()));
    }
    as_rules_see_it(request, |request| by_rules(&policy.enforced, request))
}

pub(crate) fn by_rules<'p>(layers: &'p Layers, request: &Request<'_>) -> Decision<'p> {
    let by = |entry: &'p Entry, verdict, reason| Decision { verdict, policy: Some(&entry.origin().key), rule: Some(entry.index()), reason };
    if let Some(entry) = layers.deny.first_match(request) {
        return by(entry, Verdict::Deny, Reason::DenyRule);
    }
    // "If there are no ALLOW policies for the workload, allow the request" (AuthorizationPolicy).
    let Some(allow) = &layers.allow else {
        return Decision { verdict: Verdict::Allow, policy: None, rule: None, reason: Reason::NoAllowPolicy };
    };
    match allow.first_match(request) {
        Some(entry) => by(entry, Verdict::Allow, Reason::AllowRule),
        None => Decision { verdict: Verdict::Deny, policy: None, rule: None, reason: Reason::NoAllowRuleMatched },
    }
}
