//! DestinationRules and VirtualServices: that what they name exists, and is named once.

use std::collections::BTreeMap;

use super::View;
use crate::error::DocumentError;
use crate::host::Host;
use crate::key::{DocumentKey, Kind};
use crate::service::ServiceEntry;
use crate::virtual_service::{Destination, GatewayRef, VirtualService};

/// A DestinationRule is for a host that some service has, or covers.
pub(super) fn rules_have_hosts(view: &View<'_>) -> Vec<DocumentError> {
    let unknown = view.state.destination_rules().iter().filter(|rule| !is_registered(view, rule.host()));
    unknown.filter_map(|rule| view.error(rule.key(), "spec.host", format!("no ServiceEntry has the host `{}`", rule.host()))).collect()
}

fn is_registered(view: &View<'_>, host: &Host) -> bool {
    view.state.services().iter().flat_map(ServiceEntry::hosts).any(|known| known.overlaps(host))
}

/// Within a namespace, a host has one DestinationRule.
pub(super) fn one_rule_per_host(view: &View<'_>) -> Vec<DocumentError> {
    let mut owners: BTreeMap<(&str, &Host), &DocumentKey> = BTreeMap::new();
    let mut errors = Vec::new();
    for rule in view.state.destination_rules() {
        let owner = *owners.entry((rule.key().namespace(), rule.host())).or_insert(rule.key());
        if owner != rule.key() {
            let (earlier, later) = view.in_order(owner, rule.key());
            errors.extend(view.error(later, "spec.host", format!("`{}` already has {}, which stays", rule.host(), view.place(earlier))));
            owners.insert((rule.key().namespace(), rule.host()), earlier);
        }
    }
    errors
}

/// The gateways that a VirtualService names.
pub(super) fn gateways_exist(view: &View<'_>) -> Vec<DocumentError> {
    let mut errors = Vec::new();
    for rule in view.state.virtual_services() {
        for (index, gateway) in rule.gateways().iter().enumerate() {
            let GatewayRef::Gateway { namespace, name } = gateway else { continue };
            let key = DocumentKey::new(Kind::Gateway, namespace.as_str(), name.as_str());
            if !view.state.gateways().iter().any(|known| *known.key() == key) {
                errors.extend(view.error_with(rule.key(), &format!("spec.gateways[{index}]"), format!("there is no {key}"), vec![key]));
            }
        }
    }
    errors
}

/// In sidecars, and at each gateway, a host has one VirtualService: Istio's order between two is undefined.
pub(super) fn one_route_per_host(view: &View<'_>) -> Vec<DocumentError> {
    let mut owners: BTreeMap<(&GatewayRef, &Host), &DocumentKey> = BTreeMap::new();
    let mut errors = Vec::new();
    for rule in view.state.virtual_services() {
        for gateway in rule.gateways() {
            for host in rule.hosts() {
                let owner = *owners.entry((gateway, host)).or_insert(rule.key());
                if owner != rule.key() {
                    let (earlier, later) = view.in_order(owner, rule.key());
                    errors.extend(view.error(
                        later,
                        "spec.hosts",
                        format!("`{host}` is already routed by {}, which stays", view.place(earlier)),
                    ));
                    owners.insert((gateway, host), earlier);
                }
            }
        }
    }
    errors
}

/// Hosts, ports and subsets to which a VirtualService sends.
pub(super) fn destinations_exist(view: &View<'_>) -> Vec<DocumentError> {
    let mut errors = Vec::new();
    for rule in view.state.virtual_services() {
        if rule.applies_to_mesh() {
            errors.extend(unknown_hosts(view, rule));
        }
        for (path, destination) in rule.destinations() {
            errors.extend(check_destination(view, rule, &path, destination));
        }
    }
    errors
}

fn unknown_hosts(view: &View<'_>, rule: &VirtualService) -> Vec<DocumentError> {
    let unknown = rule.hosts().iter().enumerate().filter(|(_, host)| !is_registered(view, host));
    let error = |(index, host)| view.error(rule.key(), &format!("spec.hosts[{index}]"), format!("no ServiceEntry has the host `{host}`"));
    unknown.filter_map(error).collect()
}

fn check_destination(view: &View<'_>, rule: &VirtualService, path: &str, destination: &Destination) -> Option<DocumentError> {
    let host = destination.host();
    let Some(service) = view.state.service(host) else {
        return view.error(rule.key(), &format!("{path}.host"), format!("no ServiceEntry has the host `{host}`"));
    };
    let related = vec![service.key().clone()];
    let numbers: Vec<String> = service.ports().iter().map(|port| format!("`{}`", port.number())).collect();
    let numbers = numbers.join(", ");
    let port = match (destination.port(), service.ports()) {
        (None, [only]) => only,
        (None, _) => {
            let message = format!("`port` is required: `{host}` has several ({numbers})");
            return view.error_with(rule.key(), path, message, related);
        }
        (Some(number), ports) => match ports.iter().find(|port| port.number() == number) {
            Some(port) => port,
            None => {
                let message = format!("`{host}` has no port `{number}` (it has {numbers})");
                return view.error_with(rule.key(), &format!("{path}.port.number"), message, related);
            }
        },
    };
    if path.starts_with("spec.tls") {
        if port.protocol().is_http() {
            let message =
                format!("port {} of `{host}` speaks `{}`: TLS routes need `TLS`, `HTTPS` or `TCP`", port.number(), port.protocol());
            return view.error_with(rule.key(), path, message, related);
        }
    } else if !port.protocol().is_http() {
        let message =
            format!("port {} of `{host}` speaks `{}`: HTTP routes need `HTTP`, `HTTP2` or `GRPC`", port.number(), port.protocol());
        return view.error_with(rule.key(), path, message, related);
    }
    check_subset(view, rule, path, destination)
}

fn check_subset(view: &View<'_>, rule: &VirtualService, path: &str, destination: &Destination) -> Option<DocumentError> {
    let subset = destination.subset()?;
    let host = destination.host();
    let rules: Vec<_> = view.state.destination_rules().iter().filter(|rule| rule.host().covers(host)).collect();
    if rules.iter().any(|rule| rule.subset(subset).is_some()) {
        return None;
    }
    let known: Vec<&str> = rules.iter().flat_map(|rule| rule.subsets()).map(|subset| subset.name()).collect();
    let known = if known.is_empty() { "none is defined".to_owned() } else { format!("defined: `{}`", known.join("`, `")) };
    let related = rules.iter().map(|rule| rule.key().clone()).collect();
    view.error_with(
        rule.key(),
        &format!("{path}.subset"),
        format!("no DestinationRule of `{host}` has the subset `{subset}` ({known})"),
        related,
    )
}
