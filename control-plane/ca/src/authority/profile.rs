//! What root, intermediate and leaf certificates look like. Every field is set here: rcgen's defaults (1975 to 4096, a common name of its
//! own, no authority key identifier, a serial number made of the key) are none of them wanted.

use std::time::{Duration, SystemTime};

use meshwright_identity::{SpiffeId, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, SerialNumber,
};

use super::IssueError;
use crate::store;
use crate::time::{earlier, whole_seconds};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub(super) const ROOT_LIFE: Duration = DAY.saturating_mul(3650);
pub(super) const INTERMEDIATE_LIFE: Duration = DAY.saturating_mul(30);
/// More than the longest leaf: an intermediate is replaced before it would shorten one.
pub(super) const RENEW_INTERMEDIATE_BEFORE: Duration = DAY.saturating_mul(10);
/// A signed certificate ends this much before its issuer, so that no verifier sees the chain break the other way round.
pub(super) const MARGIN: Duration = Duration::from_secs(60);
/// Verifiers whose clock is somewhat behind must accept a leaf at once.
pub(super) const LEAF_BACKDATE: Duration = Duration::from_secs(60);
/// The clock of this machine itself may be set back a little after the first start.
pub(super) const AUTHORITY_BACKDATE: Duration = Duration::from_secs(60 * 60);

/// From when until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: SystemTime,
    pub(super) until: SystemTime,
}

pub(super) fn authority_validity(now: SystemTime, life: Duration) -> Validity {
    Validity { from: whole_seconds(earlier(now, AUTHORITY_BACKDATE)), until: whole_seconds(now + life) }
}

pub(super) fn root(trust_domain: &TrustDomain, validity: Validity) -> Result<CertificateParams, IssueError> {
    authority("Meshwright root", 1, trust_domain, validity)
}

pub(super) fn intermediate(trust_domain: &TrustDomain, validity: Validity) -> Result<CertificateParams, IssueError> {
    authority("Meshwright intermediate", 0, trust_domain, validity)
}

fn authority(name: &str, path_length: u8, trust_domain: &TrustDomain, validity: Validity) -> Result<CertificateParams, IssueError> {
    let serial = serial()?;
    let mut params = common(&format!("spiffe://{trust_domain}"), &serial, validity)?;
    // Two authorities never share a name, or verifiers would try one's key on the other's certificates. The trust domain may be longer
    // than a common name can be (RFC 5280 appendix A: 64), so it is in the alternative name only.
    params.distinguished_name.push(DnType::CommonName, format!("{name} {}", store::hex(&serial)));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// X509-SVID section 4: critical key usage digitalSignature alone, both TLS roles, not an authority. With an empty subject the
/// alternative name is critical (RFC 5280 section 4.1.2.6).
pub(super) fn leaf(identity: &SpiffeId, validity: Validity) -> Result<CertificateParams, IssueError> {
    let mut params = common(&identity.to_string(), &serial()?, validity)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn common(uri: &str, serial: &[u8; 16], validity: Validity) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params.use_authority_key_identifier_extension = true;
    params.not_before = validity.from.into();
    params.not_after = validity.until.into();
    Ok(params)
}

/// 128 bits, the first zero so that it is positive in 16 bytes and the second one so that it never has fewer (RFC 5280 section 4.1.2.2).
fn serial() -> Result<[u8; 16], IssueError> {
    let mut serial = store::random::<16>()?;
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(serial)
}
