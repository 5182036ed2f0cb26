//! Gateway: what proxies at the edge accept from outside.

use crate::host::Host;
use crate::key::DocumentKey;
use crate::reader::Reader;
use crate::record::{record, words};
use crate::workload::Labels;

mod tls;

pub(crate) use tls::{CIPHER_SUITES, OLD_CIPHER_SUITES, TLS_AUTO};
pub use tls::{ClientCertificates, ClientRoots, ROOTS_SUFFIX, ServerCertificate, ServerTls, ServerTlsMode, TlsTermination, TlsVersion};

words! {
    /// What a gateway's port speaks.
    GatewayProtocol {
        Http = "HTTP",
        /// HTTP in TLS, which ends at the gateway or passes through.
        Https = "HTTPS",
        /// TLS that passes through, whatever is in it.
        Tls = "TLS",
    }
}

/// A host that a server takes, and from which namespaces VirtualServices may route it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayHost {
    namespace: RouteNamespace,
    host: Host,
}

/// Where the VirtualServices for a gateway's host may live: `*/host`, `./host`, `namespace/host`; `host` alone is `*/host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteNamespace {
    Any,
    Own,
    Named(String),
}

impl GatewayHost {
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    #[must_use]
    pub fn namespace(&self) -> &RouteNamespace {
        &self.namespace
    }
}

record! {
    /// One port of a gateway with the hosts it takes there.
    #[derive(Eq)]
    GatewayServer {
        copy number: u16,
        text port_name,
        copy protocol: GatewayProtocol,
        list hosts: GatewayHost,
        /// Never with `HTTP`, always with all else.
        maybe tls: ServerTls,
    }
}

impl GatewayServer {
    /// TLS that ends here.
    #[must_use]
    pub fn termination(&self) -> Option<&TlsTermination> {
        match &self.tls {
            Some(ServerTls::Terminated(termination)) => Some(termination),
            Some(ServerTls::Passthrough) | None => None,
        }
    }

    /// Whether connections go on as they are, so that no request is seen.
    #[must_use]
    pub fn passes_through(&self) -> bool {
        self.tls == Some(ServerTls::Passthrough)
    }
}

record! {
    /// A Gateway.
    #[derive(Eq)]
    Gateway {
        plain key: DocumentKey,
        /// Labels of the workloads, of any namespace, that serve it.
        plain selector: Labels,
        list servers: GatewayServer,
    }
}

impl Gateway {
    pub(crate) fn read(spec: &Reader<'_>, key: DocumentKey) -> Option<Self> {
        let selector = spec.get("selector");
        let labels = selector.labels();
        if labels.is_empty() {
            selector.fail("at least one label is needed: an empty selector would make every workload a gateway");
        }
        let fields = spec.get("servers").required_items();
        one_name_per_port(&fields);
        let servers = fields.iter().filter_map(read_server).collect();
        Some(Self { key, selector: labels, servers })
    }
}

fn read_server(field: &Reader<'_>) -> Option<GatewayServer> {
    let port = field.get("port");
    let number = port.get("number").required().and_then(|number| number.port());
    let name = port.get("name").required_text();
    let protocol = port.get("protocol").required().and_then(|protocol| protocol.word(GatewayProtocol::from_word));
    let hosts = field.get("hosts").required_items().iter().filter_map(read_host).collect();
    let tls = field.get("tls");
    let read = match protocol {
        Some(GatewayProtocol::Http) => {
            if tls.is_present() {
                tls.fail("a server with protocol `HTTP` has no `tls`; `HTTPS` has");
            }
            None
        }
        Some(GatewayProtocol::Https | GatewayProtocol::Tls) => Some(tls::read(&tls)?),
        None => None,
    };
    if let (Some(GatewayProtocol::Tls), Some(ServerTls::Terminated(_))) = (protocol, &read) {
        tls.get("mode").fail("with protocol `TLS` only `PASSTHROUGH` is supported yet; what ends at the gateway is `HTTPS`");
    }
    Some(GatewayServer { number: number?, port_name: name?, protocol: protocol?, hosts, tls: read })
}

/// As Istio asks for: what a server is told apart by.
fn one_name_per_port(servers: &[Reader<'_>]) {
    let mut names: Vec<String> = Vec::new();
    for name in servers.iter().map(|server| server.get("port").get("name")) {
        let Some(text) = name.text() else { continue };
        if names.contains(&text) {
            name.fail(format!("another server of this Gateway has a port named `{text}`"));
        }
        names.push(text);
    }
}

fn read_host(field: &Reader<'_>) -> Option<GatewayHost> {
    let text = field.text()?;
    let (namespace, host) = match text.split_once('/') {
        None => (RouteNamespace::Any, text.as_str()),
        Some(("*", host)) => (RouteNamespace::Any, host),
        Some((".", host)) => (RouteNamespace::Own, host),
        Some((namespace, host)) => (RouteNamespace::Named(namespace.to_owned()), host),
    };
    if namespace == RouteNamespace::Named(String::new()) {
        field.fail(format!("found `{text}`, expected `host`, `*/host`, `./host` or `namespace/host`"));
    }
    let host = Host::parse(host).map_err(|error| field.fail(format!("`{text}`: {error}"))).ok()?;
    Some(GatewayHost { namespace, host })
}
