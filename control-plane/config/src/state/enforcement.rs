//! What becomes of each policy on each port of the workloads that it is for.

use std::collections::BTreeSet;

use super::State;
use crate::authorization_policy::AuthorizationPolicy;
use crate::enforcement::{Enforcement, PolicyPort, enforcement};
use crate::gateway::GatewayServer;
use crate::key::DocumentKey;
use crate::peer_authentication::MtlsMode;
use crate::workload::Workload;

/// What becomes of one rule on one port.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleOnPort<'a> {
    pub policy: &'a AuthorizationPolicy,
    /// From 0.
    pub rule: usize,
    pub workload: &'a Workload,
    pub port: PolicyPort,
    pub enforcement: Enforcement,
}

impl State {
    /// The ports on which a workload's proxy enforces policy, as far as the documents tell: those of its services and of its gateways. A
    /// port that a sidecar serves and no service has is TCP.
    #[must_use]
    pub fn policy_ports(&self, workload: &Workload) -> Vec<PolicyPort> {
        // Who comes from outside has no identity of the mesh, whatever certificate he shows.
        let outside = |server: &GatewayServer| PolicyPort { number: server.number(), http: !server.passes_through(), mutual_tls: false };
        let mut ports: Vec<PolicyPort> = self.gateways_for(workload).iter().flat_map(|gateway| gateway.servers()).map(outside).collect();
        // What a gateway serves is not served by a sidecar too.
        let taken: BTreeSet<u16> = ports.iter().map(|port| port.number).collect();
        for port in self.inbound_ports(workload).into_iter().filter(|port| !taken.contains(&port.number())) {
            ports.push(self.policy_port(workload, port.number(), port.protocol().is_http()));
        }
        ports.sort_by_key(|port| (port.number, !port.http));
        // A gateway's port may have both: requests where TLS ends, connections where it passes through.
        ports.dedup_by_key(|port| (port.number, port.http));
        ports
    }

    /// A port in front of the workload's app.
    #[must_use]
    pub fn policy_port(&self, workload: &Workload, number: u16, http: bool) -> PolicyPort {
        PolicyPort { number, http, mutual_tls: self.peer_authentication_mode(workload, number) != MtlsMode::Disable }
    }

    /// For asking about many policies.
    #[must_use]
    pub fn enforcements(&self) -> Enforcements<'_> {
        Enforcements { state: self, ports: self.workloads().iter().map(|workload| (workload, self.policy_ports(workload))).collect() }
    }

    /// The services that say what is spoken on a workload's port.
    pub(crate) fn services_on(&self, workload: &Workload, number: u16) -> Vec<DocumentKey> {
        let ports = self.inbound_ports(workload).into_iter().filter(|port| port.number() == number);
        let mut keys: Vec<DocumentKey> = ports.map(|port| port.service().key().clone()).collect();
        keys.dedup();
        keys
    }
}

/// The ports of every workload, looked up once.
#[derive(Debug)]
pub struct Enforcements<'a> {
    state: &'a State,
    ports: Vec<(&'a Workload, Vec<PolicyPort>)>,
}

impl<'a> Enforcements<'a> {
    /// Every rule of a policy on every port that it is for.
    #[must_use]
    pub fn of(&self, policy: &'a AuthorizationPolicy) -> Vec<RuleOnPort<'a>> {
        let chosen = self.ports.iter().filter(|(workload, _)| self.state.holds_for(policy.key(), policy.scope(), workload));
        let ports = chosen.flat_map(|(workload, ports)| ports.iter().map(|port| (*workload, *port)));
        let rules = |(workload, port): (&'a Workload, PolicyPort)| {
            policy.wire().rules.iter().enumerate().map(move |(rule, wire)| RuleOnPort {
                policy,
                rule,
                workload,
                port,
                enforcement: enforcement(policy.wire().action, wire, port),
            })
        };
        ports.flat_map(rules).collect()
    }
}
