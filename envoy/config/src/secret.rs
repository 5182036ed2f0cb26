//! SDS secrets.

use envoy_types::pb::envoy::config::core::v3::{DataSource, TypedExtensionConfig, data_source::Specifier};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use meshwright_identity::TrustDomain;

use crate::well_known::pack;

const SPIFFE_VALIDATOR: &str = "envoy.tls.cert_validator.spiffe";

/// The roots that a peer is verified against whose one identity is known, as PEM.
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

pub(crate) fn inline(text: &str) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineString(text.to_owned())), ..Default::default() }
}
