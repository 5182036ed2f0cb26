//! A decision as it travels from the filter that made it to the access log: small JSON in one property.

mod read;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::decision::{Decision, Reason};
use crate::evaluation::{Evaluation, NearestMiss, RuleRef};
use crate::jwt::Authentication;
use crate::request::{Connection, Peer};

/// What is recorded of a decision. Made of borrowed parts, so that recording costs little.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRecord<'a> {
    /// `ALLOW` or `DENY`.
    #[serde(borrow)]
    pub verdict: Cow<'a, str>,
    /// `<namespace>/<name>`; none when no policy decided.
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub policy: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u32>,
    /// Stable, one of those that docs/decisions.md lists.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// The policy set's version; empty when it has none.
    #[serde(default, skip_serializing_if = "str::is_empty", borrow)]
    pub version: Cow<'a, str>,
    /// The peer's SPIFFE ID, as its certificate has it; none when the policy does not look at the peer.
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub principal: Option<Cow<'a, str>>,
    /// The serial of the peer's certificate; none when none is denied by its serial.
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub serial: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub jwt_issuer: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub jwt_subject: Option<Cow<'a, str>>,
    /// What came nearest to allowing a request that no ALLOW rule matched.
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub nearest_miss: Option<AuditedMiss<'a>>,
    /// The first AUDIT rule that matched.
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub audit: Option<AuditedRule<'a>>,
    /// What would be decided with the policies in dry-run.
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub shadow: Option<AuditedDecision<'a>>,
    /// The external authorizers that are asked, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty", borrow)]
    pub custom: Vec<AuditedCustom<'a>>,
}

/// A rule, by its policy and index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditedRule<'a> {
    #[serde(borrow)]
    pub policy: Cow<'a, str>,
    pub rule: u32,
}

/// A rule that nearly matched, and the fields that did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditedMiss<'a> {
    #[serde(borrow)]
    pub policy: Cow<'a, str>,
    pub rule: u32,
    pub failed: Vec<String>,
}

/// A decision that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditedDecision<'a> {
    #[serde(borrow)]
    pub verdict: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub policy: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u32>,
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}

/// An external authorizer, and the rule that asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditedCustom<'a> {
    #[serde(borrow)]
    pub provider: Cow<'a, str>,
    #[serde(borrow)]
    pub policy: Cow<'a, str>,
    pub rule: u32,
}

impl<'a> AuditRecord<'a> {
    #[must_use]
    pub fn new(version: &'a str, evaluation: Evaluation<'a>, connection: &'a Connection, authentication: &'a Authentication) -> Self {
        let Evaluation { decision, audit, shadow, custom, nearest } = evaluation;
        let claims = authentication.claims();
        let custom = custom.into_iter().map(|check| AuditedCustom {
            provider: check.provider.into(),
            policy: check.rule.policy.into(),
            rule: check.rule.rule,
        });
        Self {
            verdict: decision.verdict.as_str().into(),
            policy: decision.policy.map(Cow::from),
            rule: decision.rule,
            reason: decision.reason.as_str().into(),
            version: version.into(),
            principal: principal(connection),
            serial: None,
            jwt_issuer: claims.map(|claims| claims.issuer().into()),
            jwt_subject: claims.and_then(|claims| claims.subject().map(Cow::from)),
            nearest_miss: nearest.map(AuditedMiss::from),
            audit: audit.map(AuditedRule::from),
            shadow: shadow.map(AuditedDecision::from),
            custom: custom.collect(),
        }
    }

    /// With the serial of the peer's certificate, for a policy that denies some by theirs.
    #[must_use]
    pub fn with_serial(mut self, connection: &'a Connection) -> Self {
        if let Peer::Authenticated { serial, .. } = &connection.peer {
            self.serial = serial.as_deref().filter(|serial| !serial.is_empty()).map(Cow::from);
        }
        self
    }

    /// As JSON.
    #[must_use]
    #[inline(never)]
    pub fn to_json(&self) -> Vec<u8> {
        // Most records fit, so that writing one allocates once.
        const USUAL: usize = 512;
        let mut json = Vec::with_capacity(USUAL);
        self.write_json(&mut json);
        json
    }

    /// As JSON, behind what is there.
    #[inline(never)]
    pub fn write_json(&self, json: &mut Vec<u8>) {
        let start = json.len();
        // Never an error: there is nothing in it that JSON cannot say.
        if serde_json::to_writer(&mut *json, self).is_err() {
            json.truncate(start);
        }
    }

    /// The same, to keep.
    #[must_use]
    #[inline(never)]
    pub fn into_owned(self) -> AuditRecord<'static> {
        AuditRecord {
            verdict: owned(self.verdict),
            policy: self.policy.map(owned),
            rule: self.rule,
            reason: owned(self.reason),
            version: owned(self.version),
            principal: self.principal.map(owned),
            serial: self.serial.map(owned),
            jwt_issuer: self.jwt_issuer.map(owned),
            jwt_subject: self.jwt_subject.map(owned),
            nearest_miss: self.nearest_miss.map(|miss| AuditedMiss { policy: owned(miss.policy), rule: miss.rule, failed: miss.failed }),
            audit: self.audit.map(|rule| AuditedRule { policy: owned(rule.policy), rule: rule.rule }),
            shadow: self.shadow.map(|shadow| AuditedDecision {
                verdict: owned(shadow.verdict),
                policy: shadow.policy.map(owned),
                rule: shadow.rule,
                reason: owned(shadow.reason),
            }),
            custom: self
                .custom
                .into_iter()
                .map(|check| AuditedCustom { provider: owned(check.provider), policy: owned(check.policy), rule: check.rule })
                .collect(),
        }
    }

    /// A refusal that no policy made: what the decision needs could not be had.
    #[must_use]
    pub fn refused(reason: &'static str) -> Self {
        Self { verdict: "DENY".into(), reason: reason.into(), ..Self::default() }
    }

    /// A refusal of the peer as such.
    #[must_use]
    pub fn refused_peer(version: &'a str, reason: Reason, connection: &'a Connection) -> Self {
        let refused = Self { verdict: "DENY".into(), reason: reason.as_str().into(), version: version.into(), ..Self::default() };
        Self { principal: principal(connection), ..refused }.with_serial(connection)
    }

    /// A refusal by an external authorizer of what everything else allowed.
    #[must_use]
    pub fn denied_by_provider(mut self) -> Self {
        if let Some(AuditedCustom { policy, rule, .. }) = self.custom.first() {
            self.verdict = "DENY".into();
            self.reason = Reason::CustomProvider.as_str().into();
            self.policy = Some(policy.clone());
            self.rule = Some(*rule);
        }
        self
    }
}

fn principal(connection: &Connection) -> Option<Cow<'_, str>> {
    match &connection.peer {
        Peer::Authenticated { uri_sans, .. } => uri_sans.first().map(Cow::from),
        Peer::Plaintext => None,
    }
}

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

impl<'a> From<RuleRef<'a>> for AuditedRule<'a> {
    fn from(rule: RuleRef<'a>) -> Self {
        Self { policy: rule.policy.into(), rule: rule.rule }
    }
}

impl<'a> From<NearestMiss<'a>> for AuditedMiss<'a> {
    fn from(miss: NearestMiss<'a>) -> Self {
        Self { policy: miss.rule.policy.into(), rule: miss.rule.rule, failed: miss.failed }
    }
}

impl<'a> From<Decision<'a>> for AuditedDecision<'a> {
    fn from(decision: Decision<'a>) -> Self {
        Self {
            verdict: decision.verdict.as_str().into(),
            policy: decision.policy.map(Cow::from),
            rule: decision.rule,
            reason: decision.reason.as_str().into(),
        }
    }
}
