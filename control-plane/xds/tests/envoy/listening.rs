//! The listeners of a website, and what they wait for: routes, a certificate, an extension. And where Envoy is to ask for all of it.

use std::net::SocketAddr;

use envoy_types::pb::envoy::config::common::mutation_rules::v3::{HeaderMutation as Mutation, header_mutation::Action};
use envoy_types::pb::envoy::config::core::v3::{
    AggregatedConfigSource, ApiConfigSource, ApiVersion, ConfigSource, DataSource, ExtensionConfigSource, GrpcService, HeaderValue,
    HeaderValueOption, TransportSocket, TypedExtensionConfig, api_config_source::ApiType, config_source::ConfigSourceSpecifier,
    data_source::Specifier, grpc_service, transport_socket,
};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3::{HeaderMutation, Mutations};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_connection_manager::RouteSpecifier, http_filter,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, Secret, TlsCertificate, secret,
};
use envoy_types::pb::google::protobuf::Duration;
use meshwright_xds::{Resource, ResourceType};

use crate::content::{any, encoded, socket};

const CERTIFICATE: &str = include_str!("../../../../envoy/config/tests/support/certificate.pem");
const KEY: &str = include_str!("../../../../envoy/config/tests/support/key.pem");
const MUTATION: &str = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";

/// Where Envoy asks for what it is told by name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sources {
    Aggregated,
    /// Each type by its own service.
    Separate,
}

/// Something that a listener waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Awaited {
    /// `initial_fetch_timeout`, in seconds.
    pub(crate) timeout: i64,
    /// Whether it exists; where it does not, it is not said either that the listener needs it.
    pub(crate) exists: bool,
}

/// What all listeners have; by default nothing but routes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Listening {
    /// Any change is one of the listener.
    pub(crate) generation: u32,
    /// Seconds, of the routes' source.
    pub(crate) routes_timeout: Option<i64>,
    pub(crate) certificate: Option<Awaited>,
    /// An HTTP filter that adds the header `x-from: extension`; by default it would be `x-from: default`.
    pub(crate) extension: Option<Awaited>,
}

impl Sources {
    pub(crate) fn source(self, timeout: Option<i64>) -> ConfigSource {
        let specifier = match self {
            Self::Aggregated => ConfigSourceSpecifier::Ads(AggregatedConfigSource {}),
            Self::Separate => {
                let cluster_name = "control-plane".to_owned();
                let envoy = grpc_service::TargetSpecifier::EnvoyGrpc(grpc_service::EnvoyGrpc { cluster_name, ..Default::default() });
                ConfigSourceSpecifier::ApiConfigSource(ApiConfigSource {
                    api_type: ApiType::DeltaGrpc.into(),
                    transport_api_version: ApiVersion::V3.into(),
                    grpc_services: vec![GrpcService { target_specifier: Some(envoy), ..Default::default() }],
                    set_node_on_first_message_only: true,
                    ..Default::default()
                })
            }
        };
        ConfigSource {
            resource_api_version: ApiVersion::V3.into(),
            config_source_specifier: Some(specifier),
            initial_fetch_timeout: timeout.map(|seconds| Duration { seconds, nanos: 0 }),
            ..Default::default()
        }
    }
}

impl Listening {
    /// One whose name begins with `bad` has no address, which Envoy refuses.
    pub(crate) fn listener(&self, name: &str, sources: Sources) -> Listener {
        let rds = Rds { config_source: Some(sources.source(self.routes_timeout)), route_config_name: "routes".to_owned() };
        let router = http_filter::ConfigType::TypedConfig(any("envoy.extensions.filters.http.router.v3.Router", &Router::default()));
        let router = HttpFilter { name: "router".to_owned(), config_type: Some(router), ..Default::default() };
        let manager = HttpConnectionManager {
            stat_prefix: format!("web{}", self.generation),
            http_filters: self.extension.map(|extension| discovered(extension, sources)).into_iter().chain([router]).collect(),
            route_specifier: Some(RouteSpecifier::Rds(rds)),
            ..Default::default()
        };
        let manager = any("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", &manager);
        let filter = Filter { name: "http".to_owned(), config_type: Some(filter::ConfigType::TypedConfig(manager)) };
        let transport_socket = self.certificate.map(|certificate| tls(certificate, sources));
        Listener {
            name: name.to_owned(),
            address: (!name.starts_with("bad")).then(|| socket(SocketAddr::from(([127, 0, 0, 1], 0)))),
            filter_chains: vec![FilterChain { filters: vec![filter], transport_socket, ..Default::default() }],
            ..Default::default()
        }
    }

    pub(crate) fn needs(&self) -> Vec<(ResourceType, &'static str)> {
        let awaited = |kind, name, awaited: Option<Awaited>| awaited.filter(|awaited| awaited.exists).map(|_| (kind, name));
        let certificate = awaited(ResourceType::Secret, "certificate", self.certificate);
        certificate.into_iter().chain(awaited(ResourceType::ExtensionConfig, "extension", self.extension)).collect()
    }

    pub(crate) fn resources(&self) -> Vec<Resource> {
        let exists = |awaited: Option<Awaited>| awaited.is_some_and(|awaited| awaited.exists);
        let mut resources = Vec::new();
        if exists(self.certificate) {
            resources.push(encoded(ResourceType::Secret, "certificate", &certificate(), &[]));
        }
        if exists(self.extension) {
            let config = TypedExtensionConfig { name: "extension".to_owned(), typed_config: Some(any(MUTATION, &adds("extension"))) };
            resources.push(encoded(ResourceType::ExtensionConfig, "extension", &config, &[]));
        }
        resources
    }
}

fn discovered(extension: Awaited, sources: Sources) -> HttpFilter {
    let discovery = ExtensionConfigSource {
        config_source: Some(sources.source(Some(extension.timeout))),
        default_config: Some(any(MUTATION, &adds("default"))),
        type_urls: vec![format!("type.googleapis.com/{MUTATION}")],
        ..Default::default()
    };
    HttpFilter {
        name: "extension".to_owned(),
        config_type: Some(http_filter::ConfigType::ConfigDiscovery(discovery)),
        ..Default::default()
    }
}

fn adds(value: &str) -> HeaderMutation {
    let header = HeaderValue { key: "x-from".to_owned(), value: value.to_owned(), ..Default::default() };
    let append = Action::Append(HeaderValueOption { header: Some(header), ..Default::default() });
    let response_mutations = vec![Mutation { action: Some(append) }];
    HeaderMutation { mutations: Some(Mutations { response_mutations, ..Default::default() }), ..Default::default() }
}

fn tls(certificate: Awaited, sources: Sources) -> TransportSocket {
    let source = Some(sources.source(Some(certificate.timeout)));
    let certificate = SdsSecretConfig { name: "certificate".to_owned(), sds_config: source };
    let common = CommonTlsContext { tls_certificate_sds_secret_configs: vec![certificate], ..Default::default() };
    let context = DownstreamTlsContext { common_tls_context: Some(common), ..Default::default() };
    let config = any("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", &context);
    TransportSocket { name: "tls".to_owned(), config_type: Some(transport_socket::ConfigType::TypedConfig(config)) }
}

fn certificate() -> Secret {
    let inline = |text: &str| Some(DataSource { specifier: Some(Specifier::InlineString(text.to_owned())), ..Default::default() });
    let certificate = TlsCertificate { certificate_chain: inline(CERTIFICATE), private_key: inline(KEY), ..Default::default() };
    Secret { name: "certificate".to_owned(), r#type: Some(secret::Type::TlsCertificate(certificate)) }
}
