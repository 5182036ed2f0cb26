//! Gateways: their certificates and ports.

use super::View;
use crate::error::DocumentError;
use crate::gateway::{ClientRoots, Gateway, GatewayServer, ROOTS_SUFFIX, ServerCertificate, TlsTermination};
use crate::key::{DocumentKey, Kind};

/// A gateway without its certificate, or without the roots of its clients, cannot be served.
pub(super) fn credentials_exist(view: &View<'_>) -> Vec<DocumentError> {
    let mut errors = Vec::new();
    for (gateway, index, server) in servers(view) {
        let Some(termination) = server.termination() else { continue };
        let missing = [missing_certificate(view, gateway, termination.certificate()), missing_roots(view, gateway, termination)];
        for (field, message, related) in missing.into_iter().flatten() {
            errors.extend(view.error_with(gateway.key(), &format!("spec.servers[{index}].tls.{field}"), message, related));
        }
    }
    errors
}

/// A field, what is wrong with it, and whose change would cure it.
type Missing = (&'static str, String, Vec<DocumentKey>);

fn missing_certificate(view: &View<'_>, gateway: &Gateway, certificate: &ServerCertificate) -> Option<Missing> {
    let ServerCertificate::Secret(name) = certificate else { return None };
    let namespace = gateway.key().namespace();
    let secret = DocumentKey::new(Kind::Secret, namespace, name.as_str());
    let message = match view.state.credential(namespace, name) {
        None => format!("there is no {secret} (a Secret of type `kubernetes.io/tls` in the Gateway's namespace)"),
        Some(credential) if credential.certificate().is_none() => format!("{} has no certificate and key", view.place(&secret)),
        Some(_) => return None,
    };
    Some(("credentialName", message, vec![secret]))
}

fn missing_roots(view: &View<'_>, gateway: &Gateway, termination: &TlsTermination) -> Option<Missing> {
    let roots = termination.clients()?.roots();
    if view.state.client_roots(gateway, roots).is_some() {
        return None;
    }
    let secret = |name: &str| DocumentKey::new(Kind::Secret, gateway.key().namespace(), name);
    match roots {
        ClientRoots::File(_) => None,
        ClientRoots::Secret(name) => {
            let message = format!("there is no {} with `ca.crt` or `cacert` in the Gateway's namespace", secret(name));
            Some(("caCertCredentialName", message, vec![secret(name)]))
        }
        ClientRoots::BesideCertificate(name) => {
            let (own, beside) = (secret(name), secret(&format!("{name}{ROOTS_SUFFIX}")));
            let message = format!("clients cannot be verified: neither {own} nor {beside} has `ca.crt` or `cacert`");
            Some(("credentialName", message, vec![own, beside]))
        }
    }
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
    // What TLS is for is told apart by SNI, whatever is in it.
    if server.tls().is_some() != other.tls().is_some() {
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
