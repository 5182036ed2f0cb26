//! A TLS connection as filters see it: the attributes that Envoy makes of its version, its name and the two certificates.

use ring::digest;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::value::Value;

/// A certificate, read as far as Envoy's attributes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    subject: String,
    first_uri: Option<String>,
    first_dns: Option<String>,
    sha256: String,
}

/// What was given is no X.509 certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an X.509 certificate in DER: {0}")]
pub struct CertificateError(String);

impl Certificate {
    /// Reads one in DER.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| CertificateError(error.to_string()))?;
        let names = certificate.subject_alternative_name().map_err(|error| CertificateError(error.to_string()))?;
        let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
        let first = |pick: fn(&GeneralName<'_>) -> Option<String>| names.iter().find_map(pick);
        let digest = digest::digest(&digest::SHA256, der);
        Ok(Self {
            subject: rfc2253(certificate.subject()),
            first_uri: first(|name| if let GeneralName::URI(uri) = name { Some((*uri).to_owned()) } else { None }),
            first_dns: first(|name| if let GeneralName::DNSName(dns) = name { Some((*dns).to_owned()) } else { None }),
            sha256: digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }
}

/// TLS between Envoy and its client, or Envoy and its upstream.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use meshwright_wasm_host::{Certificate, Request, Tls};
///
/// # let der = rcgen::generate_simple_self_signed(["client.test".to_owned()])?.cert.der().to_vec();
/// let request = Request::get("/").tls(&Tls::new("TLSv1.3").server_name("example.test").peer(Certificate::from_der(&der)?));
/// # let _ = request;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    version: String,
    server_name: String,
    local: Option<Certificate>,
    peer: Option<Certificate>,
}

impl Tls {
    /// A connection with a version such as `TLSv1.3`, and no certificates.
    #[must_use]
    pub fn new(version: impl Into<String>) -> Self {
        Self { version: version.into(), server_name: String::new(), local: None, peer: None }
    }

    /// The name that the client asked for. Of an upstream it is no attribute.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = name.into();
        self
    }

    /// Envoy's own certificate.
    #[must_use]
    pub fn local(mut self, certificate: Certificate) -> Self {
        self.local = Some(certificate);
        self
    }

    /// The other end's certificate, which Envoy has verified.
    #[must_use]
    pub fn peer(mut self, certificate: Certificate) -> Self {
        self.peer = Some(certificate);
        self
    }

    /// What a client's connection is known by.
    pub(crate) fn of_client(&self) -> Vec<(&'static str, Value)> {
        let mut all = self.of_either();
        all.push(("mtls", Value::Bool(self.peer.is_some())));
        all.push(("requested_server_name", self.server_name.as_str().into()));
        all
    }

    /// What either connection is known by. A subject that is not there is an empty one; other things are not there.
    pub(crate) fn of_either(&self) -> Vec<(&'static str, Value)> {
        let subject = |certificate: &Option<Certificate>| certificate.as_ref().map_or_else(String::new, |it| it.subject.clone());
        let (local, peer) = (self.local.as_ref(), self.peer.as_ref());
        let all = [
            ("tls_version", Some(self.version.clone())),
            ("subject_local_certificate", Some(subject(&self.local))),
            ("subject_peer_certificate", Some(subject(&self.peer))),
            ("uri_san_local_certificate", local.and_then(|it| it.first_uri.clone())),
            ("uri_san_peer_certificate", peer.and_then(|it| it.first_uri.clone())),
            ("dns_san_local_certificate", local.and_then(|it| it.first_dns.clone())),
            ("dns_san_peer_certificate", peer.and_then(|it| it.first_dns.clone())),
            ("sha256_peer_certificate_digest", peer.map(|it| it.sha256.clone())),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, Value::from(value?)))).collect()
    }
}

/// The last part first (RFC 2253, 2.1), as OpenSSL prints it.
fn rfc2253(name: &X509Name<'_>) -> String {
    let parts = name.iter_rdn().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+"));
    parts.collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let kind =
        x509_parser::objects::oid2abbrev(oid, x509_parser::objects::oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned);
    format!("{kind}={}", attribute.as_str().map(escaped).unwrap_or_default())
}

/// RFC 2253, 2.4.
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::new();
    for (place, char) in value.chars().enumerate() {
        let special = ",+\"\\<>;".contains(char) || place == 0 && char == '#' || (place == 0 || place == last) && char == ' ';
        if special {
            out.push('\\');
        }
        if char.is_ascii_control() || !char.is_ascii() {
            // Byte by byte.
            out.extend(char.to_string().bytes().map(|byte| format!("\\{byte:02X}")));
        } else {
            out.push(char);
        }
    }
    out
}
