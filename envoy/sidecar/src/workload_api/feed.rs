use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use meshwright_ca::client::Credentials;
use meshwright_identity::TrustDomain;
use tokio::sync::watch;
use tonic::Status;

use super::bundles::{Bundles, choose, der};
use super::proto::{X509BundlesResponse, X509svid, X509svidResponse};

/// What the app can be told now.
#[derive(Debug, Clone)]
pub(super) struct Known {
    credentials: Arc<Credentials>,
    /// What came with this certificate.
    with: Arc<Bundles>,
    /// What came with the one before.
    before: Arc<Bundles>,
    /// What Envoy holds.
    held: Vec<Arc<Bundles>>,
    /// Of all these, what is told.
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
        let with = Arc::new(Bundles::of(credentials.trust_bundle_pem()).context("the trust bundle")?);
        self.known.send_modify(|known| {
            let (before, held) = match known.take() {
                Some(known) => (known.with, known.held),
                None => (Arc::clone(&with), Vec::new()),
            };
            let bundles = choose(&with, &before, &held);
            *known = Some(Known { credentials: Arc::clone(credentials), with, before, held, bundles });
        });
        Ok(())
    }

    /// What Envoy holds now.
    pub(super) fn held(&self, held: Vec<Arc<Bundles>>) {
        self.known.send_if_modified(|known| {
            let Some(known) = known else { return false };
            known.held = held;
            let bundles = choose(&known.with, &known.before, &known.held);
            let changed = known.bundles != bundles;
            known.bundles = bundles;
            changed
        });
    }

    /// Whose bundle is the own one; none, until the workload has a certificate.
    pub(super) fn trust_domain(&self) -> Option<TrustDomain> {
        self.known.borrow().as_ref().map(|known| known.credentials.trust_domain().clone())
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
