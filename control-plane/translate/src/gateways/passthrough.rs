//! TLS that passes through a gateway, as the bytes it is, to where its SNI says.

use meshwright_config::{Host, PassthroughRoute, PolicyPort};
use meshwright_envoy_config::filter::Peers;
use meshwright_envoy_config::listener::{ChainMatch, FilterChain};
use meshwright_envoy_config::tcp::{Connect, TcpProxy};
use meshwright_policy::wire;
use meshwright_xds::ResourceType;

use super::Server;
use crate::TranslateError;
use crate::catalog::Catalog;
use crate::inbound::policed_connections;
use crate::names;
use crate::plugins::Plugins;
use crate::proxy::View;
use crate::resources::Dependencies;
use crate::routes;

/// A chain for each name that VirtualServices route. The server's other names have one that closes: they must not fall to another server.
pub(super) fn chains(
    view: &View<'_>,
    catalog: &Catalog<'_>,
    plugins: &Plugins,
    server: Server<'_>,
    dependencies: &mut Dependencies,
) -> Result<Vec<FilterChain>, TranslateError> {
    let found = view.state.passthrough_routes(server.gateway, server.server);
    let unrouted = server.server.hosts().iter().map(|host| host.host()).filter(|host| !found.iter().any(|route| route.sni() == *host));
    let mut chains: Vec<FilterChain> = unrouted.map(|host| chain(server, host, Vec::new())).collect();
    for route in &found {
        dependencies.insert((ResourceType::ExtensionConfig, names::TCP_POLICY.to_owned()));
        chains.push(chain(server, route.sni(), filters(view, catalog, plugins, server, route)?));
    }
    Ok(chains)
}

fn chain(server: Server<'_>, sni: &Host, filters: Vec<meshwright_envoy_config::pb::envoy::config::listener::v3::Filter>) -> FilterChain {
    FilterChain {
        name: names::gateway_passthrough_chain(server.server.number(), &server.label(), server.server.port_name(), sni.as_str()),
        matches: ChainMatch::TlsWithSni(if sni.as_str() == "*" { Vec::new() } else { vec![sni.to_string()] }),
        transport_socket: None,
        filters,
    }
}

fn filters(
    view: &View<'_>,
    catalog: &Catalog<'_>,
    plugins: &Plugins,
    server: Server<'_>,
    route: &PassthroughRoute<'_>,
) -> Result<Vec<meshwright_envoy_config::pb::envoy::config::listener::v3::Filter>, TranslateError> {
    let number = server.server.number();
    let destinations = route.route().route().iter().filter(|weighted| weighted.weight() > 0);
    let proxy = TcpProxy {
        stat_prefix: format!("gateway_{number}"),
        clusters: destinations.map(|to| (routes::destination_cluster(to.destination(), number, catalog), to.weight())).collect(),
        access_log: vec![plugins.access_log(wire::Direction::Gateway, wire::Protocol::Tcp, None)?],
        connect: Connect::AfterHandshake,
    };
    Ok(policed_connections(view, PolicyPort { number, http: false, mutual_tls: false }, Peers::Outside, proxy))
}
