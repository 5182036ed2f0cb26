use std::time::{Duration, SystemTime};

use meshwright_identity::{SpiffeId, TrustDomain};
use rcgen::PublicKeyData as _;
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::{BadAnswer, ClientError};
use crate::fingerprint::Fingerprint;
use crate::peer;
use crate::private_key::PrivateKey;
use crate::proto;
use crate::time::{from_asn1, unix_seconds};
use crate::tls::provider;

/// A workload's certificate chain, its key, and what it needs to know of the mesh. Its `Debug` shows no key.
#[derive(Debug)]
pub struct Credentials {
    identity: SpiffeId,
    control_plane: SpiffeId,
    key: PrivateKey,
    chain_pem: String,
    chain: Vec<CertificateDer<'static>>,
    trust_bundle_pem: String,
    trust_bundle: Vec<CertificateDer<'static>>,
    not_before: SystemTime,
    not_after: SystemTime,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    chain_pem: String,
    key_pem: Zeroizing<String>,
    trust_bundle_pem: String,
    control_plane: SpiffeId,
}

impl Credentials {
    /// Who the leaf says its bearer is.
    #[must_use]
    pub fn identity(&self) -> &SpiffeId {
        &self.identity
    }

    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        self.identity.trust_domain()
    }

    /// Whom to accept as the control plane.
    #[must_use]
    pub fn control_plane_identity(&self) -> &SpiffeId {
        &self.control_plane
    }

    /// Leaf and intermediate, PEM.
    #[must_use]
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    #[must_use]
    pub fn trust_bundle_pem(&self) -> &str {
        &self.trust_bundle_pem
    }

    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    pub(super) fn roots(&self) -> Result<RootCertStore, ClientError> {
        Ok(root_store(&self.trust_bundle)?)
    }

    /// Believes nothing of the answer that does not follow from the chain, except the names of peers to expect.
    pub(super) fn from_answer(answer: proto::Certificates, key: PrivateKey, now: SystemTime) -> Result<Self, BadAnswer> {
        let proto::Certificates { chain_pem, trust_bundle_pem, trust_domain, identity, not_after, control_plane_identity } = answer;
        let chain = certificates("chain_pem", &chain_pem)?;
        let trust_bundle = certificates("trust_bundle_pem", &trust_bundle_pem)?;
        let identity = SpiffeId::parse(&identity).map_err(|_| BadAnswer::Field("identity"))?;
        let control_plane = SpiffeId::parse(&control_plane_identity).map_err(|_| BadAnswer::Field("control_plane_identity"))?;
        if identity.trust_domain().as_str() != trust_domain || control_plane.trust_domain().as_str() != trust_domain {
            return Err(BadAnswer::Field("trust_domain"));
        }
        let leaf = chain.first().ok_or(BadAnswer::Field("chain_pem"))?;
        let named = peer::leaf_identity(leaf, now).map_err(|error| BadAnswer::Chain(error.to_string()))?;
        if named != identity {
            return Err(BadAnswer::Identity { expected: identity, found: named.to_string() });
        }
        let parsed = peer::parse(leaf).map_err(|error| BadAnswer::Chain(error.to_string()))?;
        if parsed.public_key().raw != key.pair().subject_public_key_info() {
            return Err(BadAnswer::OtherKey);
        }
        let (from, until) = (from_asn1(parsed.validity().not_before), from_asn1(parsed.validity().not_after));
        if u64::try_from(not_after) != Ok(unix_seconds(until)) {
            return Err(BadAnswer::Field("not_after"));
        }
        verify_chain(&chain, &trust_bundle, now)?;
        Ok(Self { identity, control_plane, key, chain_pem, chain, trust_bundle_pem, trust_bundle, not_before: from, not_after: until })
    }

    /// All of it, the private key too, for a file that is its owner's alone.
    #[must_use]
    pub fn to_stored(&self) -> Zeroizing<String> {
        let stored = Stored {
            version: 1,
            chain_pem: self.chain_pem.clone(),
            key_pem: Zeroizing::new(self.key.pem().to_owned()),
            trust_bundle_pem: self.trust_bundle_pem.clone(),
            control_plane: self.control_plane.clone(),
        };
        // Strings and numbers: there is nothing in it that JSON could not hold.
        Zeroizing::new(serde_json::to_string(&stored).unwrap_or_default())
    }

    /// Of [`Credentials::to_stored`], checked as if they came from the control plane now.
    ///
    /// # Errors
    /// [`BadAnswer`]; also when the certificate has ended since.
    pub fn from_stored(text: &str, now: SystemTime) -> Result<Self, BadAnswer> {
        let stored: Stored = serde_json::from_str(text).map_err(|_| BadAnswer::Field("stored identity"))?;
        let chain = certificates("chain_pem", &stored.chain_pem)?;
        let leaf = chain.first().ok_or(BadAnswer::Field("chain_pem"))?;
        let identity = peer::leaf_identity(leaf, now).map_err(|error| BadAnswer::Chain(error.to_string()))?;
        let parsed = peer::parse(leaf).map_err(|error| BadAnswer::Chain(error.to_string()))?;
        let until = unix_seconds(from_asn1(parsed.validity().not_after));
        let key = pem::parse(stored.key_pem.as_bytes()).map(|key| Zeroizing::new(key.into_contents()));
        let key = key.ok().and_then(|der| PrivateKey::from_pkcs8(&der).ok()).ok_or(BadAnswer::Field("key_pem"))?;
        let answer = proto::Certificates {
            chain_pem: stored.chain_pem,
            trust_bundle_pem: stored.trust_bundle_pem,
            trust_domain: identity.trust_domain().to_string(),
            identity: identity.to_string(),
            not_after: i64::try_from(until).unwrap_or(i64::MAX),
            control_plane_identity: stored.control_plane.to_string(),
        };
        if stored.version == 1 { Self::from_answer(answer, key, now) } else { Err(BadAnswer::Field("version")) }
    }

    /// On first contact the bundle must hold the root that the token names, and the control plane be who TLS saw.
    pub(super) fn check_first_contact(&self, root: Fingerprint, seen: Option<&SpiffeId>) -> Result<(), BadAnswer> {
        if !self.trust_bundle.iter().any(|certificate| Fingerprint::of(certificate) == root) {
            return Err(BadAnswer::Bundle);
        }
        self.check_seen(seen)
    }

    pub(super) fn check_seen(&self, seen: Option<&SpiffeId>) -> Result<(), BadAnswer> {
        if seen == Some(&self.control_plane) { Ok(()) } else { Err(BadAnswer::Field("control_plane_identity")) }
    }
}

/// `None` when there is no root in it, or one that is none.
pub(super) fn roots_of(pem: &str) -> Option<RootCertStore> {
    root_store(&certificates("trust_bundle_pem", pem).ok()?).ok()
}

fn certificates(field: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, BadAnswer> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    certificates.ok().filter(|certificates| !certificates.is_empty()).ok_or(BadAnswer::Field(field))
}

fn root_store(bundle: &[CertificateDer<'static>]) -> Result<RootCertStore, BadAnswer> {
    let mut roots = RootCertStore::empty();
    for root in bundle {
        roots.add(root.clone()).map_err(|_| BadAnswer::Field("trust_bundle_pem"))?;
    }
    Ok(roots)
}

fn verify_chain(chain: &[CertificateDer<'static>], bundle: &[CertificateDer<'static>], now: SystemTime) -> Result<(), BadAnswer> {
    let (leaf, intermediates) = chain.split_first().ok_or(BadAnswer::Field("chain_pem"))?;
    let refused = |error: rustls::Error| BadAnswer::Chain(error.to_string());
    let leaf = ParsedCertificate::try_from(leaf).map_err(refused)?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(unix_seconds(now)));
    let algorithms = provider().signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&leaf, &root_store(bundle)?, intermediates, now, algorithms).map_err(refused)
}
