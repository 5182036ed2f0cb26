//! Where a proof of identity becomes a certificate: limits, proof, signature, and one audit record for each answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use meshwright_identity::SpiffeId;

use super::{DenyList, Refusal};
use crate::audit::{AuditLog, AuditRecord};
use crate::authority::{Authority, IssueError, Issued};
use crate::join_token::JoinToken;
use crate::jwt::{InvalidJwt, JwtIssuer};
use crate::proto;
use crate::rate::{Limited, RateLimits};
use crate::signing_request::SigningRequest;
use crate::time::{unix_seconds, utc};
use crate::token_store::{RedeemError, TokenStore};

/// By what a caller is who it says.
pub(super) enum Proof {
    Token(JoinToken),
    Jwt(String),
    Certificate { identity: SpiffeId, serial: Option<String> },
}

pub(super) struct Desk {
    pub(super) authority: Arc<Authority>,
    pub(super) tokens: TokenStore,
    pub(super) jwt: Option<JwtIssuer>,
    pub(super) limits: RateLimits,
    pub(super) audit: Option<Arc<AuditLog>>,
    pub(super) ttl: Duration,
    pub(super) denied: Option<Arc<dyn DenyList>>,
}

/// Why not, and what the caller is told.
type Refused = (Refusal, String);

impl Desk {
    pub(super) fn issue(&self, proof: &Proof, csr_der: &[u8], now: SystemTime) -> Result<proto::Certificates, Refused> {
        let mut record = self.record(proof, now);
        match self.try_issue(proof, csr_der, now, &mut record) {
            Ok((identity, issued)) => {
                tracing::info!(target: "meshwright::audit", %identity, proof = proof.kind(), serial = %issued.serial,
                    until = %utc(issued.not_after), "issued a certificate");
                record.serial = Some(issued.serial.clone());
                record.not_after = Some(utc(issued.not_after));
                record.ttl_seconds = issued.not_after.duration_since(now).ok().map(|left| left.as_secs());
                self.keep(&record);
                Ok(certificates(&self.authority, &identity, issued))
            }
            Err((refusal, message)) => {
                self.refused(record, refusal, &message);
                Err((refusal, message))
            }
        }
    }

    /// Of somebody who did not come as far as a proof.
    pub(super) fn refuse(&self, proof: &'static str, refusal: Refusal, message: &str, now: SystemTime) {
        self.refused(AuditRecord::refusal(proof, now), refusal, message);
    }

    fn refused(&self, mut record: AuditRecord, refusal: Refusal, message: &str) {
        record.event = "refused";
        record.reason = Some(refusal.reason());
        record.message = Some(message.to_owned());
        self.keep(&record);
    }

    fn try_issue(&self, proof: &Proof, csr_der: &[u8], now: SystemTime, record: &mut AuditRecord) -> Result<(SpiffeId, Issued), Refused> {
        self.limits.admit(now).map_err(limited)?;
        // The request before the proof: a malformed one must not cost its sender the token. Nor must a limit.
        let request = SigningRequest::parse(csr_der).map_err(|error| (Refusal::SigningRequest, error.to_string()))?;
        let identity = self.claimed(proof, now)?;
        record.identity = Some(identity.to_string());
        if let Some(message) = self.denies(&identity, proof.serial()) {
            record.serial = proof.serial().map(str::to_owned);
            return Err((Refusal::PeerDenied, message));
        }
        self.limits.admit_identity(&identity, now).map_err(limited)?;
        if let Proof::Token(token) = proof {
            self.tokens.redeem(token, now).map_err(redeem_refusal)?;
        }
        let issued = self.authority.issue_request(&request, &identity, self.ttl, now);
        issued.map(|issued| (identity, issued)).map_err(|error| (issue_refusal(&error), error.to_string()))
    }

    pub(super) fn denies(&self, identity: &SpiffeId, serial: Option<&str>) -> Option<String> {
        self.denied.as_ref().and_then(|denied| denied.denies(identity, serial))
    }

    /// Who the proof is of. A token is not used up yet.
    fn claimed(&self, proof: &Proof, now: SystemTime) -> Result<SpiffeId, Refused> {
        match proof {
            Proof::Certificate { identity, .. } => Ok(identity.clone()),
            Proof::Jwt(jwt) => {
                let issuer = self.jwt.as_ref().ok_or(InvalidJwt::NotTaken);
                let identity = issuer.and_then(|issuer| issuer.verify(jwt, self.authority.trust_domain(), now));
                identity.map_err(|error| (Refusal::JwtInvalid, error.to_string()))
            }
            Proof::Token(token) => {
                if !self.authority.phase().bundle().contains(&token.root_fingerprint()) {
                    return Err((Refusal::TokenOtherMesh, "the join token is of another mesh, or of a root that was replaced".to_owned()));
                }
                self.tokens.identity(token, now).map_err(redeem_refusal)
            }
        }
    }

    fn record(&self, proof: &Proof, now: SystemTime) -> AuditRecord {
        let mut record = AuditRecord::refusal(proof.kind(), now);
        record.event = "issued";
        record.proof_id = match proof {
            Proof::Token(token) => Some(token.id().chars().take(32).collect()),
            Proof::Jwt(_) => self.jwt.as_ref().map(|jwt| jwt.issuer.clone()),
            Proof::Certificate { .. } => None,
        };
        record
    }

    fn keep(&self, record: &AuditRecord) {
        if let Some(audit) = &self.audit {
            audit.record(record);
        }
    }
}

impl Proof {
    fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "join-token",
            Self::Jwt(_) => "jwt",
            Self::Certificate { .. } => "certificate",
        }
    }

    /// Of the certificate that is shown.
    fn serial(&self) -> Option<&str> {
        match self {
            Self::Certificate { serial, .. } => serial.as_deref(),
            Self::Token(_) | Self::Jwt(_) => None,
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn limited(limit: Limited) -> Refused {
    (Refusal::RateLimited, limit.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn redeem_refusal(error: RedeemError) -> Refused {
    let refusal = match error {
        RedeemError::Unknown => Refusal::TokenUnknown,
        RedeemError::AlreadyUsed => Refusal::TokenUsed,
        RedeemError::Expired(_) => Refusal::TokenExpired,
        RedeemError::Corrupt | RedeemError::Store(_) => Refusal::Internal,
    };
    (refusal, error.to_string())
}

fn issue_refusal(error: &IssueError) -> Refusal {
    match error {
        IssueError::Request(_) => Refusal::SigningRequest,
        IssueError::TrustDomain { .. } | IssueError::NoPath(_) | IssueError::Reserved(_) => Refusal::IdentityNotIssued,
        IssueError::IssuerExpires { .. }
        | IssueError::NoRootKey
        | IssueError::ClockBehind { .. }
        | IssueError::Store(_)
        | IssueError::Material(_)
        | IssueError::Reopen(_)
        | IssueError::Key(_)
        | IssueError::Sign(_) => Refusal::Internal,
    }
}

fn certificates(authority: &Authority, identity: &SpiffeId, issued: Issued) -> proto::Certificates {
    proto::Certificates {
        chain_pem: issued.chain_pem,
        trust_bundle_pem: authority.trust_bundle_pem(),
        trust_domain: authority.trust_domain().to_string(),
        identity: identity.to_string(),
        not_after: i64::try_from(unix_seconds(issued.not_after)).unwrap_or(i64::MAX),
        control_plane_identity: authority.control_plane_identity().to_string(),
    }
}
