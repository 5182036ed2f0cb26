//! What root, intermediate and leaf certificates look like. Every field is set here: rcgen's defaults (1975 to 4096, a common name of its
//! own, no authority key identifier, a serial number made of the key) are none of them wanted.

use std::time::{Duration, SystemTime};

use meshwright_identity::{SpiffeId, TrustDomain};
use rcgen::string::PrintableString;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use x509_parser::asn1_rs::Tag;
use x509_parser::oid_registry::OID_X509_COMMON_NAME;
use x509_parser::x509::X509Name;

use super::IssueError;
use super::material::{InvalidMaterial, Material};
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
    // One more than there is below it, for the certificate by which the root of before vouches for this one.
    authority("Meshwright root", 2, trust_domain, validity)
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

/// `subject`'s name and key, signed by `other`: a chain that ends in the one root then also ends in the other. None for a plugged-in root
/// whose name cannot be written again just as it is.
pub(super) fn cross(subject: &Material, other: &Material) -> Result<Option<CertificateDer<'static>>, IssueError> {
    let malformed = |_| IssueError::Material(InvalidMaterial::Certificate);
    let parsed = crate::peer::parse(&subject.certificate).map_err(malformed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name(parsed.subject());
    if let Some(trust_domain) = &subject.trust_domain {
        params.subject_alt_names = vec![SanType::URI(format!("spiffe://{trust_domain}").try_into()?)];
    }
    params.serial_number = Some(SerialNumber::from_slice(&serial()?));
    params.use_authority_key_identifier_extension = true;
    params.not_before = subject.validity.from.max(other.validity.from).into();
    params.not_after = subject.validity.until.min(other.validity.until).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = SubjectPublicKeyInfo::from_der(parsed.public_key().raw)?;
    let cross = params.signed_by(&key, &other.issuer()?)?.der().clone();
    let same = crate::peer::parse(&cross).map_err(malformed)?.subject().as_raw() == parsed.subject().as_raw();
    Ok(same.then_some(cross))
}

fn name(read: &X509Name<'_>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for attribute in read.iter_attributes() {
        let kind = if *attribute.attr_type() == OID_X509_COMMON_NAME {
            DnType::CommonName
        } else {
            DnType::CustomDnType(attribute.attr_type().iter().map(Iterator::collect).unwrap_or_default())
        };
        let Ok(text) = attribute.as_str() else { continue };
        match PrintableString::try_from(text) {
            Ok(printable) if attribute.attr_value().tag() == Tag::PrintableString => name.push(kind, DnValue::PrintableString(printable)),
            _ => name.push(kind, DnValue::Utf8String(text.to_owned())),
        }
    }
    name
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
