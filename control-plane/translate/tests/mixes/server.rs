//! What a proxy lets through that holds some listeners and some policies: which connections its listeners take, as Envoy would, and what the
//! policy filter, which is the same code, decides about what comes over them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use meshwright_envoy_config::names::MESH_ALPN;
use meshwright_envoy_config::pb::envoy::config::core::v3 as core;
use meshwright_envoy_config::pb::envoy::config::listener::v3::{FilterChain, Listener, filter};
use meshwright_envoy_config::pb::envoy::extensions::filters::network::set_filter_state::v3::Config as SetFilterState;
use meshwright_envoy_config::pb::envoy::extensions::filters::{http, network};
use meshwright_envoy_config::pb::envoy::extensions::wasm::v3::PluginConfig;
use meshwright_policy::{Authentication, Connection, Headers, HttpRequest, Peer, Policy, Request, Verdict, evaluate};
use meshwright_xds::{Resource, ResourceType};
use prost::{Message as _, Name};

pub(crate) const PORTS: [u16; 3] = [80, 90, 91];
const HTTP_PORT: u16 = 80;

/// A request, or a connection where the port is not HTTP's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Probe {
    port: u16,
    /// None: plaintext, or TLS that nobody looks into.
    pub(crate) principal: Option<&'static str>,
    path: &'static str,
}

pub(crate) fn probes() -> Vec<Probe> {
    let principals = [None, Some("spiffe://mesh.local/ns/b/sa/one"), Some("spiffe://mesh.local/ns/c/sa/two")];
    let on = |port| principals.into_iter().flat_map(move |principal| ["/a", "/b"].map(|path| Probe { port, principal, path }));
    PORTS.into_iter().flat_map(on).collect()
}

/// Providers agree to some of what they are asked about, always to the same.
fn agrees(provider: &str, probe: &Probe) -> bool {
    match provider {
        "opa" => probe.path == "/a",
        _ => probe.principal.is_some(),
    }
}

/// Which peer a connection has for the policy, and which providers are asked on its way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Taken {
    tls: bool,
    has_certificate: bool,
    providers: BTreeSet<String>,
}

/// A proxy that remembers its listeners: their connections outlive them.
#[derive(Default)]
pub(crate) struct Server {
    /// By port.
    connections: BTreeMap<u16, BTreeSet<Taken>>,
    seen: BTreeSet<String>,
    /// By name; without one, everything is denied.
    policies: BTreeMap<String, (String, Arc<Policy>)>,
}

impl Server {
    /// These are held now, of the policies no others.
    pub(crate) fn hold<'r, R: std::borrow::Borrow<Resource> + 'r>(&mut self, held: impl Iterator<Item = &'r R>) {
        let mut policies = BTreeMap::new();
        for resource in held.map(std::borrow::Borrow::borrow) {
            match resource.kind() {
                ResourceType::Listener => self.listen(resource),
                ResourceType::ExtensionConfig => {
                    let known = self.policies.get(resource.name()).filter(|(version, _)| version == resource.version()).cloned();
                    let policy = known.unwrap_or_else(|| (resource.version().to_owned(), Arc::new(policy(resource))));
                    policies.insert(resource.name().to_owned(), policy);
                }
                other @ (ResourceType::Cluster | ResourceType::Endpoint | ResourceType::Secret | ResourceType::Route) => {
                    panic!("{other:?}")
                }
            }
        }
        self.policies = policies;
    }

    fn listen(&mut self, resource: &Resource) {
        if !self.seen.insert(format!("{} {}", resource.name(), resource.version())) {
            return;
        }
        let listener = Listener::decode(resource.body().clone()).unwrap();
        let port = resource.name().strip_prefix("inbound|").unwrap().parse().unwrap();
        for tls in [false, true] {
            if let Some(taken) = taken(&listener.filter_chains, port == HTTP_PORT, tls) {
                self.connections.entry(port).or_default().insert(taken);
            }
        }
    }

    pub(crate) fn lets_through(&self, probe: &Probe) -> bool {
        self.taken_on(probe.port).any(|taken| taken.has_certificate == probe.principal.is_some() && self.passes(probe, taken))
    }

    /// As [`Server::lets_through`]. Where nobody looks into a client's TLS: what it may as who it is, and what it may as nobody.
    pub(crate) fn permits(&self, probe: &Probe) -> bool {
        let nobody = Probe { principal: None, ..probe.clone() };
        let unseen = |taken: &&Taken| taken.tls && !taken.has_certificate;
        let may = |taken: &Taken| self.passes(&nobody, taken) || self.passes(probe, &Taken { has_certificate: true, ..taken.clone() });
        self.lets_through(probe) || self.taken_on(probe.port).filter(unseen).any(may)
    }

    fn taken_on(&self, port: u16) -> impl Iterator<Item = &Taken> {
        self.connections.get(&port).into_iter().flatten()
    }

    fn passes(&self, probe: &Probe, taken: &Taken) -> bool {
        let is_http = probe.port == HTTP_PORT;
        let Some((_, policy)) = self.policies.get(if is_http { "meshwright.authz/http" } else { "meshwright.authz/tcp" }) else {
            return false;
        };
        let uri_sans = probe.principal.map(str::to_owned).into_iter().collect();
        let peer = if taken.has_certificate {
            Peer::Authenticated { uri_sans, dns_sans: Vec::new(), subject: None, serial: None }
        } else {
            Peer::Plaintext
        };
        let ip = "127.0.0.1".parse().ok();
        let destination = Some(SocketAddr::from(([127, 0, 0, 9], probe.port)));
        let connection =
            Connection { direct_ip: ip, remote_ip: ip, peer, sni: None, destination, metadata: meshwright_policy::Metadata::default() };
        let pairs = [(":method", "GET"), (":path", probe.path), (":authority", "a.example")];
        let request = HttpRequest::new(Headers::from_pairs(pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))));
        let request = Request { connection: &connection, http: is_http.then_some(&request), authentication: &Authentication::Anonymous };
        let evaluation = evaluate(policy, &request);
        // As the filter has it: who is to be asked and does not stand in the chain has not agreed.
        let agreed = |provider: &str| taken.providers.contains(provider) && agrees(provider, probe);
        evaluation.decision.verdict == Verdict::Allow && evaluation.custom.iter().all(|check| agreed(check.provider))
    }
}

/// The chain that a connection finds ("FilterChainMatch": the transport protocol, then the application protocols), if it ends well there.
fn taken(chains: &[FilterChain], http: bool, tls: bool) -> Option<Taken> {
    let fits = |chain: &&FilterChain| {
        let Some(wanted) = &chain.filter_chain_match else { return true };
        let transport = if tls { "tls" } else { "raw_buffer" };
        let protocols = &wanted.application_protocols;
        (wanted.transport_protocol.is_empty() || wanted.transport_protocol == transport)
            && (protocols.is_empty() || tls && protocols.iter().any(|protocol| protocol == MESH_ALPN))
    };
    let exactness = |chain: &&FilterChain| {
        chain
            .filter_chain_match
            .as_ref()
            .map_or((false, false), |it| (!it.transport_protocol.is_empty(), !it.application_protocols.is_empty()))
    };
    let chain = chains.iter().filter(fits).max_by_key(exactness)?;
    let mutual = chain.transport_socket.is_some();
    // Plaintext is no handshake; and TLS that nobody ends is no HTTP, but bytes like any others.
    if mutual && !tls || !mutual && tls && http {
        return None;
    }
    Some(Taken { tls, has_certificate: mutual, providers: providers(chain) })
}

/// What the chain tells the policy filter of itself.
fn providers(chain: &FilterChain) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for filter in &chain.filters {
        let Some(filter::ConfigType::TypedConfig(config)) = &filter.config_type else { continue };
        if config.type_url != SetFilterState::type_url() {
            continue;
        }
        for value in SetFilterState::decode(config.value.as_slice()).unwrap().on_downstream_tls_handshake {
            let text = format!("{value:?}");
            if text.contains("meshwright.providers") {
                found.extend(["opa", "legacy"].into_iter().filter(|name| text.contains(&format!(",{name},"))).map(str::to_owned));
            }
        }
    }
    found
}

/// What the policy filter is given.
fn policy(resource: &Resource) -> Policy {
    let extension = core::TypedExtensionConfig::decode(resource.body().clone()).unwrap().typed_config.unwrap();
    let plugin: PluginConfig = if extension.type_url == http::wasm::v3::Wasm::type_url() {
        http::wasm::v3::Wasm::decode(extension.value.as_slice()).unwrap().config.unwrap()
    } else {
        network::wasm::v3::Wasm::decode(extension.value.as_slice()).unwrap().config.unwrap()
    };
    let text = String::decode(plugin.configuration.unwrap().value.as_slice()).unwrap();
    Policy::from_json(text.as_bytes()).unwrap()
}
