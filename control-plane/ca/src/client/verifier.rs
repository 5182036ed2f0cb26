//! Which servers are the control plane. Names in DNS play no part: the chain must end in a root that is known (by the trust bundle, or on
//! first contact by its fingerprint) and the leaf must hold the control plane's SPIFFE ID.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use meshwright_identity::SpiffeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use crate::CONTROL_PLANE_SERVICE_ACCOUNT;
use crate::fingerprint::Fingerprint;
use crate::peer::{self, InvalidPeer};
use crate::tls::provider;

/// Why a server is not the control plane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotControlPlane {
    #[error("its chain has no certificate with the root fingerprint {0}")]
    Fingerprint(Fingerprint),
    #[error("{0}")]
    Identity(#[from] InvalidPeer),
    #[error("its identity is `{0}`")]
    OtherIdentity(SpiffeId),
}

enum Trust {
    Fingerprint(Fingerprint),
    /// Some roots, and whoever is the control plane among what they vouch for.
    Roots(RootCertStore),
    Bundle {
        roots: RootCertStore,
        control_plane: SpiffeId,
    },
}

pub(crate) struct ControlPlaneVerifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    seen: OnceLock<SpiffeId>,
}

impl ControlPlaneVerifier {
    pub(crate) fn first_contact(root: Fingerprint) -> Self {
        Self { trust: Trust::Fingerprint(root), provider: provider(), seen: OnceLock::new() }
    }

    pub(crate) fn first_contact_by_roots(roots: RootCertStore) -> Self {
        Self { trust: Trust::Roots(roots), provider: provider(), seen: OnceLock::new() }
    }

    pub(crate) fn known(roots: RootCertStore, control_plane: SpiffeId) -> Self {
        Self { trust: Trust::Bundle { roots, control_plane }, provider: provider(), seen: OnceLock::new() }
    }

    /// The identity that was verified, once a handshake has been.
    pub(crate) fn seen(&self) -> Option<&SpiffeId> {
        self.seen.get()
    }

    fn verify(&self, leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>], now: UnixTime) -> Result<(), rustls::Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let id = match &self.trust {
            Trust::Bundle { roots, control_plane } => {
                verify_server_cert_signed_by_trust_anchor(&parsed, roots, rest, now, algorithms)?;
                let id = identity(leaf, now)?;
                if id != *control_plane {
                    return Err(refuse(NotControlPlane::OtherIdentity(id)));
                }
                id
            }
            Trust::Fingerprint(expected) => {
                let root = rest.iter().find(|certificate| Fingerprint::of(certificate) == *expected);
                let root = root.ok_or_else(|| refuse(NotControlPlane::Fingerprint(*expected)))?;
                let mut roots = RootCertStore::empty();
                roots.add(root.clone().into_owned())?;
                verify_server_cert_signed_by_trust_anchor(&parsed, &roots, rest, now, algorithms)?;
                control_plane(leaf, now)?
            }
            Trust::Roots(roots) => {
                verify_server_cert_signed_by_trust_anchor(&parsed, roots, rest, now, algorithms)?;
                control_plane(leaf, now)?
            }
        };
        // One handshake per verifier: the first is the only one.
        self.seen.get_or_init(|| id);
        Ok(())
    }
}

/// TLS towards a server that is known by its SPIFFE ID and the roots of its trust domain; its name plays no part.
///
/// # Errors
/// When a root cannot be used.
pub fn spiffe_client_config(roots: &[CertificateDer<'_>], server: SpiffeId) -> Result<ClientConfig, rustls::Error> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone().into_owned())?;
    }
    let verifier = Arc::new(ControlPlaneVerifier::known(store, server));
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// The authority gives this service account to nobody but the control plane, in any namespace.
fn control_plane(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<SpiffeId, rustls::Error> {
    let id = identity(leaf, now)?;
    match id.service_account() {
        Some((_, CONTROL_PLANE_SERVICE_ACCOUNT)) => Ok(id),
        _ => Err(refuse(NotControlPlane::OtherIdentity(id))),
    }
}

fn identity(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<SpiffeId, rustls::Error> {
    let now = UNIX_EPOCH + Duration::from_secs(now.as_secs());
    peer::leaf_identity(leaf, now).map_err(|error| refuse(error.into()))
}

fn refuse(why: NotControlPlane) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))))
}

impl ServerCertVerifier for ControlPlaneVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for ControlPlaneVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlPlaneVerifier").finish_non_exhaustive()
    }
}
