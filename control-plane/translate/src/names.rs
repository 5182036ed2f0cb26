//! Names of resources; the table is in docs/ARCHITECTURE.md.

pub(crate) const HTTP_POLICY: &str = "meshwright.authz/http";
pub(crate) const TCP_POLICY: &str = "meshwright.authz/tcp";
pub(crate) const OUTBOUND: &str = "outbound";
pub(crate) const ANY_HOST_CLUSTER: &str = "PassthroughCluster";

pub(crate) fn inbound_listener(port: u16) -> String {
    format!("inbound|{port}")
}

pub(crate) fn inbound_cluster(port: u16) -> String {
    format!("inbound|{port}||")
}

pub(crate) fn outbound_cluster(port: u16, subset: Option<&str>, host: &str) -> String {
    format!("outbound|{port}|{}|{host}", subset.unwrap_or_default())
}

/// What a client names in TLS; the form is Istio's, because a `|` is not for SNI.
pub(crate) fn sni(port: u16, subset: Option<&str>, host: &str) -> String {
    format!("outbound_.{port}_.{}_.{host}", subset.unwrap_or_default())
}

pub(crate) fn gateway_listener(port: u16) -> String {
    format!("gateway|{port}")
}

/// The routes of one HTTPS server. Each has its own, so that a host is only served under a certificate of its own server.
pub(crate) fn gateway_tls_routes(port: u16, gateway: &str, server: &str) -> String {
    format!("gateway|{port}|{gateway}|{server}")
}

/// The chain of a name that passes through a gateway.
pub(crate) fn gateway_passthrough_chain(port: u16, gateway: &str, server: &str, sni: &str) -> String {
    format!("gateway|{port}|{gateway}|{server}|{sni}")
}
