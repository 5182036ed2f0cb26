//! Istio's and Meshwright's YAML documents → validated types, and the questions that are asked of them together. Pure: no files, no clock.
//!
//! A document is taken whole or rejected with every error it has; nothing that is written is ignored.

mod age;
mod annotation;
mod authorization_policy;
mod credential;
mod deny_list;
mod destination_rule;
mod document;
mod duration;
mod enforcement;
mod error;
mod foreign_domain;
mod gateway;
mod host;
mod key;
mod key_source;
mod mesh;
mod peer_authentication;
mod provider;
mod reader;
mod record;
mod request_authentication;
mod schema;
mod scope;
mod service;
mod sidecar;
mod state;
mod string_match;
pub mod support;
mod virtual_service;
mod workload;
mod yaml;

pub use age::Age;
pub use authorization_policy::AuthorizationPolicy;
pub use credential::{Certificate, Credential, certificate_alarms};
pub use deny_list::{Denied, DenyEntry, IdentityDenyList};
pub use destination_rule::{
    ClientTls, ClientTlsMode, ConnectionPool, DestinationRule, LoadBalancer, OutlierDetection, Subset, TrafficPolicy,
};
pub use document::{Content, Document, LARGEST_DOCUMENT, RawDocument, is_policy_test, parse_file, split_file};
pub use enforcement::{Enforcement, PolicyPort, enforcement};
pub use error::{DocumentError, Rejected};
pub use foreign_domain::{BundleEndpoint, EndpointProfile, EndpointServer, FetchedBundle, FetchedBundles, ForeignDomain};
pub use gateway::{
    ClientCertificates, ClientRoots, Gateway, GatewayHost, GatewayProtocol, GatewayServer, ROOTS_SUFFIX, RouteNamespace, ServerCertificate,
    ServerTls, ServerTlsMode, TlsTermination, TlsVersion,
};
pub use host::{Host, InvalidHost};
pub use key::{DocumentKey, Kind, Origin};
pub use key_source::{FetchedKeys, KeySets, KeySource};
pub use mesh::{DEFAULT_ROOT_NAMESPACE, Mesh, OutboundTrafficPolicy, PathNormalization, ProxyScope};
pub use peer_authentication::{MtlsMode, PeerAuthentication};
pub use provider::{CheckedBody, HttpCheck, Provider, ProviderProtocol};
pub use request_authentication::RequestAuthentication;
pub use scope::Scope;
pub use service::{Location, Protocol, Resolution, ServiceEntry, ServicePort};
pub use sidecar::{EgressHost, EgressNamespace, Sidecar};
pub use state::{Denial, Endpoint, Enforcements, GatewayRoute, InboundPort, PassthroughRoute, RuleOnPort, RuleStatus, State};
pub use string_match::StringMatch;
pub use virtual_service::{
    Destination, GatewayRef, HeaderEdits, HeaderMatch, HeaderOperations, HttpAction, HttpMatch, HttpRoute, Redirect, Retries, Rewrite,
    TlsMatch, TlsRoute, VirtualService, WeightedDestination,
};
pub use workload::{Address, DEFAULT_SERVICE_ACCOUNT, Labels, Locality, Workload};
