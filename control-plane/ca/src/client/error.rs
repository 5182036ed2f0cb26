use std::io;

use meshwright_identity::SpiffeId;
use rustls::AlertDescription;

use super::verifier::NotControlPlane;
use crate::private_key::KeyError;
use crate::service::Refusal;

/// Why a call to the identity service failed, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("`{0}` is not an address; write `host:port`")]
    Address(String),
    #[error("the control plane at `{address}` cannot be reached: {source}; is it running, and is this its address?")]
    Unreachable { address: String, source: io::Error },
    #[error("the control plane at `{address}` did not answer in time; is this its address?")]
    Timeout { address: String },
    #[error(
        "the server at `{address}` is not the control plane that made this join token: {reason}; check the address, or make a token on that control plane's data directory"
    )]
    Fingerprint { address: String, reason: String },
    #[error("the server at `{address}` is not this mesh's control plane: {reason}; check the address")]
    NotControlPlane { address: String, reason: String },
    #[error("TLS with `{address}` failed: {source}; is this the control plane's TLS port?")]
    Tls { address: String, source: io::Error },
    #[error("the control plane refused: {message}; {}", .refusal.next_step())]
    Refused { refusal: Refusal, message: String },
    #[error("the certificate of `{identity}` expired at {at}; join again with a new token")]
    Expired { identity: SpiffeId, at: String },
    #[error("the call to `{address}` failed: {message}")]
    Call { address: String, message: String },
    #[error("the control plane's answer cannot be used: {0}")]
    Answer(#[from] BadAnswer),
    #[error("the trust bundle given for the first contact has no certificate that can be read")]
    Bundle,
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    #[error("`{0}` is not what it should be")]
    Field(&'static str),
    #[error("the certificate is not of the key it was asked for")]
    OtherKey,
    #[error("the certificate does not verify against the trust bundle: {0}")]
    Chain(String),
    #[error("the trust bundle lacks the root that the join token names")]
    Bundle,
    #[error("expected `{expected}`, found `{found}`")]
    Identity { expected: SpiffeId, found: String },
    #[error("the module's digest is not 64 hexadecimal digits")]
    Digest,
    #[error("the module has more than {limit} bytes")]
    ModuleSize { limit: u64 },
    #[error("the module's SHA-256 is {found}, expected {expected}")]
    ModuleDigest { expected: String, found: String },
}

impl ClientError {
    /// Whether trying again later, with nothing changed, can help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Tls { .. } | Self::Call { .. } => true,
            Self::Refused { refusal, .. } => matches!(refusal, Refusal::Internal | Refusal::RateLimited),
            Self::Address(_)
            | Self::Fingerprint { .. }
            | Self::NotControlPlane { .. }
            | Self::Expired { .. }
            | Self::Answer(_)
            | Self::Bundle
            | Self::Key(_) => false,
        }
    }
}

/// The handshake's error, taken apart: what our own verifier said is inside.
pub(super) fn from_handshake(address: &str, first_contact: bool, source: io::Error) -> ClientError {
    let address = address.to_owned();
    let tls = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(certificate)) = tls else {
        return ClientError::Tls { address, source };
    };
    let ours = if let rustls::CertificateError::Other(other) = certificate { other.0.downcast_ref::<NotControlPlane>() } else { None };
    let reason = ours.map_or_else(|| certificate.to_string(), ToString::to_string);
    let other_root = matches!(ours, Some(NotControlPlane::Fingerprint(_)));
    if first_contact && other_root {
        ClientError::Fingerprint { address, reason }
    } else {
        ClientError::NotControlPlane { address, reason }
    }
}

pub(super) fn from_call(address: &str, alert: Option<&AlertDescription>, message: String) -> ClientError {
    match alert {
        // Only certificates of ours that the peer would not have end in one of these (RFC 8446 section 6.2).
        Some(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied),
        ) => ClientError::Refused { refusal: Refusal::CertificateInvalid, message: format!("TLS alert {alert:?}") },
        Some(alert) => ClientError::Call { address: address.to_owned(), message: format!("TLS alert {alert:?}") },
        None => ClientError::Call { address: address.to_owned(), message },
    }
}
