//! AuthorizationPolicies on ports without requests: what would match more than it says, and what nobody can be asked about.

use std::collections::BTreeSet;

use meshwright_policy::wire::Action;

use super::View;
use crate::authorization_policy::{ACCEPT_WIDENING, AuthorizationPolicy};
use crate::enforcement::Enforcement;
use crate::error::DocumentError;
use crate::key::DocumentKey;
use crate::state::RuleOnPort;

/// A DENY or CUSTOM rule never matches more than it says, unless its author accepts that.
pub(super) fn nothing_widened(view: &View<'_>) -> Vec<DocumentError> {
    let may_widen =
        |policy: &AuthorizationPolicy| !policy.accepts_widening() && matches!(policy.wire().action, Action::Deny | Action::Custom);
    if !view.state.authorization_policies().iter().any(may_widen) {
        return Vec::new();
    }
    let enforcements = view.state.enforcements();
    let mut errors = Vec::new();
    for policy in view.state.authorization_policies() {
        if !may_widen(policy) {
            continue;
        }
        let action = policy.wire().action;
        let more = if action == Action::Deny { "deny" } else { "ask about" };
        let on_ports = enforcements.of(policy);
        for (rule, _) in policy.wire().rules.iter().enumerate() {
            let is_widened = |on_port: &&RuleOnPort<'_>| on_port.rule == rule && matches!(on_port.enforcement, Enforcement::Widened(_));
            let widened: Vec<&RuleOnPort<'_>> = on_ports.iter().filter(is_widened).collect();
            // One port is enough to say it.
            let Some((found, field)) = widened.first().and_then(|found| Some((found, found.enforcement.fields().first()?))) else {
                continue;
            };
            let message = format!(
                "cannot be seen on {}, and without it the rule would {more} more than it says; give the rule the `ports` that speak HTTP, or \
                 the policy the annotation `{ACCEPT_WIDENING}: \"true\"`",
                place(view, found)
            );
            errors.extend(view.error_with(policy.key(), &format!("spec.rules[{rule}].{field}"), message, related(view, &widened)));
        }
    }
    errors
}

/// A provider that is asked over HTTP is asked about requests; there are none on a TCP port.
pub(super) fn providers_can_be_asked(view: &View<'_>) -> Vec<DocumentError> {
    let is_http = |name: &str| view.state.mesh().and_then(|mesh| mesh.provider(name)).is_some_and(|provider| !provider.is_grpc());
    let asks = |policy: &AuthorizationPolicy| policy.wire().provider.as_deref().is_some_and(is_http);
    if !view.state.authorization_policies().iter().any(asks) {
        return Vec::new();
    }
    let enforcements = view.state.enforcements();
    let mut errors = Vec::new();
    for policy in view.state.authorization_policies() {
        let Some(name) = policy.wire().provider.as_deref().filter(|name| is_http(name)) else { continue };
        let on_ports = enforcements.of(policy);
        let on_ports: Vec<&RuleOnPort<'_>> = on_ports.iter().filter(|on_port| !on_port.port.http && can_match(on_port)).collect();
        let Some(asked) = on_ports.first() else { continue };
        let message = format!(
            "`{name}` is asked over HTTP, and there are no requests on {}; give the rules the `ports` that speak HTTP, or name a provider with \
             `envoyExtAuthzGrpc`",
            place(view, asked)
        );
        let mut related = related(view, &on_ports);
        related.extend(view.meshes());
        errors.extend(view.error_with(policy.key(), "spec.provider.name", message, related));
    }
    errors
}

fn can_match(on_port: &RuleOnPort<'_>) -> bool {
    !matches!(on_port.enforcement, Enforcement::NeverMatches(_))
}

fn place(view: &View<'_>, on_port: &RuleOnPort<'_>) -> String {
    format!("port {} (TCP) of {}", on_port.port.number, view.place(on_port.workload.key()))
}

/// Whose change may be the cause, beside the policy's own.
fn related(view: &View<'_>, on_ports: &[&RuleOnPort<'_>]) -> Vec<DocumentKey> {
    let services = on_ports.iter().flat_map(|on_port| view.state.services_on(on_port.workload, on_port.port.number));
    let mut keys: Vec<DocumentKey> = services.chain(on_ports.iter().map(|on_port| on_port.workload.key().clone())).collect();
    let mut seen = BTreeSet::new();
    keys.retain(|key| seen.insert(key.clone()));
    keys
}
