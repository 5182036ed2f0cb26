//! A root on its own: whether it may stand in a trust domain's bundle, and its key as a JWK.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use meshwright_identity::{SpiffeId, TrustDomain};
use rustls_pki_types::CertificateDer;
use serde_json::{Map, Value, json};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::public_key::PublicKey;

/// Why a certificate is no root of a trust domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoot {
    #[error("it is not an X.509 certificate")]
    Malformed,
    #[error("it is not an authority's (basicConstraints without CA)")]
    NotAuthority,
    #[error("it may not sign certificates (keyUsage without keyCertSign)")]
    Usage,
    #[error("it names `{found}`; a root of this bundle names `spiffe://{expected}` or nothing")]
    Name { found: String, expected: TrustDomain },
    #[error("TLS libraries do not take it as a root: {0}")]
    Anchor(String),
    #[error("its key is of a kind that has no JWK here; known are P-256, P-384, P-521, Ed25519 and RSA")]
    Key,
}

/// X509-SVID section 3.1 and 4: what signs is an authority, and its SPIFFE ID, if it has one, is that of the trust domain.
pub(crate) fn check(der: &CertificateDer<'_>, domain: &TrustDomain) -> Result<(), InvalidRoot> {
    let certificate = parse(der)?;
    if !certificate.is_ca() {
        return Err(InvalidRoot::NotAuthority);
    }
    let usage = certificate.key_usage().map_err(|_| InvalidRoot::Malformed)?;
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(InvalidRoot::Usage);
    }
    let names = certificate.subject_alternative_name().map_err(|_| InvalidRoot::Malformed)?;
    for name in names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default() {
        if let GeneralName::URI(uri) = name {
            check_name(uri, domain)?;
        }
    }
    // One that Envoy or rustls refuses would hold up every other change of the bundles.
    webpki::anchor_from_trusted_cert(der).map_err(|error| InvalidRoot::Anchor(error.to_string()))?;
    jwk(der).map(|_| ())
}

fn check_name(uri: &str, domain: &TrustDomain) -> Result<(), InvalidRoot> {
    let is_the_domains = SpiffeId::parse(uri).is_ok_and(|id| id.trust_domain() == domain && id.path().is_empty());
    if is_the_domains || !uri.to_ascii_lowercase().starts_with("spiffe:") {
        return Ok(());
    }
    Err(InvalidRoot::Name { found: uri.escape_debug().to_string(), expected: domain.clone() })
}

/// RFC 7517, with what SPIFFE Trust Domain and Bundle section 4.2 and X509-SVID section 6.2 ask for.
pub(crate) fn jwk(der: &CertificateDer<'_>) -> Result<Value, InvalidRoot> {
    let mut jwk = Map::from_iter([("use".to_owned(), json!("x509-svid")), ("x5c".to_owned(), json!([STANDARD.encode(der)]))]);
    let members = key_members(&parse(der)?)?;
    jwk.extend(members.into_iter().map(|(name, value)| (name.to_owned(), json!(value))));
    Ok(Value::Object(jwk))
}

/// RFC 7518 section 6, RFC 8037.
fn key_members(certificate: &X509Certificate<'_>) -> Result<Vec<(&'static str, String)>, InvalidRoot> {
    let spki = certificate.public_key();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let word = str::to_owned;
    match spki.algorithm.algorithm.to_id_string().as_str() {
        "1.3.101.112" => Ok(vec![("kty", word("OKP")), ("crv", word("Ed25519")), ("x", text(&spki.subject_public_key.data))]),
        "1.2.840.10045.2.1" => {
            let point: &[u8] = &spki.subject_public_key.data;
            let (crv, len) = match point.len() {
                65 => ("P-256", 32),
                97 => ("P-384", 48),
                133 => ("P-521", 66),
                _ => return Err(InvalidRoot::Key),
            };
            let (x, y) = point.strip_prefix(&[4]).and_then(|rest| rest.split_at_checked(len)).ok_or(InvalidRoot::Key)?;
            Ok(vec![("kty", word("EC")), ("crv", word(crv)), ("x", text(x)), ("y", text(y))])
        }
        "1.2.840.113549.1.1.1" => {
            let Ok(PublicKey::RSA(key)) = spki.parsed() else { return Err(InvalidRoot::Key) };
            Ok(vec![("kty", word("RSA")), ("n", text(trimmed(key.modulus))), ("e", text(trimmed(key.exponent)))])
        }
        _ => Err(InvalidRoot::Key),
    }
}

/// Without the zeros that only say that a number is not negative.
fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, InvalidRoot> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(InvalidRoot::Malformed),
    }
}
