//! The services that a proxy can call, by host.

use std::collections::BTreeMap;

use meshwright_config::{DestinationRule, Host, ServiceEntry, ServicePort};

use crate::proxy::Callers;

/// Every host of every ServiceEntry.
#[derive(Debug, Default)]
pub(crate) struct Catalog<'a> {
    services: BTreeMap<&'a str, Service<'a>>,
}

/// One host: a ServiceEntry with two is two services.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service<'a> {
    pub(crate) host: &'a Host,
    pub(crate) entry: &'a ServiceEntry,
    /// The DestinationRule that holds for this proxy.
    pub(crate) rule: Option<&'a DestinationRule>,
}

impl<'a> Catalog<'a> {
    pub(crate) fn new(callers: &Callers<'a>) -> Self {
        Self::of(callers, |_| true)
    }

    /// Of the hosts that are asked for.
    pub(crate) fn of(callers: &Callers<'a>, is_wanted: impl Fn(&Host) -> bool) -> Self {
        let mut services = BTreeMap::new();
        for entry in callers.state.services() {
            for host in entry.hosts().iter().filter(|host| is_wanted(host)) {
                // One host in two entries: the first by name, whatever the order in which they were read.
                services.entry(host.as_str()).or_insert_with(|| Service {
                    host,
                    entry,
                    rule: callers.state.destination_rule_for(host, callers.namespace),
                });
            }
        }
        Self { services }
    }

    /// By host.
    pub(crate) fn services(&self) -> impl Iterator<Item = &Service<'a>> {
        self.services.values()
    }

    pub(crate) fn get(&self, host: &str) -> Option<&Service<'a>> {
        self.services.get(host)
    }
}

impl<'a> Service<'a> {
    pub(crate) fn host(&self) -> &'a str {
        self.host.as_str()
    }

    pub(crate) fn ports(&self) -> &'a [ServicePort] {
        self.entry.ports()
    }

    pub(crate) fn port(&self, number: u16) -> Option<&'a ServicePort> {
        self.ports().iter().find(|port| port.number() == number)
    }

    /// The port that a destination means when it names none: the caller's if the service has it, else the service's only one.
    pub(crate) fn implied_port(&self, called: u16) -> Option<u16> {
        if self.port(called).is_some() {
            return Some(called);
        }
        match self.ports() {
            [only] => Some(only.number()),
            _ => None,
        }
    }
}
