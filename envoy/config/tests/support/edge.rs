//! TLS at the edge: with the least that can be said, and with all.

use meshwright_envoy_config::names;
use meshwright_envoy_config::pb::envoy::config::core::v3::TransportSocket;
use meshwright_envoy_config::tls::{Clients, Edge, Version};

pub(crate) fn sockets() -> [TransportSocket; 2] {
    let certificate = names::credential_secret("edge", "shop");
    let simple = Edge {
        certificate: &certificate,
        clients: None,
        minimum: Version::Tls12,
        maximum: Version::Tls13,
        cipher_suites: &[],
        alpn: &["h2", "http/1.1"],
    };
    let hashes = ["NvqYIYSbgK2vCJpQhObf77vv+bQWtc5ek5RIOwPiC9A=".to_owned(), "df6ff72fe9116521268f6f2dd4966f51".repeat(2)];
    let roots = names::client_roots_secret("edge", "shop-cacert");
    let clients = Clients {
        required: true,
        roots: &roots,
        names: &["client.example".to_owned()],
        spki_hashes: &hashes[..1],
        certificate_hashes: &hashes[1..],
    };
    let suites = ["ECDHE-ECDSA-AES128-GCM-SHA256".to_owned()];
    let mutual = Edge { clients: Some(clients), maximum: Version::Tls12, cipher_suites: &suites, ..simple.clone() };
    [simple.build(), mutual.build()]
}
