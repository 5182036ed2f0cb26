//! Who is at the other end, from the certificates of a TLS connection. That their chain ends in the trust bundle is the TLS library's to
//! check; the rules of SPIFFE's X.509-SVID are checked here.

use std::time::SystemTime;

use meshwright_identity::{InvalidSpiffeId, SpiffeId, TrustDomain};
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::store::hex;
use crate::time::{from_asn1, utc};

/// The certificates that the peer of a connection presented and TLS verified, leaf first; empty when it presented none. Put into each
/// request's extensions by whatever accepts connections.
#[derive(Debug, Clone, Default)]
pub struct PeerCertificates(pub Vec<CertificateDer<'static>>);

/// Why certificates do not make an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPeer {
    #[error("no certificate was presented")]
    None,
    #[error("the certificate cannot be read")]
    Malformed,
    #[error("the certificate has {0} URI names; a SPIFFE certificate has exactly one")]
    Uris(usize),
    #[error("the certificate's URI name is not a SPIFFE ID: {0}")]
    SpiffeId(#[from] InvalidSpiffeId),
    #[error("the certificate names the trust domain `{0}` itself, not a workload in it")]
    NoPath(TrustDomain),
    #[error("the certificate is of trust domain `{found}`; this mesh is `{expected}`")]
    TrustDomain { found: TrustDomain, expected: TrustDomain },
    #[error("the certificate is an authority's, not a workload's")]
    Authority,
    #[error("the certificate may not be used for TLS: {0}")]
    Usage(&'static str),
    #[error("the certificate expired at {0}")]
    Expired(String),
    #[error("the certificate is valid only from {0}; one of the two clocks is wrong")]
    NotYetValid(String),
}

impl PeerCertificates {
    /// The SPIFFE ID of the leaf, when every rule for leaves holds (X509-SVID sections 2 to 4) and it is valid at `now`: connections live
    /// longer than certificates.
    ///
    /// # Errors
    /// [`InvalidPeer`], naming the first rule that does not hold.
    pub fn identity(&self, trust_domain: &TrustDomain, now: SystemTime) -> Result<SpiffeId, InvalidPeer> {
        let leaf = self.0.first().ok_or(InvalidPeer::None)?;
        let id = leaf_identity(leaf, now)?;
        if id.trust_domain() == trust_domain {
            return Ok(id);
        }
        Err(InvalidPeer::TrustDomain { found: id.trust_domain().clone(), expected: trust_domain.clone() })
    }
}

impl PeerCertificates {
    /// The leaf's serial number in lower case hexadecimal digits; none without a leaf.
    #[must_use]
    pub fn serial(&self) -> Option<String> {
        Some(hex(parse(self.0.first()?).ok()?.raw_serial()))
    }

    /// Until when the leaf is valid, as `2026-01-31T12:00:00Z`; none without a leaf.
    #[must_use]
    pub fn expires(&self) -> Option<String> {
        let certificate = parse(self.0.first()?).ok()?;
        Some(utc(from_asn1(certificate.validity().not_after)))
    }
}

pub(crate) fn leaf_identity(der: &CertificateDer<'_>, now: SystemTime) -> Result<SpiffeId, InvalidPeer> {
    let certificate = parse(der)?;
    let id = SpiffeId::parse(&single_uri(&certificate)?)?;
    if id.path().is_empty() {
        return Err(InvalidPeer::NoPath(id.trust_domain().clone()));
    }
    check_leaf_usage(&certificate)?;
    let (from, until) = (from_asn1(certificate.validity().not_before), from_asn1(certificate.validity().not_after));
    if now < from {
        return Err(InvalidPeer::NotYetValid(utc(from)));
    }
    if now > until {
        return Err(InvalidPeer::Expired(utc(until)));
    }
    Ok(id)
}

fn check_leaf_usage(certificate: &X509Certificate<'_>) -> Result<(), InvalidPeer> {
    if certificate.is_ca() {
        return Err(InvalidPeer::Authority);
    }
    let usage = certificate.key_usage().map_err(|_| InvalidPeer::Malformed)?.ok_or(InvalidPeer::Usage("it has no key usage"))?;
    if usage.value.key_cert_sign() || usage.value.crl_sign() {
        return Err(InvalidPeer::Authority);
    }
    if !usage.value.digital_signature() {
        return Err(InvalidPeer::Usage("it has no digitalSignature"));
    }
    match certificate.extended_key_usage().map_err(|_| InvalidPeer::Malformed)? {
        Some(extended) if extended.value.server_auth && extended.value.client_auth => Ok(()),
        _ => Err(InvalidPeer::Usage("it is not for both serverAuth and clientAuth")),
    }
}

pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, InvalidPeer> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(InvalidPeer::Malformed),
    }
}

/// The one URI among the alternative names (X509-SVID section 2: exactly one).
pub(crate) fn single_uri(certificate: &X509Certificate<'_>) -> Result<String, InvalidPeer> {
    certificate.subject_alternative_name().map_err(|_| InvalidPeer::Malformed)?;
    let mut uris = uris(certificate);
    match (uris.pop(), uris.len()) {
        (Some(uri), 0) => Ok(uri),
        (None, others) => Err(InvalidPeer::Uris(others)),
        (Some(_), others) => Err(InvalidPeer::Uris(others + 1)),
    }
}

/// Every URI among the alternative names.
pub(crate) fn uris(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    names.iter().filter_map(uri).map(str::to_owned).collect()
}

fn uri<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    if let GeneralName::URI(uri) = name { Some(uri) } else { None }
}
