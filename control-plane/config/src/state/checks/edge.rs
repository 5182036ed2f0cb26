//! Gateways: their certificates and ports.

use super::View;
use crate::error::DocumentError;
use crate::gateway::{Gateway, GatewayServer};
use crate::key::{DocumentKey, Kind};

/// A gateway without its certificate cannot be served.
pub(super) fn credentials_exist(view: &View<'_>) -> Vec<DocumentError> {
    let mut errors = Vec::new();
    for (gateway, index, server) in servers(view) {
        let namespace = gateway.key().namespace();
        let Some(name) = server.credential_name() else { continue };
        if view.state.credential(namespace, name).is_none() {
            let path = format!("spec.servers[{index}].tls.credentialName");
            let secret = DocumentKey::new(Kind::Secret, namespace, name);
            let message = format!("there is no {secret} (a Secret of type `kubernetes.io/tls` in the Gateway's namespace)");
            errors.extend(view.error_with(gateway.key(), &path, message, vec![secret]));
        }
    }
    errors
}

/// On the proxies that serve several, a port has one protocol, and a host on it one certificate.
pub(super) fn one_meaning_per_port(view: &View<'_>) -> Vec<DocumentError> {
    let all: Vec<_> = servers(view).collect();
    let mut errors = Vec::new();
    for (position, (gateway, index, server)) in all.iter().enumerate() {
        for (other_gateway, other_index, other) in all.iter().take(position) {
            if server.number() != other.number() || !may_share_proxy(view, gateway, other_gateway) {
                continue;
            }
            let Some(conflict) = conflict(server, other) else { continue };
            // Within one Gateway the later server is named; between two, the document that comes later.
            let (earlier, later) = view.in_order(other_gateway.key(), gateway.key());
            let path = if later == gateway.key() { format!("spec.servers[{index}]") } else { format!("spec.servers[{other_index}]") };
            errors.extend(view.error(later, &path, format!("port {} {conflict} in {}, which stays", server.number(), view.place(earlier))));
        }
    }
    errors
}

fn conflict(server: &GatewayServer, other: &GatewayServer) -> Option<String> {
    if server.protocol() != other.protocol() {
        return Some(format!("has protocol `{}` here and `{}`", server.protocol(), other.protocol()));
    }
    let shared = server.hosts().iter().find(|host| other.hosts().iter().any(|taken| taken.host() == host.host()))?;
    Some(format!("takes the host `{}` here and already", shared.host()))
}

fn may_share_proxy(view: &View<'_>, a: &Gateway, b: &Gateway) -> bool {
    let serves = |workload, gateway: &Gateway| view.state.gateways_for(workload).iter().any(|served| served.key() == gateway.key());
    a.key() == b.key() || view.state.workloads().iter().any(|workload| serves(workload, a) && serves(workload, b))
}

fn servers<'a>(view: &'a View<'_>) -> impl Iterator<Item = (&'a Gateway, usize, &'a GatewayServer)> {
    view.state
        .gateways()
        .iter()
        .flat_map(|gateway| gateway.servers().iter().enumerate().map(move |(index, server)| (gateway, index, server)))
}
