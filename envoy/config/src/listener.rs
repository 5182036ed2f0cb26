//! Listeners and their filter chains.

use std::net::SocketAddr;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::{self as core, TransportSocket};
use envoy_types::pb::envoy::config::listener::v3 as pb;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;

use crate::well_known::{duration, pack, uint32};

/// A TCP listener.
#[derive(Debug, Clone)]
pub struct Listener {
    pub name: String,
    pub address: SocketAddr,
    pub direction: Direction,
    pub inspection: Inspection,
    pub filter_chains: Vec<FilterChain>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Inbound,
    Outbound,
}

/// Whether the first bytes are looked at, to tell TLS from plaintext, before a chain is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inspection {
    None,
    /// A client that says nothing is closed.
    Tls,
    /// A client that says nothing is plaintext after this long, for protocols in which the server speaks first.
    TlsOrSilent(Duration),
}

/// What is done with the connections that match.
#[derive(Debug, Clone)]
pub struct FilterChain {
    pub name: String,
    pub matches: ChainMatch,
    pub transport_socket: Option<TransportSocket>,
    pub filters: Vec<pb::Filter>,
}

/// Which connections a chain takes. Envoy prefers the more specific, whatever the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainMatch {
    Any,
    Plaintext,
    Tls,
    /// TLS whose client offers this ALPN protocol.
    TlsWithAlpn(String),
    /// TLS whose SNI is one of these; `*.example.com` matches below, empty matches any.
    TlsWithSni(Vec<String>),
}

impl Listener {
    #[must_use]
    pub fn build(&self) -> pb::Listener {
        let (filters, timeout, proceed) = match self.inspection {
            Inspection::None => (Vec::new(), None, false),
            Inspection::Tls => (vec![tls_inspector()], None, false),
            Inspection::TlsOrSilent(wait) => (vec![tls_inspector()], duration(wait), true),
        };
        pb::Listener {
            name: self.name.clone(),
            address: Some(socket_address(self.address)),
            traffic_direction: match self.direction {
                Direction::Inbound => core::TrafficDirection::Inbound,
                Direction::Outbound => core::TrafficDirection::Outbound,
            }
            .into(),
            listener_filters: filters,
            listener_filters_timeout: timeout,
            continue_on_listener_filters_timeout: proceed,
            filter_chains: self.filter_chains.iter().map(FilterChain::build).collect(),
            per_connection_buffer_limit_bytes: uint32(1 << 20),
            ..Default::default()
        }
    }
}

impl FilterChain {
    fn build(&self) -> pb::FilterChain {
        pb::FilterChain {
            name: self.name.clone(),
            filter_chain_match: self.matches.build(),
            transport_socket: self.transport_socket.clone(),
            filters: self.filters.clone(),
            ..Default::default()
        }
    }
}

impl ChainMatch {
    fn build(&self) -> Option<pb::FilterChainMatch> {
        let tls = || pb::FilterChainMatch { transport_protocol: "tls".to_owned(), ..Default::default() };
        match self {
            Self::Any => None,
            Self::Plaintext => Some(pb::FilterChainMatch { transport_protocol: "raw_buffer".to_owned(), ..Default::default() }),
            Self::Tls => Some(tls()),
            Self::TlsWithAlpn(protocol) => Some(pb::FilterChainMatch { application_protocols: vec![protocol.clone()], ..tls() }),
            Self::TlsWithSni(names) => Some(pb::FilterChainMatch { server_names: names.clone(), ..tls() }),
        }
    }
}

fn tls_inspector() -> pb::ListenerFilter {
    pb::ListenerFilter {
        name: "envoy.filters.listener.tls_inspector".to_owned(),
        config_type: Some(pb::listener_filter::ConfigType::TypedConfig(pack(&TlsInspector::default()))),
        ..Default::default()
    }
}

pub(crate) fn socket_address(address: SocketAddr) -> core::Address {
    host_address(&address.ip().to_string(), address.port())
}

pub(crate) fn host_address(host: &str, port: u16) -> core::Address {
    let address = core::SocketAddress {
        address: host.to_owned(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
        ..Default::default()
    };
    core::Address { address: Some(core::address::Address::SocketAddress(address)) }
}
