//! HTTP and network filters: the fixed ones, and policy by ECDS with its fail-closed default.

use envoy_types::pb::envoy::config::core::v3::{self as core, substitution_format_string::Format};
use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::envoy::config::rbac::v3::{Rbac as Rules, rbac::Action};
use envoy_types::pb::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use envoy_types::pb::envoy::extensions::filters::common::set_filter_state::v3::{
    FilterStateValue, filter_state_value::Key, filter_state_value::Value,
};
use envoy_types::pb::envoy::extensions::filters::http;
use envoy_types::pb::envoy::extensions::filters::network;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{HttpFilter, http_filter::ConfigType};
use envoy_types::pb::google::protobuf::Any;
use prost::Name;

use crate::names;
use crate::secret;
use crate::source;
use crate::well_known::pack;

/// Who vouches for the certificates of a listener's clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peers {
    /// The mesh: the names in them are its own.
    OfMesh,
    /// Somebody else, or there are none: policy takes the client for one without a name, whatever its certificate says.
    Outside,
}

/// Puts the peer's direct address and all its URI SANs where the Wasm filter can read them: Wasm's own attributes have the address after
/// `x-forwarded-for` and the first SAN only. `providers`: the external authorizers that stand further down in the chain; the policy filter
/// denies what it would have to ask others about.
#[must_use]
pub fn set_peer_state(peers: Peers, providers: &[String]) -> HttpFilter {
    let config = http::set_filter_state::v3::Config { on_request_headers: chain_state(peers, providers), ..Default::default() };
    http_filter("envoy.filters.http.set_filter_state", pack(&config))
}

/// As [`set_peer_state`], for TCP: once the handshake has said who the peer is, or at once where there is no TLS.
#[must_use]
pub fn set_peer_state_of_connection(peers: Peers, providers: &[String]) -> listener::Filter {
    let config = network::set_filter_state::v3::Config { on_downstream_tls_handshake: chain_state(peers, providers), ..Default::default() };
    network_filter("envoy.filters.network.set_filter_state", pack(&config))
}

fn chain_state(peers: Peers, providers: &[String]) -> Vec<FilterStateValue> {
    let peer = match peers {
        Peers::OfMesh => "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%|%DOWNSTREAM_PEER_URI_SAN%",
        Peers::Outside => "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%|!",
    };
    let mut values = vec![state(names::PEER_FILTER_STATE, peer)];
    if !providers.is_empty() {
        values.push(state(names::PROVIDERS_FILTER_STATE, &format!(",{},", providers.join(","))));
    }
    values
}

fn state(name: &str, text: &str) -> FilterStateValue {
    let format = core::SubstitutionFormatString {
        omit_empty_values: true,
        format: Some(Format::TextFormatSource(secret::inline(text))),
        ..Default::default()
    };
    let mut value = FilterStateValue {
        factory_key: "envoy.string".to_owned(),
        key: Some(Key::ObjectKey(name.to_owned())),
        value: Some(Value::FormatString(format)),
        ..Default::default()
    };
    make_read_only(&mut value);
    value
}

#[expect(deprecated, reason = "Envoy 1.36 to 1.40 have no other way to keep a later filter from replacing the value")]
fn make_read_only(value: &mut FilterStateValue) {
    value.read_only = true;
}

/// The HTTP filter whose configuration is the ECDS resource of this name. Until there is one, every request is denied.
#[must_use]
pub fn discovered_http(name: &str) -> HttpFilter {
    let deny = http::rbac::v3::Rbac { rules: Some(nobody()), ..Default::default() };
    let types = vec![http::wasm::v3::Wasm::type_url(), http::rbac::v3::Rbac::type_url()];
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(ConfigType::ConfigDiscovery(discovery(pack(&deny), types))),
        ..Default::default()
    }
}

/// The network filter whose configuration is the ECDS resource of this name. Until there is one, every connection is closed.
#[must_use]
pub fn discovered_network(name: &str) -> listener::Filter {
    let deny = network::rbac::v3::Rbac { rules: Some(nobody()), stat_prefix: "meshwright.default_deny".to_owned(), ..Default::default() };
    let types = vec![network::wasm::v3::Wasm::type_url(), network::rbac::v3::Rbac::type_url()];
    listener::Filter {
        name: name.to_owned(),
        config_type: Some(listener::filter::ConfigType::ConfigDiscovery(discovery(pack(&deny), types))),
    }
}

/// The last HTTP filter.
#[must_use]
pub fn router() -> HttpFilter {
    http_filter("envoy.filters.http.router", pack(&http::router::v3::Router::default()))
}

/// Resolves the request's host for the cluster of [`crate::cluster::dynamic_forward_proxy`]; leaves all other clusters alone.
#[must_use]
pub fn dynamic_forward_proxy() -> HttpFilter {
    use http::dynamic_forward_proxy::v3::{FilterConfig, filter_config::ImplementationSpecifier};
    let config =
        FilterConfig { implementation_specifier: Some(ImplementationSpecifier::DnsCacheConfig(dns_cache())), ..Default::default() };
    http_filter("envoy.filters.http.dynamic_forward_proxy", pack(&config))
}

/// Filter and cluster must say exactly the same.
pub(crate) fn dns_cache() -> DnsCacheConfig {
    DnsCacheConfig { name: "meshwright".to_owned(), ..Default::default() }
}

/// A network filter with this configuration.
#[must_use]
pub(crate) fn network_filter(name: &str, config: Any) -> listener::Filter {
    listener::Filter { name: name.to_owned(), config_type: Some(listener::filter::ConfigType::TypedConfig(config)) }
}

/// An HTTP filter with this configuration.
#[must_use]
pub(crate) fn http_filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter { name: name.to_owned(), config_type: Some(ConfigType::TypedConfig(config)), ..Default::default() }
}

/// RBAC's ALLOW without a policy matches nobody.
fn nobody() -> Rules {
    Rules { action: Action::Allow.into(), ..Default::default() }
}

/// Waits for the resource before the default is used, so that a proxy that starts does not deny what its policy allows.
fn discovery(default: Any, types: Vec<String>) -> core::ExtensionConfigSource {
    core::ExtensionConfigSource {
        config_source: Some(source::ads()),
        default_config: Some(default),
        apply_default_config_without_warming: false,
        type_urls: types,
    }
}
