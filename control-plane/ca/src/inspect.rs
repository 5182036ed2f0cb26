//! What a chain of certificates is, and every reason for which a peer would refuse it, in words.

use std::time::{Duration, SystemTime};

use meshwright_identity::TrustDomain;
use rustls::RootCertStore;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::Serialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::public_key::PublicKey;

use crate::fingerprint::Fingerprint;
use crate::peer;
use crate::store::hex;
use crate::time::{from_asn1, unix_seconds, utc};
use crate::tls::provider;

/// A chain as a peer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// Leaf first.
    pub certificates: Vec<CertificateReport>,
    /// Why a peer would refuse it; empty when none would.
    pub problems: Vec<String>,
    /// What peers accept and somebody should look at.
    pub warnings: Vec<String>,
}

/// One certificate of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateReport {
    /// `leaf` or `authority`.
    pub role: &'static str,
    pub spiffe_ids: Vec<String>,
    pub subject: String,
    pub issuer: String,
    pub serial: String,
    pub key: String,
    pub not_before: String,
    pub not_after: String,
    /// SHA-256 of the whole.
    pub fingerprint: String,
}

/// What cannot be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    #[error("there is no certificate in PEM in it")]
    Empty,
    #[error("certificate {0} of it cannot be read")]
    Malformed(usize),
}

/// Looks at `chain_pem` as a peer with `bundle_pem` (when given) and of `trust_domain` (when given) does at `now`.
///
/// # Errors
/// [`InspectError`] when there is nothing to look at.
pub fn inspect(
    chain_pem: &[u8],
    bundle_pem: Option<&[u8]>,
    trust_domain: Option<&TrustDomain>,
    now: SystemTime,
) -> Result<ChainReport, InspectError> {
    let chain = certificates(chain_pem)?;
    let mut certificates_of = Vec::new();
    for (at, der) in chain.iter().enumerate() {
        let certificate = peer::parse(der).map_err(|_| InspectError::Malformed(at + 1))?;
        certificates_of.push(report(der, &certificate));
    }
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    if let Some(leaf) = chain.first() {
        match peer::leaf_identity(leaf, now) {
            Err(error) => problems.push(error.to_string()),
            Ok(id) => {
                if let Some(expected) = trust_domain.filter(|expected| *expected != id.trust_domain()) {
                    problems.push(format!("the certificate is of trust domain `{}`; the peer is of `{expected}`", id.trust_domain()));
                }
            }
        }
        warnings.extend(late(leaf, now));
    }
    problems.extend(links(&chain, now));
    if let Some(bundle) = bundle_pem {
        problems.extend(verify(&chain, &certificates(bundle)?, now));
    }
    Ok(ChainReport { certificates: certificates_of, problems, warnings })
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InspectError> {
    let read: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| InspectError::Empty)?;
    if read.is_empty() { Err(InspectError::Empty) } else { Ok(read) }
}

fn report(der: &CertificateDer<'_>, certificate: &X509Certificate<'_>) -> CertificateReport {
    let validity = certificate.validity();
    CertificateReport {
        role: if certificate.is_ca() { "authority" } else { "leaf" },
        spiffe_ids: peer::uris(certificate),
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        serial: hex(certificate.raw_serial()),
        key: key(certificate),
        not_before: utc(from_asn1(validity.not_before)),
        not_after: utc(from_asn1(validity.not_after)),
        fingerprint: Fingerprint::of(der).to_string(),
    }
}

fn key(certificate: &X509Certificate<'_>) -> String {
    match certificate.public_key().parsed() {
        Ok(PublicKey::EC(point)) => format!("ECDSA, {} bits", point.key_size()),
        Ok(PublicKey::RSA(key)) => format!("RSA, {} bits", key.key_size()),
        _ if certificate.public_key().algorithm.algorithm == x509_parser::oid_registry::OID_SIG_ED25519 => "Ed25519".to_owned(),
        _ => "of an unknown kind".to_owned(),
    }
}

/// It should have been renewed at half of its life.
fn late(leaf: &CertificateDer<'_>, now: SystemTime) -> Option<String> {
    let certificate = peer::parse(leaf).ok()?;
    let (from, until) = (from_asn1(certificate.validity().not_before), from_asn1(certificate.validity().not_after));
    let percent = crate::leases::Lease { from, until }.percent_over(now);
    (75..=100)
        .contains(&percent)
        .then(|| format!("{percent} % of the leaf's life is over and it should be renewed at 50 %: is the control plane reachable?"))
}

/// Between each certificate and the next.
fn links(chain: &[CertificateDer<'static>], now: SystemTime) -> Vec<String> {
    let mut problems = Vec::new();
    for (at, (child, parent)) in chain.iter().zip(chain.iter().skip(1)).enumerate() {
        let (Ok(child), Ok(parent)) = (peer::parse(child), peer::parse(parent)) else { continue };
        let (one, next) = (at + 1, at + 2);
        if child.issuer().as_raw() != parent.subject().as_raw() || child.verify_signature(Some(parent.public_key())).is_err() {
            problems.push(format!(
                "certificate {one} was not signed by certificate {next}: the chain is of different authorities, or out of order"
            ));
        }
        if !parent.is_ca() {
            problems.push(format!("certificate {next} is no authority and signs none"));
        }
        let (from, until) = (from_asn1(parent.validity().not_before), from_asn1(parent.validity().not_after));
        if now < from || now > until {
            problems.push(format!("certificate {next} is valid from {} to {}", utc(from), utc(until)));
        }
    }
    problems
}

/// A root's own path length, which openssl and Envoy heed and rustls, for which a root is a name and a key, does not.
pub(crate) fn too_long(chain: &[CertificateDer<'static>], bundle: &[CertificateDer<'static>]) -> Option<String> {
    let top = peer::parse(chain.last()?).ok()?;
    // The root itself may stand at the chain's end.
    let authorities = chain.iter().skip(1).filter(|certificate| !bundle.contains(certificate)).count();
    let signs = |root: &X509Certificate<'_>| top.issuer().as_raw() == root.subject().as_raw();
    let roots: Vec<_> = bundle.iter().filter_map(|root| peer::parse(root).ok()).filter(signs).collect();
    let allows = |root: &X509Certificate<'_>| match root.basic_constraints() {
        Ok(Some(constraints)) => {
            constraints.value.path_len_constraint.is_none_or(|most| usize::try_from(most).is_ok_and(|most| authorities <= most))
        }
        Ok(None) | Err(_) => true,
    };
    (!roots.is_empty() && !roots.iter().any(allows)).then(|| format!("its root allows fewer than the {authorities} authorities below it"))
}

/// As both TLS roles do, by the library that this mesh's own parts use.
fn verify(chain: &[CertificateDer<'static>], bundle: &[CertificateDer<'static>], now: SystemTime) -> Vec<String> {
    let Some((leaf, between)) = chain.split_first() else { return Vec::new() };
    let mut roots = RootCertStore::empty();
    for root in bundle {
        if roots.add(root.clone()).is_err() {
            return vec!["the trust bundle has a certificate that is no root".to_owned()];
        }
    }
    let at = UnixTime::since_unix_epoch(Duration::from_secs(unix_seconds(now)));
    let algorithms = provider().signature_verification_algorithms.all;
    let server = ParsedCertificate::try_from(leaf)
        .and_then(|leaf| rustls::client::verify_server_cert_signed_by_trust_anchor(&leaf, &roots, between, at, algorithms));
    let client = WebPkiClientVerifier::builder_with_provider(roots.into(), provider()).build().ok();
    let client = client.map(|clients| clients.verify_client_cert(leaf, between, at).map(|_| ()));
    let mut problems = Vec::new();
    let words = |error: rustls::Error| {
        if error == rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) {
            return "no root of the trust bundle signed its chain".to_owned();
        }
        error.to_string()
    };
    problems.extend(too_long(chain, bundle));
    problems.extend(server.err().map(|error| format!("a client would refuse it: {}", words(error))));
    problems.extend(client.and_then(Result::err).map(|error| format!("a server would refuse it: {}", words(error))));
    problems
}
