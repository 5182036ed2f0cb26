use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// The response metadata that carries [`Refusal::reason`].
pub(crate) const REASON: &str = "meshwright-reason";

/// Why the services for sidecars say no. The reasons are part of the protocol and never change meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    TokenMalformed,
    TokenUnknown,
    TokenUsed,
    TokenExpired,
    TokenOtherMesh,
    JwtInvalid,
    RateLimited,
    SigningRequest,
    IdentityNotIssued,
    CertificateRequired,
    CertificateInvalid,
    PeerDenied,
    ModuleUnknown,
    ReportMalformed,
    Internal,
}

impl Refusal {
    const ALL: [Self; 15] = [
        Self::TokenMalformed,
        Self::TokenUnknown,
        Self::TokenUsed,
        Self::TokenExpired,
        Self::TokenOtherMesh,
        Self::JwtInvalid,
        Self::RateLimited,
        Self::SigningRequest,
        Self::IdentityNotIssued,
        Self::CertificateRequired,
        Self::CertificateInvalid,
        Self::PeerDenied,
        Self::ModuleUnknown,
        Self::ReportMalformed,
        Self::Internal,
    ];

    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::TokenMalformed => "token-malformed",
            Self::TokenUnknown => "token-unknown",
            Self::TokenUsed => "token-used",
            Self::TokenExpired => "token-expired",
            Self::TokenOtherMesh => "token-other-mesh",
            Self::JwtInvalid => "jwt-invalid",
            Self::RateLimited => "rate-limited",
            Self::SigningRequest => "signing-request",
            Self::IdentityNotIssued => "identity-not-issued",
            Self::CertificateRequired => "certificate-required",
            Self::CertificateInvalid => "certificate-invalid",
            Self::PeerDenied => "peer-denied",
            Self::ModuleUnknown => "module-unknown",
            Self::ReportMalformed => "report-malformed",
            Self::Internal => "internal",
        }
    }

    /// What whoever was refused can do about it.
    #[must_use]
    pub fn next_step(self) -> &'static str {
        match self {
            Self::TokenMalformed => "pass the whole text that `meshwright token create` printed",
            Self::TokenUnknown | Self::TokenUsed | Self::TokenExpired | Self::TokenOtherMesh => {
                "make a new one with `meshwright token create` on the control plane's data directory"
            }
            Self::JwtInvalid => "use a token of the issuer and audience that the control plane was started with",
            Self::RateLimited => "wait; more than a few restarts a second are unusual",
            Self::SigningRequest => "send a request that asks for no name, or for its own alone",
            Self::IdentityNotIssued => "use a service account of this mesh's own",
            Self::CertificateRequired => "join with a token first",
            Self::CertificateInvalid => "join again with a new token",
            Self::PeerDenied => "ask whoever wrote the mesh's IdentityDenyList; a new token does not help",
            Self::ModuleUnknown => "ask which module is current, then fetch that one",
            Self::ReportMalformed => "cut what is too long",
            Self::Internal => "see the control plane's log",
        }
    }

    fn code(self) -> Code {
        match self {
            Self::TokenMalformed | Self::SigningRequest | Self::ReportMalformed => Code::InvalidArgument,
            Self::TokenUnknown
            | Self::TokenUsed
            | Self::TokenExpired
            | Self::TokenOtherMesh
            | Self::JwtInvalid
            | Self::CertificateRequired
            | Self::CertificateInvalid => Code::Unauthenticated,
            Self::IdentityNotIssued | Self::PeerDenied => Code::PermissionDenied,
            Self::RateLimited => Code::ResourceExhausted,
            Self::ModuleUnknown => Code::NotFound,
            Self::Internal => Code::Internal,
        }
    }

    pub(crate) fn status(self, message: impl Into<String>) -> Status {
        let mut status = Status::new(self.code(), message);
        status.metadata_mut().insert(REASON, MetadataValue::from_static(self.reason()));
        status
    }

    pub(crate) fn of(status: &Status) -> Option<Self> {
        let reason = status.metadata().get(REASON)?.to_str().ok()?;
        Self::ALL.into_iter().find(|refusal| refusal.reason() == reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_survives_the_wire() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::of(&refusal.status("why")), Some(refusal));
        }
        assert_eq!(Refusal::of(&Status::unavailable("gone")), None);
    }
}
