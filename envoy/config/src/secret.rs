//! SDS secrets.

use envoy_types::pb::envoy::config::core::v3::{DataSource, TypedExtensionConfig, data_source::Specifier};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use meshwright_identity::TrustDomain;

use crate::well_known::pack;

const SPIFFE_VALIDATOR: &str = "envoy.tls.cert_validator.spiffe";

/// Roots that peers are verified against whatever trust domain they name, as PEM: the control plane, whose one identity is matched, and a
/// gateway's clients from outside.
#[must_use]
pub fn trust_bundle(name: &str, roots_pem: &str) -> tls::Secret {
    let context = tls::CertificateValidationContext { trusted_ca: Some(inline(roots_pem)), ..Default::default() };
    tls::Secret { name: name.to_owned(), r#type: Some(tls::secret::Type::ValidationContext(context)) }
}

/// The roots of each trust domain, as PEM. They vouch for its own identities and for no others: Envoy's SPIFFE validator picks the bundle by
/// the trust domain that the peer's certificate names, and refuses what has none. Names are still matched where the secret is used.
#[must_use]
pub fn trust_bundles<'a>(name: &str, bundles: impl IntoIterator<Item = (&'a TrustDomain, &'a str)>) -> tls::Secret {
    let domain = |(domain, roots): (&TrustDomain, &str)| tls::spiffe_cert_validator_config::TrustDomain {
        name: domain.to_string(),
        trust_bundle: Some(inline(roots)),
        ..Default::default()
    };
    let validator = tls::SpiffeCertValidatorConfig { trust_domains: bundles.into_iter().map(domain).collect(), ..Default::default() };
    let validator = TypedExtensionConfig { name: SPIFFE_VALIDATOR.to_owned(), typed_config: Some(pack(&validator)) };
    let context = tls::CertificateValidationContext { custom_validator_config: Some(validator), ..Default::default() };
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
