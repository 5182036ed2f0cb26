//! The HTTP connection manager.

use std::time::Duration;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as pb;
use pb::http_connection_manager::{
    ForwardClientCertDetails, PathWithEscapedSlashesAction, RouteSpecifier, ServerHeaderTransformation, SetCurrentClientCertDetails,
    UpgradeConfig,
};

use crate::filter::network_filter;
use crate::source;
use crate::well_known::{boolean, duration, pack, uint32};

/// One HTTP connection manager, the filter of every HTTP chain.
#[derive(Debug, Clone)]
pub struct HttpConnectionManager {
    pub stat_prefix: String,
    pub position: Position,
    pub path_normalization: PathNormalization,
    pub routes: Routes,
    /// In order; the router must be last.
    pub filters: Vec<pb::HttpFilter>,
    pub access_log: Vec<AccessLog>,
}

/// Where the listener stands, which decides what is believed of `x-forwarded-for` and `x-forwarded-client-cert`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// In front of a workload: peers are proxies of the mesh; their headers are kept and this hop's certificate appended.
    Inbound,
    /// Behind a workload: what it says of client certificates is dropped.
    Outbound,
    /// At the mesh's edge: nothing that a client says of addresses or certificates is believed.
    Gateway,
}

/// `pathNormalization` of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathNormalization {
    None,
    Base,
    MergeSlashes,
    DecodeAndMergeSlashes,
}

/// Where routes come from.
#[derive(Debug, Clone)]
pub enum Routes {
    Discovered(String),
    Inline(Box<RouteConfiguration>),
}

/// Envoy's own defaults, said aloud because a request beyond them is answered 431.
const MAX_REQUEST_HEADERS_KB: u32 = 60;
const MAX_REQUEST_HEADERS: u32 = 100;

impl HttpConnectionManager {
    /// The network filter.
    #[must_use]
    pub fn build(&self) -> listener::Filter {
        network_filter("envoy.filters.network.http_connection_manager", pack(&self.message()))
    }

    fn message(&self) -> pb::HttpConnectionManager {
        let normalization = self.path_normalization;
        let gateway = self.position == Position::Gateway;
        pb::HttpConnectionManager {
            stat_prefix: self.stat_prefix.clone(),
            route_specifier: Some(match &self.routes {
                Routes::Discovered(name) => {
                    RouteSpecifier::Rds(pb::Rds { config_source: Some(source::ads()), route_config_name: name.clone() })
                }
                Routes::Inline(routes) => RouteSpecifier::RouteConfig((**routes).clone()),
            }),
            http_filters: self.filters.clone(),
            access_log: self.access_log.clone(),
            use_remote_address: boolean(gateway),
            forward_client_cert_details: self.forward_client_cert().into(),
            set_current_client_cert_details: (self.position != Position::Outbound).then(|| SetCurrentClientCertDetails {
                subject: boolean(true),
                dns: true,
                uri: true,
                ..Default::default()
            }),
            normalize_path: boolean(normalization != PathNormalization::None),
            merge_slashes: matches!(normalization, PathNormalization::MergeSlashes | PathNormalization::DecodeAndMergeSlashes),
            path_with_escaped_slashes_action: match normalization {
                PathNormalization::DecodeAndMergeSlashes => PathWithEscapedSlashesAction::UnescapeAndForward,
                PathNormalization::None | PathNormalization::Base | PathNormalization::MergeSlashes => {
                    PathWithEscapedSlashesAction::KeepUnchanged
                }
            }
            .into(),
            server_header_transformation: ServerHeaderTransformation::PassThrough.into(),
            // Streams may idle for as long as they like, as in Istio; connections without one are closed after Envoy's hour.
            stream_idle_timeout: duration(Duration::ZERO),
            max_request_headers_kb: uint32(MAX_REQUEST_HEADERS_KB),
            common_http_protocol_options: Some(core::HttpProtocolOptions {
                max_headers_count: uint32(MAX_REQUEST_HEADERS),
                ..Default::default()
            }),
            upgrade_configs: vec![UpgradeConfig { upgrade_type: "websocket".to_owned(), ..Default::default() }],
            ..Default::default()
        }
    }

    fn forward_client_cert(&self) -> ForwardClientCertDetails {
        match self.position {
            Position::Inbound => ForwardClientCertDetails::AppendForward,
            Position::Outbound => ForwardClientCertDetails::Sanitize,
            Position::Gateway => ForwardClientCertDetails::SanitizeSet,
        }
    }
}
