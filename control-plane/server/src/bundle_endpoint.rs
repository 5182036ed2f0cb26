//! Serves our own bundle to other trust domains (SPIFFE Federation section 5): over TLS with the control plane's certificate (`https_spiffe`)
//! or with one from files (`https_web`). Whoever comes may read it: it says nothing that a handshake does not.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use meshwright_ca::{Authority, ServerCertificate, public_tls_config};
use meshwright_federation::Publication;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::options::WebCertificate;

/// How often others should ask: a tenth of a certificate's life, and no more rarely than SPIFFE's default.
const LONGEST_HINT: Duration = Duration::from_secs(300);
const SHORTEST_HINT: Duration = Duration::from_secs(1);
/// How often the files are read again, which some other program renews.
const REREAD: Duration = Duration::from_secs(60);

pub(crate) fn refresh_hint(authority: &Authority) -> Duration {
    (authority.leaf_ttl() / 10).clamp(SHORTEST_HINT, LONGEST_HINT)
}

pub(crate) fn router(publication: Arc<Publication>) -> Router {
    Router::new().route("/", get(bundle)).with_state(publication)
}

async fn bundle(State(publication): State<Arc<Publication>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], publication.json().to_string())
}

/// The certificate that others see.
#[derive(Debug, Clone)]
pub(crate) enum Shown {
    /// The control plane's own, which is kept fresh elsewhere.
    Spiffe(Arc<ServerCertificate>),
    Web(Arc<FileCertificate>),
}

impl Shown {
    pub(crate) fn new(web: Option<&WebCertificate>, own: &Arc<ServerCertificate>) -> anyhow::Result<Self> {
        Ok(match web {
            None => Self::Spiffe(Arc::clone(own)),
            Some(files) => Self::Web(Arc::new(FileCertificate::open(files.clone())?)),
        })
    }

    pub(crate) fn acceptor(&self) -> anyhow::Result<TlsAcceptor> {
        let resolver: Arc<dyn ResolvesServerCert> = match self {
            Self::Spiffe(own) => own.clone(),
            Self::Web(files) => files.clone(),
        };
        Ok(TlsAcceptor::from(Arc::new(public_tls_config(resolver)?)))
    }

    /// Until the control plane ends.
    pub(crate) async fn keep(self) {
        let Self::Web(files) = self else { return std::future::pending().await };
        let mut due = tokio::time::interval(REREAD);
        loop {
            due.tick().await;
            if let Err(error) = files.read() {
                tracing::error!(error = %format!("{error:#}"), "the bundle endpoint goes on with the certificate that it has");
            }
        }
    }
}

/// A certificate and its key in two files.
pub(crate) struct FileCertificate {
    files: WebCertificate,
    current: RwLock<Arc<CertifiedKey>>,
}

impl FileCertificate {
    fn open(files: WebCertificate) -> anyhow::Result<Self> {
        let current = RwLock::new(Arc::new(certified(&files)?));
        Ok(Self { files, current })
    }

    fn read(&self) -> anyhow::Result<()> {
        let read = Arc::new(certified(&self.files)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }
}

fn certified(WebCertificate { certificate, key }: &WebCertificate) -> anyhow::Result<CertifiedKey> {
    let unusable = |path: &PathBuf, what: &str| format!("`{}` is no {what} in PEM", path.display());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain = chain.with_context(|| unusable(certificate, "certificate"))?;
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| unusable(key, "private key"))?;
    CertifiedKey::from_der(chain, private, &default_provider())
        .with_context(|| format!("`{}` and `{}` do not belong together", certificate.display(), key.display()))
}

impl ResolvesServerCert for FileCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for FileCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileCertificate").field("files", &self.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
