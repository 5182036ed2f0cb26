use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use meshwright_ca::client::Credentials;
use meshwright_identity::TrustDomain;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::sync::watch;
use tonic::Status;

use super::proto::{X509BundlesResponse, X509svid, X509svidResponse};

/// Whom to believe: roots by trust domain, DER, one after the other. They are never merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bundles {
    pub(crate) own: Vec<u8>,
    pub(crate) federated: BTreeMap<TrustDomain, Vec<u8>>,
}

/// What the app can be told now.
#[derive(Debug, Clone)]
pub(super) struct Known {
    credentials: Arc<Credentials>,
    bundles: Arc<Bundles>,
}

/// What the app is told, the newest of each; nothing, until the workload has a certificate.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    known: watch::Sender<Option<Known>>,
}

impl Feed {
    pub(crate) fn new() -> Self {
        Self { known: watch::Sender::new(None) }
    }

    pub(crate) fn publish(&self, credentials: &Arc<Credentials>) -> anyhow::Result<()> {
        let own = der(credentials.trust_bundle_pem()).context("the trust bundle")?;
        let bundles = Arc::new(Bundles { own, federated: BTreeMap::new() });
        self.known.send_replace(Some(Known { credentials: Arc::clone(credentials), bundles }));
        Ok(())
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Known>> {
        self.known.subscribe()
    }
}

impl Known {
    /// Whether the app would be told the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.credentials, &other.credentials) && self.bundles == other.bundles
    }

    pub(super) fn not_after(&self) -> SystemTime {
        self.credentials.not_after()
    }

    pub(super) fn certificates(&self, now: SystemTime) -> Result<X509svidResponse, Status> {
        if now >= self.not_after() {
            return Err(Status::permission_denied("no identity issued: the workload's certificate ended and is not renewed yet"));
        }
        let malformed = |error: anyhow::Error| Status::internal(format!("{error:#}"));
        let svid = X509svid {
            spiffe_id: self.credentials.identity().to_string(),
            x509_svid: der(self.credentials.chain_pem()).map_err(malformed)?,
            x509_svid_key: self.credentials.key().to_der().secret_der().to_vec(),
            bundle: self.bundles.own.clone(),
            hint: String::new(),
        };
        let federated_bundles = self.bundles.federated.iter().map(named).collect();
        Ok(X509svidResponse { svids: vec![svid], crl: Vec::new(), federated_bundles })
    }

    pub(super) fn bundles(&self) -> X509BundlesResponse {
        let own = (self.credentials.trust_domain(), &self.bundles.own);
        X509BundlesResponse { crl: Vec::new(), bundles: self.bundles.federated.iter().chain([own]).map(named).collect() }
    }
}

fn named((trust_domain, bundle): (&TrustDomain, &Vec<u8>)) -> (String, Vec<u8>) {
    (format!("spiffe://{trust_domain}"), bundle.clone())
}

/// The certificates of a PEM text, one after the other.
fn der(pem: &str) -> anyhow::Result<Vec<u8>> {
    let mut all = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        all.extend_from_slice(&certificate.context("a certificate is not one")?);
    }
    anyhow::ensure!(!all.is_empty(), "there is no certificate");
    Ok(all)
}
