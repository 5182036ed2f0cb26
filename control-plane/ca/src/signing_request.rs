//! Reads a certificate signing request as what it is worth: a public key and the proof that its private half is held. What else it
//! asks for is never copied; a request that asks for more than its identity is refused, because whoever sent it expects more.

use meshwright_identity::SpiffeId;
use rcgen::SubjectPublicKeyInfo;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA,
    OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ED25519, Oid,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

/// An RSA-4096 request has under 2 KiB.
const MAX_LEN: usize = 8 * 1024;
const MIN_RSA_BITS: usize = 2048;
/// Verifying costs the square of the length; nobody needs more.
const MAX_RSA_BITS: usize = 4096;

/// Why a signing request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedRequest {
    #[error("the signing request has {0} bytes; at most 8192 are read")]
    TooLarge(usize),
    #[error("the signing request is not PKCS #10 in DER")]
    Malformed,
    #[error("the signing request's key is not accepted: {0}; use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits")]
    Key(&'static str),
    #[error("the signing request's signature algorithm `{0}` is not accepted; use SHA-256 or stronger")]
    SignatureAlgorithm(String),
    #[error("the signing request is not signed by the key it names")]
    Signature,
    #[error("the signing request asks for the name `{found}`; its bearer is `{allowed}` and gets no other")]
    ForeignName { found: String, allowed: String },
    #[error("the signing request asks for {0} names; a SPIFFE certificate has exactly one")]
    Names(usize),
    #[error("the signing request asks to be a certificate authority")]
    Authority,
    #[error("the signing request asks for `{0}`, which workloads do not get")]
    Usage(&'static str),
    #[error("the signing request asks for the extension `{0}`, which is not supported")]
    Extension(String),
}

/// A request whose signature holds and whose key is strong; what it asks for is checked against an identity by [`SigningRequest::key_for`].
#[derive(Debug)]
pub(crate) struct SigningRequest {
    key: SubjectPublicKeyInfo,
    /// Each name asked for, as text.
    names: Vec<String>,
}

impl SigningRequest {
    pub(crate) fn parse(der: &[u8]) -> Result<Self, RefusedRequest> {
        if der.len() > MAX_LEN {
            return Err(RefusedRequest::TooLarge(der.len()));
        }
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| RefusedRequest::Malformed)?;
        if !rest.is_empty() {
            return Err(RefusedRequest::Malformed);
        }
        check_key(&request)?;
        check_signature_algorithm(&request.signature_algorithm.algorithm)?;
        request.verify_signature().map_err(|_| RefusedRequest::Signature)?;
        let mut names = Vec::new();
        for extension in requested_extensions(&request)? {
            check_extension(extension, &mut names)?;
        }
        let key = SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
            .map_err(|_| RefusedRequest::Key("it cannot be read"))?;
        Ok(Self { key, names })
    }

    /// The key, when the request asks for no name or for exactly `identity`.
    pub(crate) fn key_for(&self, identity: &SpiffeId) -> Result<&SubjectPublicKeyInfo, RefusedRequest> {
        let allowed = identity.to_string();
        if let Some(found) = self.names.iter().find(|name| **name != allowed) {
            return Err(RefusedRequest::ForeignName { found: found.clone(), allowed });
        }
        if self.names.len() > 1 {
            return Err(RefusedRequest::Names(self.names.len()));
        }
        Ok(&self.key)
    }
}

fn check_key(request: &X509CertificationRequest<'_>) -> Result<(), RefusedRequest> {
    let spki = &request.certification_request_info.subject_pki;
    let algorithm = &spki.algorithm.algorithm;
    if *algorithm == OID_SIG_ED25519 {
        return Ok(());
    }
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = spki.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        return match curve {
            Some(curve) if curve == OID_EC_P256 || curve == OID_NIST_EC_P384 => Ok(()),
            _ => Err(RefusedRequest::Key("its curve is neither P-256 nor P-384")),
        };
    }
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        return match spki.parsed() {
            Ok(PublicKey::RSA(key)) if key.key_size() < MIN_RSA_BITS => Err(RefusedRequest::Key("RSA of fewer than 2048 bits")),
            Ok(PublicKey::RSA(key)) if key.key_size() > MAX_RSA_BITS => Err(RefusedRequest::Key("RSA of more than 4096 bits")),
            Ok(PublicKey::RSA(_)) => Ok(()),
            _ => Err(RefusedRequest::Key("it cannot be read")),
        };
    }
    Err(RefusedRequest::Key("unknown algorithm"))
}

fn check_signature_algorithm(algorithm: &Oid<'_>) -> Result<(), RefusedRequest> {
    let accepted = [
        OID_SIG_ECDSA_WITH_SHA256,
        OID_SIG_ECDSA_WITH_SHA384,
        OID_SIG_ED25519,
        OID_PKCS1_SHA256WITHRSA,
        OID_PKCS1_SHA384WITHRSA,
        OID_PKCS1_SHA512WITHRSA,
    ];
    if accepted.contains(algorithm) { Ok(()) } else { Err(RefusedRequest::SignatureAlgorithm(algorithm.to_id_string())) }
}

/// All of them: a second attribute of the same kind must not hide what it asks for.
fn requested_extensions<'a>(request: &'a X509CertificationRequest<'a>) -> Result<Vec<&'a X509Extension<'a>>, RefusedRequest> {
    let mut extensions = Vec::new();
    for attribute in request.certification_request_info.iter_attributes() {
        match attribute.parsed_attribute() {
            ParsedCriAttribute::ExtensionRequest(requested) => extensions.extend(&requested.extensions),
            // A challenge password is for authorities that know one (RFC 2985, 5.4.1); this is not one.
            ParsedCriAttribute::ChallengePassword(_) => {}
            ParsedCriAttribute::UnsupportedAttribute => return Err(RefusedRequest::Extension(attribute.oid.to_id_string())),
        }
    }
    Ok(extensions)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "every kind of extension that is not named is refused, also future ones")]
fn check_extension(extension: &X509Extension<'_>, names: &mut Vec<String>) -> Result<(), RefusedRequest> {
    match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(asked) => names.extend(asked.general_names.iter().map(name_text)),
        ParsedExtension::BasicConstraints(asked) if asked.ca => return Err(RefusedRequest::Authority),
        ParsedExtension::BasicConstraints(_) => {}
        ParsedExtension::KeyUsage(asked) if asked.key_cert_sign() => return Err(RefusedRequest::Usage("keyCertSign")),
        ParsedExtension::KeyUsage(asked) if asked.crl_sign() => return Err(RefusedRequest::Usage("cRLSign")),
        // Key encipherment and the like: openssl asks for them by habit. The leaf has digitalSignature alone.
        ParsedExtension::KeyUsage(_) => {}
        ParsedExtension::ExtendedKeyUsage(asked) => {
            let more = asked.any || asked.code_signing || asked.email_protection || asked.time_stamping || asked.ocsp_signing;
            if more || !asked.other.is_empty() {
                return Err(RefusedRequest::Usage("an extended key usage other than serverAuth and clientAuth"));
            }
        }
        // A hash of the key, which says nothing new.
        ParsedExtension::SubjectKeyIdentifier(_) => {}
        _ => return Err(RefusedRequest::Extension(extension.oid.to_id_string())),
    }
    Ok(())
}

/// Only a URI can equal a SPIFFE ID, so every other kind carries its kind in front.
fn name_text(name: &GeneralName<'_>) -> String {
    if let GeneralName::URI(uri) = name { (*uri).to_owned() } else { name.to_string() }
}
