//! SDS secrets.

use envoy_types::pb::envoy::config::core::v3::{DataSource, data_source::Specifier};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;

/// The roots that peers are verified against, as PEM.
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

pub(crate) fn inline(text: &str) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineString(text.to_owned())), ..Default::default() }
}
