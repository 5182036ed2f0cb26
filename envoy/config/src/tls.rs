//! TLS contexts. The workload's certificate is always an SDS secret of the sidecar's socket, roots one of the control plane.

use envoy_types::pb::envoy::config::core::v3::{self as core, TransportSocket};
use envoy_types::pb::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as pb;
use envoy_types::pb::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use meshwright_identity::{SpiffeId, TrustDomain};

use crate::names;
use crate::source;
use crate::well_known::{boolean, pack};

mod edge;

pub use edge::{Clients, Edge, Version};

/// Where Debian and its kin keep the roots that the system trusts. Envoy's own `system_root_certs` is not built.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Which URI SAN a peer's certificate must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum San {
    Exact(SpiffeId),
    /// Any identity of the trust domain.
    In(TrustDomain),
}

/// Terminates mutual TLS: the peer must present a certificate that the trust bundle vouches for, with one of `peers`' identities.
#[must_use]
pub fn downstream_mutual(peers: &[San], alpn: &[&str]) -> TransportSocket {
    socket(&pb::DownstreamTlsContext {
        common_tls_context: Some(mesh_context(peers, alpn)),
        require_client_certificate: boolean(true),
        ..Default::default()
    })
}

/// Originates mutual TLS to a server that has one of these identities (secure naming). No identity: no server is accepted.
#[must_use]
pub fn upstream_mutual(servers: &[SpiffeId], sni: &str, alpn: &[&str]) -> TransportSocket {
    let peers: Vec<San> = servers.iter().cloned().map(San::Exact).collect();
    socket(&pb::UpstreamTlsContext { common_tls_context: Some(mesh_context(&peers, alpn)), sni: sni.to_owned(), ..Default::default() })
}

/// Originates TLS to a server outside the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSimple<'a> {
    pub sni: &'a str,
    pub roots: Roots<'a>,
    /// DNS names, one of which the server's certificate must have. Empty: any.
    pub dns_names: &'a [String],
    pub alpn: &'a [&'a str],
}

/// What a server outside the mesh is verified against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roots<'a> {
    System,
    /// PEM file on the proxy's host.
    File(&'a str),
    /// `insecureSkipVerify`: whoever answers is believed.
    Unverified,
}

impl UpstreamSimple<'_> {
    #[must_use]
    pub fn build(&self) -> TransportSocket {
        let names = self.dns_names.iter().map(|name| matcher(pb::subject_alt_name_matcher::SanType::Dns, exact(name))).collect();
        let context = pb::CertificateValidationContext { match_typed_subject_alt_names: names, ..Default::default() };
        let context = match self.roots {
            Roots::System => Some(pb::CertificateValidationContext { trusted_ca: Some(file(SYSTEM_ROOTS)), ..context }),
            Roots::File(path) => Some(pb::CertificateValidationContext { trusted_ca: Some(file(path)), ..context }),
            Roots::Unverified => None,
        };
        socket(&pb::UpstreamTlsContext {
            common_tls_context: Some(pb::CommonTlsContext {
                validation_context_type: context.map(pb::common_tls_context::ValidationContextType::ValidationContext),
                ..base(self.alpn)
            }),
            sni: self.sni.to_owned(),
            ..Default::default()
        })
    }
}

/// No TLS.
#[must_use]
pub fn plaintext() -> TransportSocket {
    TransportSocket {
        name: "envoy.transport_sockets.raw_buffer".to_owned(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(pack(&RawBuffer {}))),
    }
}

fn mesh_context(peers: &[San], alpn: &[&str]) -> pb::CommonTlsContext {
    let sans: Vec<_> = if peers.is_empty() {
        // An empty list would mean "any certificate of the trust bundle"; no SPIFFE ID is the empty string.
        vec![matcher(pb::subject_alt_name_matcher::SanType::Uri, exact(""))]
    } else {
        peers.iter().map(|peer| matcher(pb::subject_alt_name_matcher::SanType::Uri, san_pattern(peer))).collect()
    };
    let combined = pb::common_tls_context::CombinedCertificateValidationContext {
        default_validation_context: Some(pb::CertificateValidationContext { match_typed_subject_alt_names: sans, ..Default::default() }),
        validation_context_sds_secret_config: Some(source::ads_secret(names::TRUST_BUNDLE_SECRET)),
        ..Default::default()
    };
    pb::CommonTlsContext {
        tls_certificate_sds_secret_configs: vec![source::workload_secret()],
        validation_context_type: Some(pb::common_tls_context::ValidationContextType::CombinedValidationContext(combined)),
        ..base(alpn)
    }
}

/// TLS 1.2 with Envoy's default suites, all of them AEAD with forward secrecy, or 1.3.
fn base(alpn: &[&str]) -> pb::CommonTlsContext {
    pb::CommonTlsContext {
        tls_params: Some(pb::TlsParameters {
            tls_minimum_protocol_version: pb::tls_parameters::TlsProtocol::TlSv12.into(),
            tls_maximum_protocol_version: pb::tls_parameters::TlsProtocol::TlSv13.into(),
            cipher_suites: [
                "ECDHE-ECDSA-AES256-GCM-SHA384",
                "ECDHE-RSA-AES256-GCM-SHA384",
                "ECDHE-ECDSA-AES128-GCM-SHA256",
                "ECDHE-RSA-AES128-GCM-SHA256",
                "ECDHE-ECDSA-CHACHA20-POLY1305",
                "ECDHE-RSA-CHACHA20-POLY1305",
            ]
            .map(str::to_owned)
            .to_vec(),
            ..Default::default()
        }),
        alpn_protocols: alpn.iter().map(|&protocol| protocol.to_owned()).collect(),
        ..Default::default()
    }
}

fn san_pattern(san: &San) -> StringMatcher {
    match san {
        San::Exact(id) => exact(&id.to_string()),
        // With the slash, or `spiffe://mesh.local.evil/…` would match too.
        San::In(domain) => StringMatcher { match_pattern: Some(MatchPattern::Prefix(format!("spiffe://{domain}/"))), ..Default::default() },
    }
}

fn file(path: &str) -> core::DataSource {
    core::DataSource { specifier: Some(core::data_source::Specifier::Filename(path.to_owned())), ..Default::default() }
}

fn exact(value: &str) -> StringMatcher {
    StringMatcher { match_pattern: Some(MatchPattern::Exact(value.to_owned())), ..Default::default() }
}

fn matcher(kind: pb::subject_alt_name_matcher::SanType, pattern: StringMatcher) -> pb::SubjectAltNameMatcher {
    pb::SubjectAltNameMatcher { san_type: kind.into(), matcher: Some(pattern), ..Default::default() }
}

fn socket<M: prost::Message + prost::Name>(context: &M) -> TransportSocket {
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(pack(context))),
    }
}
