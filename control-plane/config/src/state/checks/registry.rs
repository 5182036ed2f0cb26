//! Mesh, services, workloads.

use std::collections::BTreeMap;

use super::{View, keys_of};
use crate::error::DocumentError;
use crate::key::{DocumentKey, Kind};
use crate::service::{Location, Protocol};
use crate::workload::Address;

/// One `Mesh` document holds.
pub(super) fn one_mesh(view: &View<'_>) -> Vec<DocumentError> {
    let mut keys = keys_of(view, Kind::Mesh).into_iter();
    let Some(mut first) = keys.next() else { return Vec::new() };
    let mut errors = Vec::new();
    for key in keys {
        let (earlier, later) = view.in_order(first, key);
        errors.extend(view.error(later, "kind", format!("there is one Mesh already, {}, which stays", view.place(earlier))));
        first = earlier;
    }
    errors
}

/// A host belongs to one ServiceEntry.
pub(super) fn one_service_per_host(view: &View<'_>) -> Vec<DocumentError> {
    let mut owners: BTreeMap<&str, &DocumentKey> = BTreeMap::new();
    let mut errors = Vec::new();
    for service in view.state.services() {
        for host in service.hosts() {
            let owner = *owners.entry(host.as_str()).or_insert(service.key());
            if owner == service.key() {
                continue;
            }
            let (earlier, later) = view.in_order(owner, service.key());
            errors.extend(view.error(
                later,
                "spec.hosts",
                format!("the host `{host}` is already that of {}, which stays", view.place(earlier)),
            ));
            owners.insert(host.as_str(), earlier);
        }
    }
    errors
}

/// Istio ignores a PeerAuthentication with a selector in the root namespace; that would be weaker than it reads.
pub(super) fn selectors_outside_root(view: &View<'_>) -> Vec<DocumentError> {
    let root = view.state.root_namespace();
    let ignored = view.state.peer_authentications().iter().filter(|policy| policy.key().namespace() == root && policy.selector().is_some());
    let message = "a PeerAuthentication of the root namespace has no selector: it holds for the whole mesh";
    ignored.filter_map(|policy| view.error(policy.key(), "spec.selector", message)).collect()
}

/// Istio says that of two the effect is undefined.
pub(super) fn one_sidecar_per_namespace(view: &View<'_>) -> Vec<DocumentError> {
    let mut owners: BTreeMap<&str, &DocumentKey> = BTreeMap::new();
    let mut errors = Vec::new();
    for sidecar in view.state.sidecars() {
        let key = sidecar.key();
        if sidecar.selector().is_some() {
            continue;
        }
        let owner = *owners.entry(key.namespace()).or_insert(key);
        if owner != key {
            let (earlier, later) = view.in_order(owner, key);
            let message = format!("the namespace has a Sidecar for all its workloads already, {}, which stays", view.place(earlier));
            errors.extend(view.error(later, "spec.workloadSelector", message));
            owners.insert(key.namespace(), earlier);
        }
    }
    errors
}

/// Two services that share a workload's port speak the same there.
pub(super) fn one_protocol_per_port(view: &View<'_>) -> Vec<DocumentError> {
    let mut errors = Vec::new();
    for workload in view.state.workloads() {
        let mut spoken: BTreeMap<u16, (Protocol, &DocumentKey)> = BTreeMap::new();
        for port in view.state.inbound_ports(workload) {
            let (protocol, owner) = *spoken.entry(port.number()).or_insert((port.protocol(), port.service().key()));
            if protocol == port.protocol() {
                continue;
            }
            let (earlier, later) = view.in_order(owner, port.service().key());
            let (key, number) = (workload.key(), port.number());
            let message = format!(
                "port {number} of {key} would speak both `{protocol}` and `{}`: {} is the other",
                port.protocol(),
                view.place(earlier)
            );
            errors.extend(view.error(later, "spec.ports", message));
        }
    }
    errors.dedup();
    errors
}

/// An address and port belong to one workload.
pub(super) fn one_workload_per_port(view: &View<'_>) -> Vec<DocumentError> {
    let mut owners: BTreeMap<(&Address, u16), &DocumentKey> = BTreeMap::new();
    let mut errors = Vec::new();
    for workload in view.state.workloads() {
        let served = view.state.inbound_ports(workload).into_iter().filter(|port| port.service().location() == Location::MeshInternal);
        let mut numbers: Vec<u16> = served.map(|port| port.number()).chain(workload.ports().values().copied()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            let owner = *owners.entry((workload.address(), number)).or_insert(workload.key());
            if owner != workload.key() {
                let (earlier, later) = view.in_order(owner, workload.key());
                let message = format!("port {number} of {} is already that of {}, which stays", workload.address(), view.place(earlier));
                errors.extend(view.error(later, "spec.address", message));
            }
        }
    }
    errors
}
