//! SDS secrets.

use envoy_types::pb::envoy::config::core::v3::{DataSource, data_source::Specifier};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;

/// Roots that peers are verified against, as PEM.
#[must_use]
pub fn trust_bundle(name: &str, roots_pem: &str) -> tls::Secret {
    let context = tls::CertificateValidationContext { trusted_ca: Some(inline(roots_pem)), ..Default::default() };
    tls::Secret { name: name.to_owned(), r#type: Some(tls::secret::Type::ValidationContext(context)) }
}

/// A certificate, leaf first, and its private key, both PEM.
#[must_use]
pub fn certificate(name: &str, chain_pem: &str, key_pem: &str) -> tls::Secret {
    let certificate =
        tls::TlsCertificate { certificate_chain: Some(inline(chain_pem)), private_key: Some(inline(key_pem)), ..Default::default() };
    tls::Secret { name: name.to_owned(), r#type: Some(tls::secret::Type::TlsCertificate(certificate)) }
}

/// As [`certificate`], in files of the proxy's host: Envoy reads them, and again when one is moved to its place. Without
/// `watched_directory` it watches the folder of each.
#[must_use]
pub fn certificate_files(name: &str, chain: &str, key: &str) -> tls::Secret {
    let certificate = tls::TlsCertificate { certificate_chain: Some(file(chain)), private_key: Some(file(key)), ..Default::default() };
    tls::Secret { name: name.to_owned(), r#type: Some(tls::secret::Type::TlsCertificate(certificate)) }
}

/// Roots in a file of the proxy's host, likewise.
#[must_use]
pub fn roots_file(name: &str, path: &str) -> tls::Secret {
    let context = tls::CertificateValidationContext { trusted_ca: Some(file(path)), ..Default::default() };
    tls::Secret { name: name.to_owned(), r#type: Some(tls::secret::Type::ValidationContext(context)) }
}

pub(crate) fn file(path: &str) -> DataSource {
    DataSource { specifier: Some(Specifier::Filename(path.to_owned())), ..Default::default() }
}

pub(crate) fn inline(text: &str) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineString(text.to_owned())), ..Default::default() }
}
