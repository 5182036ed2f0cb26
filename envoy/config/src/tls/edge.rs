//! TLS at the mesh's edge: certificates and roots are SDS secrets of the control plane, never those of the mesh.

use envoy_types::pb::envoy::config::core::v3::TransportSocket;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as pb;
use pb::common_tls_context::{CombinedCertificateValidationContext, ValidationContextType};
use pb::subject_alt_name_matcher::SanType;
use pb::tls_parameters::TlsProtocol;

use super::{base, exact, matcher, socket};
use crate::source;
use crate::well_known::boolean;

/// Terminates TLS for clients from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge<'a> {
    /// The secret with certificate and key.
    pub certificate: &'a str,
    /// None: no client is asked for a certificate.
    pub clients: Option<Clients<'a>>,
    pub minimum: Version,
    pub maximum: Version,
    /// For TLS 1.2. Empty: all that there are with authenticated encryption and forward secrecy.
    pub cipher_suites: &'a [String],
    pub alpn: &'a [&'a str],
}

/// What is asked of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients<'a> {
    /// Whether one without a certificate is refused. One whose certificate is not right always is.
    pub required: bool,
    /// The secret with the roots.
    pub roots: &'a str,
    /// Names, of whatever type, of which the certificate must have one; empty: any.
    pub names: &'a [String],
    /// SHA-256 of public keys in base64, and of certificates in hexadecimal, of which one must fit; both empty: any.
    pub spki_hashes: &'a [String],
    pub certificate_hashes: &'a [String],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Tls12,
    Tls13,
}

impl Edge<'_> {
    #[must_use]
    pub fn build(&self) -> TransportSocket {
        let mut context = base(self.alpn);
        if let Some(parameters) = &mut context.tls_params {
            parameters.tls_minimum_protocol_version = self.minimum.protocol().into();
            parameters.tls_maximum_protocol_version = self.maximum.protocol().into();
            if !self.cipher_suites.is_empty() {
                parameters.cipher_suites = self.cipher_suites.to_vec();
            }
        }
        context.tls_certificate_sds_secret_configs = vec![source::ads_secret(self.certificate)];
        context.validation_context_type = self.clients.as_ref().map(Clients::build);
        socket(&pb::DownstreamTlsContext {
            common_tls_context: Some(context),
            require_client_certificate: boolean(self.clients.as_ref().is_some_and(|clients| clients.required)),
            ..Default::default()
        })
    }
}

impl Clients<'_> {
    fn build(&self) -> ValidationContextType {
        // Of a name it is not said of what type it is; Istio takes it for any.
        let types = [SanType::Dns, SanType::Uri, SanType::IpAddress, SanType::Email];
        let names = self.names.iter().flat_map(|name| types.map(|kind| matcher(kind, exact(name))));
        ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
            default_validation_context: Some(pb::CertificateValidationContext {
                match_typed_subject_alt_names: names.collect(),
                verify_certificate_spki: self.spki_hashes.to_vec(),
                verify_certificate_hash: self.certificate_hashes.to_vec(),
                ..Default::default()
            }),
            validation_context_sds_secret_config: Some(source::ads_secret(self.roots)),
            ..Default::default()
        })
    }
}

impl Version {
    fn protocol(self) -> TlsProtocol {
        match self {
            Self::Tls12 => TlsProtocol::TlSv12,
            Self::Tls13 => TlsProtocol::TlSv13,
        }
    }
}
