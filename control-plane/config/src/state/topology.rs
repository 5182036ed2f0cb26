//! Services and who answers for them.

use super::{State, index};
use crate::destination_rule::Subset;
use crate::host::Host;
use crate::service::{Protocol, ServiceEntry, ServicePort};
use crate::workload::{Labels, Workload};

/// One instance of a service's port.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Endpoint<'a> {
    workload: &'a Workload,
    port: u16,
}

impl<'a> Endpoint<'a> {
    #[must_use]
    pub fn workload(&self) -> &'a Workload {
        self.workload
    }

    /// The number on which the instance listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// A port on which a workload listens, for a service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InboundPort<'a> {
    number: u16,
    service: &'a ServiceEntry,
    service_port: &'a ServicePort,
}

impl<'a> InboundPort<'a> {
    /// The workload's port.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.service_port.protocol()
    }

    #[must_use]
    pub fn service(&self) -> &'a ServiceEntry {
        self.service
    }

    #[must_use]
    pub fn service_port(&self) -> &'a ServicePort {
        self.service_port
    }
}

impl State {
    #[must_use]
    pub fn workload(&self, namespace: &str, name: &str) -> Option<&Workload> {
        index::named(&self.workloads, |workload| workload.key(), namespace, name)
    }

    /// The service of a name: the one that has exactly this host, else the one with the longest wildcard that covers it.
    #[must_use]
    pub fn service(&self, host: &Host) -> Option<&ServiceEntry> {
        let candidates = self.places_serving(host.as_str()).filter_map(|place| self.services.get(place));
        let covering = candidates.filter_map(|service| Some((covering(service.hosts(), host)?, service)));
        covering.max_by_key(|(host, _)| specificity(host)).map(|(_, service)| service)
    }

    /// The workloads that a service selects, or lists itself.
    #[must_use]
    pub fn instances<'a>(&'a self, service: &'a ServiceEntry) -> Vec<&'a Workload> {
        match service.workload_selector() {
            Some(selector) => {
                let places = self.places_labelled(service.key().namespace(), selector).iter();
                places.filter_map(|place| self.workloads.get(*place)).filter(|workload| selects(service, selector, workload)).collect()
            }
            None => service.endpoints().iter().collect(),
        }
    }

    /// Who answers for a service's port, or for one of its subsets. None where the name itself is to be resolved.
    #[must_use]
    pub fn endpoints<'a>(&'a self, service: &'a ServiceEntry, port: &ServicePort, subset: Option<&Subset>) -> Vec<Endpoint<'a>> {
        let chosen = |workload: &&Workload| subset.is_none_or(|subset| is_subset(subset.labels(), workload.labels()));
        self.instances(service)
            .into_iter()
            .filter(chosen)
            .map(|workload| Endpoint { workload, port: workload_port(workload, port) })
            .collect()
    }

    /// The ports on which a workload listens, by number and then by service. Two services may share one; its protocol is then the same.
    #[must_use]
    pub fn inbound_ports(&self, workload: &Workload) -> Vec<InboundPort<'_>> {
        let mut ports = Vec::new();
        let candidates = self.places_selecting(workload.namespace(), workload.labels());
        for service in candidates.into_iter().filter_map(|place| self.services.get(place)) {
            if service.workload_selector().is_some_and(|selector| selects(service, selector, workload)) {
                let inbound = |service_port| InboundPort { number: workload_port(workload, service_port), service, service_port };
                ports.extend(service.ports().iter().map(inbound));
            }
        }
        ports.sort_by(|a, b| {
            (a.number, a.service.key(), a.service_port.number()).cmp(&(b.number, b.service.key(), b.service_port.number()))
        });
        ports
    }
}

impl ServiceEntry {
    /// Whether a workload is an instance by its labels.
    #[must_use]
    pub fn selects(&self, workload: &Workload) -> bool {
        self.workload_selector().is_some_and(|selector| selects(self, selector, workload))
    }
}

/// Istio: the workload's own number for the port's name, else the service's target port.
pub(super) fn workload_port(workload: &Workload, port: &ServicePort) -> u16 {
    workload.ports().get(port.name()).copied().unwrap_or(port.target_port())
}

/// A selector chooses workloads of the service's own namespace.
pub(super) fn selects(service: &ServiceEntry, selector: &Labels, workload: &Workload) -> bool {
    service.key().namespace() == workload.namespace() && is_subset(selector, workload.labels())
}

/// Whether the labels that are asked for are all there.
pub(super) fn is_subset(wanted: &Labels, labels: &Labels) -> bool {
    wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
}

/// The most specific of `hosts` that covers `host`.
pub(super) fn covering<'a>(hosts: &'a [Host], host: &Host) -> Option<&'a Host> {
    hosts.iter().filter(|candidate| candidate.covers(host)).max_by_key(|candidate| specificity(candidate))
}

/// Exact names before wildcards, long wildcards before short ones.
pub(super) fn specificity(host: &Host) -> (bool, usize) {
    (!host.is_wildcard(), host.as_str().len())
}
