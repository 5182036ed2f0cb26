//! The control plane's TLS: its own certificate, which can be replaced while connections are open, and client certificates, which are
//! optional (a sidecar has none before it joins) and verified against the trust bundle when presented.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::authority::{Authority, IssueError};
use crate::bundle_verifier::BundleVerifier;
use crate::rollover::Phase;
use crate::time::utc;

/// Why the TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
    #[error("TLS: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// The certificate that the server shows to new connections.
pub struct ServerCertificate {
    current: ArcSwap<Current>,
    clients: Arc<BundleVerifier>,
}

struct Current {
    phase: Phase,
    certified: Arc<CertifiedKey>,
    issued_at: SystemTime,
    renew_at: SystemTime,
    not_after: SystemTime,
}

/// TLS 1.2 and 1.3, ALPN `h2` and `http/1.1`, and the handle by which its certificate is kept fresh.
///
/// # Errors
/// [`TlsError`] when the authority cannot issue.
pub fn server_tls_config(authority: &Authority, now: SystemTime) -> Result<(ServerConfig, Arc<ServerCertificate>), TlsError> {
    let provider = provider();
    let clients = Arc::new(BundleVerifier::new(authority)?);
    let current = ArcSwap::from_pointee(Current::issue(authority, now)?);
    let certificate = Arc::new(ServerCertificate { current, clients: Arc::clone(&clients) });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(certificate.clone());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A resumed session would bring back a client certificate without verifying it again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok((config, certificate))
}

/// TLS as above for whoever comes: clients are asked for nothing.
///
/// # Errors
/// Never with this provider; rustls cannot say so in its types.
pub fn public_tls_config(certificate: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, rustls::Error> {
    let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = config.with_no_client_auth().with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

impl ServerCertificate {
    /// A new certificate when half of the old one's life is over or a rollover of the root goes on, whose bundle then verifies clients;
    /// whether there was. On error the old ones stay.
    ///
    /// # Errors
    /// [`TlsError`] when the authority cannot issue.
    pub fn renew_if_due(&self, authority: &Authority, now: SystemTime) -> Result<bool, TlsError> {
        let changed = self.current.load().phase != authority.phase();
        // A clock that was ahead and is right again leaves a certificate behind that nobody takes before its time comes.
        if (self.current.load().issued_at..self.current.load().renew_at).contains(&now) && !changed {
            return Ok(false);
        }
        if changed {
            self.clients.refresh(authority)?;
        }
        let renewed = Current::issue(authority, now)?;
        tracing::info!(until = %utc(renewed.not_after), "the control plane's own certificate was renewed");
        self.current.store(Arc::new(renewed));
        Ok(true)
    }

    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.current.load().not_after
    }
}

impl Current {
    fn issue(authority: &Authority, now: SystemTime) -> Result<Self, TlsError> {
        // Before the certificate: should it change in between, the next look sees that.
        let phase = authority.phase();
        let identity = authority.server_identity(now)?;
        let certified = CertifiedKey::from_der(identity.chain, identity.key.to_der(), &provider())?;
        let life = identity.not_after.duration_since(now).unwrap_or(Duration::ZERO);
        Ok(Self { phase, certified: Arc::new(certified), issued_at: now, renew_at: now + life / 2, not_after: identity.not_after })
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.load().certified))
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").field("not_after", &self.not_after()).finish_non_exhaustive()
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
