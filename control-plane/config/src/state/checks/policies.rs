//! AuthorizationPolicies and RequestAuthentications: the gateways and the providers that they name.

use super::View;
use crate::error::DocumentError;
use crate::gateway::Gateway;
use crate::key::{DocumentKey, Kind};
use crate::provider::{Provider, ProviderProtocol};
use crate::scope::Scope;
use crate::workload::Workload;

/// A target is a Gateway that is there, and whose proxies serve nothing that is not a target too: a policy is the same for all of a proxy.
pub(super) fn targets_exist(view: &View<'_>) -> Vec<DocumentError> {
    let policies = view.state.authorization_policies().iter().map(|policy| (policy.key(), policy.scope()));
    let tokens = view.state.request_authentications().iter().map(|document| (document.key(), document.scope()));
    let mut errors = Vec::new();
    for (key, scope) in policies.chain(tokens) {
        for (index, name) in scope.gateways().iter().enumerate() {
            let path = format!("spec.targetRefs[{index}]");
            let gateway = DocumentKey::new(Kind::Gateway, key.namespace(), name.as_str());
            if !view.state.gateways().iter().any(|known| *known.key() == gateway) {
                let message = format!("there is no {gateway}");
                errors.extend(view.error_with(key, &format!("{path}.name"), message, vec![gateway]));
                continue;
            }
            for workload in view.state.workloads() {
                errors.extend(serves_more(view, key, scope, &gateway, workload, &path));
            }
        }
    }
    errors
}

fn serves_more(
    view: &View<'_>,
    key: &DocumentKey,
    scope: &Scope,
    gateway: &DocumentKey,
    workload: &Workload,
    path: &str,
) -> Option<DocumentError> {
    let served = view.state.gateways_for(workload);
    if !served.iter().any(|served| served.key() == gateway) {
        return None;
    }
    let is_target =
        |served: &Gateway| served.key().namespace() == key.namespace() && scope.gateways().iter().any(|name| name == served.key().name());
    let ports = view.state.inbound_ports(workload);
    let other = served.into_iter().find(|served| !is_target(served)).map(Gateway::key).or_else(|| Some(ports.first()?.service().key()))?;
    let message =
        format!("{} serves {other} too, which is no target, and a policy is the same for all of a proxy", view.place(workload.key()));
    view.error_with(key, path, message, vec![other.clone(), workload.key().clone(), gateway.clone()])
}

/// A CUSTOM policy asks a provider that the mesh has.
pub(super) fn providers_exist(view: &View<'_>) -> Vec<DocumentError> {
    let Some(mesh) = view.state.mesh() else { return Vec::new() };
    let known: Vec<&str> = mesh.providers().iter().map(Provider::name).collect();
    let allowed = if known.is_empty() { "it has none".to_owned() } else { format!("it has `{}`", known.join("`, `")) };
    let unknown = view.state.authorization_policies().iter().filter_map(|policy| {
        let name = policy.wire().provider.as_deref()?;
        let missing = mesh.provider(name).is_none();
        missing.then(|| (policy.key(), format!("`{name}` is not among the Mesh's `extensionProviders` ({allowed})")))
    });
    unknown.filter_map(|(key, message)| view.error_with(key, "spec.provider.name", message, view.meshes())).collect()
}

/// A provider is a service that speaks what it is asked in. Were the provider left out, its policies would have nobody to ask.
pub(super) fn providers_are_services(view: &View<'_>) -> Vec<DocumentError> {
    let providers = view.state.mesh().map(|mesh| mesh.providers()).unwrap_or_default();
    let mut errors = Vec::new();
    for (index, provider) in providers.iter().enumerate() {
        let (kind, wanted) = match provider.protocol() {
            ProviderProtocol::Grpc => ("envoyExtAuthzGrpc", "`GRPC` or `HTTP2`"),
            ProviderProtocol::Http(_) => ("envoyExtAuthzHttp", "`HTTP`, `HTTP2` or `GRPC`"),
        };
        let path = format!("spec.extensionProviders[{index}].{kind}");
        let Some((field, message, related)) = unusable(view, provider, wanted) else { continue };
        for mesh in view.meshes() {
            errors.extend(view.error_with(&mesh, &format!("{path}.{field}"), message.clone(), related.clone()));
        }
    }
    errors
}

/// The field that is wrong with a provider, what, and which document may be the cause.
fn unusable(view: &View<'_>, provider: &Provider, wanted: &str) -> Option<(&'static str, String, Vec<DocumentKey>)> {
    let (host, number) = (provider.host(), provider.port());
    let service = view.state.services().iter().find(|service| service.hosts().contains(host));
    let Some(service) = service else { return Some(("service", format!("no ServiceEntry has the host `{host}`"), Vec::new())) };
    let related = vec![service.key().clone()];
    if let Some(namespace) = provider.namespace().filter(|namespace| *namespace != service.key().namespace()) {
        let message = format!("`{host}` is a host of {}, not of the namespace `{namespace}`", service.key());
        return Some(("service", message, related));
    }
    let numbers: Vec<String> = service.ports().iter().map(|port| format!("`{}`", port.number())).collect();
    let Some(port) = service.ports().iter().find(|port| port.number() == number) else {
        return Some(("port", format!("`{host}` has no port `{number}` (it has {})", numbers.join(", ")), related));
    };
    let speaks = if provider.is_grpc() { port.protocol().is_http2() } else { port.protocol().is_http() };
    (!speaks).then(|| ("port", format!("port {number} of `{host}` speaks `{}`, needed is {wanted}", port.protocol()), related))
}
