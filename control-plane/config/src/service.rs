//! ServiceEntry: names that workloads call, and who answers.

use ipnet::IpNet;

use crate::host::Host;
use crate::key::DocumentKey;
use crate::reader::Reader;
use crate::record::{record, words};
use crate::workload::{Labels, Workload};

words! {
    /// What is spoken on a port.
    Protocol {
        Http = "HTTP",
        Http2 = "HTTP2",
        Grpc = "GRPC",
        Https = "HTTPS",
        Tls = "TLS",
        Tcp = "TCP",
    }
}

impl Protocol {
    /// Whether requests can be seen: HTTP in the clear, of any version.
    #[must_use]
    pub fn is_http(self) -> bool {
        match self {
            Self::Http | Self::Http2 | Self::Grpc => true,
            Self::Https | Self::Tls | Self::Tcp => false,
        }
    }

    /// Whether HTTP/2 is spoken from the first byte.
    #[must_use]
    pub fn is_http2(self) -> bool {
        match self {
            Self::Http2 | Self::Grpc => true,
            Self::Http | Self::Https | Self::Tls | Self::Tcp => false,
        }
    }
}

words! {
    /// Whether a service's instances are part of the mesh: those outside are not called with mutual TLS.
    Location {
        MeshExternal = "MESH_EXTERNAL",
        MeshInternal = "MESH_INTERNAL",
    }
}

words! {
    /// How the addresses of a service's instances are found.
    Resolution {
        /// They are written down.
        Static = "STATIC",
        /// The calling proxy resolves names: the instances', or the service's own where there are none.
        Dns = "DNS",
    }
}

record! {
    /// A port of a service.
    #[derive(Eq)]
    ServicePort {
        copy number: u16,
        text name,
        copy protocol: Protocol,
        /// The port of the instances where they do not say another; the same number unless told.
        copy target_port: u16,
    }
}

record! {
    /// A ServiceEntry.
    #[derive(Eq)]
    ServiceEntry {
        plain key: DocumentKey,
        list hosts: Host,
        list addresses: IpNet,
        list ports: ServicePort,
        copy location: Location,
        copy resolution: Resolution,
        /// The instances, when they are listed here.
        list endpoints: Workload,
        /// Which workloads of the same namespace are the instances, when they are not listed.
        maybe workload_selector: Labels,
        /// Further names that an instance's certificate may have.
        list subject_alt_names: String,
    }
}

impl ServiceEntry {
    pub(crate) fn read(spec: &Reader<'_>, key: DocumentKey) -> Option<Self> {
        let hosts: Vec<Host> = spec.get("hosts").required_items().iter().filter_map(Reader::host).collect();
        for field in spec.get("hosts").items().iter().filter(|field| field.text().as_deref() == Some("*")) {
            field.fail("`*` alone would take every name: use a name, or a wildcard such as `*.example.com`");
        }
        let ports: Vec<ServicePort> = spec.get("ports").required_items().iter().filter_map(read_port).collect();
        check_ports(spec, &ports);
        let resolution = spec.get("resolution").required().and_then(|field| field.word(Resolution::from_word));
        let endpoints = read_endpoints(spec, &key, resolution);
        Some(Self {
            hosts,
            addresses: spec.get("addresses").items().iter().filter_map(read_network).collect(),
            ports,
            location: spec.get("location").word(Location::from_word).unwrap_or(Location::MeshExternal),
            resolution: resolution?,
            endpoints,
            workload_selector: read_selector(spec),
            subject_alt_names: spec.get("subjectAltNames").texts(),
            key,
        })
    }
}

fn read_port(field: &Reader<'_>) -> Option<ServicePort> {
    let number = field.get("number").required().and_then(|number| number.port());
    let name = field.get("name").required_text();
    let protocol = field.get("protocol").required().and_then(|protocol| protocol.word(Protocol::from_word));
    let target_port = field.get("targetPort").port();
    let number = number?;
    Some(ServicePort { number, name: name?, protocol: protocol?, target_port: target_port.unwrap_or(number) })
}

fn check_ports(spec: &Reader<'_>, ports: &[ServicePort]) {
    let fields = spec.get("ports").items();
    for (index, (port, field)) in ports.iter().zip(&fields).enumerate() {
        for earlier in ports.iter().take(index) {
            if earlier.number == port.number {
                field.get("number").fail(format!("port `{}` is listed twice", port.number));
            }
            if earlier.name == port.name {
                field.get("name").fail(format!("the name `{}` is given to two ports", port.name));
            }
        }
    }
}

fn read_endpoints(spec: &Reader<'_>, key: &DocumentKey, resolution: Option<Resolution>) -> Vec<Workload> {
    let fields = spec.get("endpoints").items();
    let endpoints: Vec<Workload> = fields.iter().filter_map(|field| Workload::read(field, key.clone(), &Labels::new())).collect();
    let selector = spec.get("workloadSelector");
    if let (false, true) = (fields.is_empty(), selector.is_present()) {
        selector.fail("`endpoints` and `workloadSelector` exclude each other");
    }
    if resolution == Some(Resolution::Static) {
        if fields.is_empty() && !selector.is_present() {
            spec.get("resolution").fail("`STATIC` needs `endpoints` or `workloadSelector`");
        }
        for (endpoint, field) in endpoints.iter().zip(&fields) {
            if let crate::workload::Address::Name(name) = endpoint.address() {
                field.get("address").fail(format!("found the name `{name}`: with resolution `STATIC`, addresses are IP addresses"));
            }
        }
    }
    if let (Some(Resolution::Dns), true, true) = (resolution, fields.is_empty(), !selector.is_present()) {
        for host in spec.get("hosts").items() {
            if host.host().is_some_and(|name| name.is_wildcard()) {
                host.fail("a wildcard cannot be resolved: resolution `DNS` needs `endpoints` here");
            }
        }
    }
    endpoints
}

fn read_selector(spec: &Reader<'_>) -> Option<Labels> {
    let selector = spec.get("workloadSelector");
    if !selector.is_present() {
        return None;
    }
    let labels = selector.get("labels");
    let wanted = labels.labels();
    if wanted.is_empty() {
        labels.fail("at least one label is needed: an empty selector would take every workload of the namespace");
    }
    Some(wanted)
}

fn read_network(field: &Reader<'_>) -> Option<IpNet> {
    let text = field.text()?;
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from));
    if network.is_none() {
        field.fail(format!("found `{text}`, expected an IP address or a CIDR block"));
    }
    network
}
