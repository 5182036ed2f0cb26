//! Which services nobody needs to be told of, because policy denies them every request: found by asking the policy itself, with everything but
//! the caller's identity and the port left open ([`decide_partially`]). What is not certain counts as allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use meshwright_config::{Address, Location, MtlsMode, ProxyScope, Resolution, ServiceEntry, State, Workload};
use meshwright_identity::SpiffeId;
use meshwright_policy::{
    Attribute, Authentication, Connection, Headers, HttpRequest, Knowledge, Metadata, Partially, Peer, Policy, Request, Verdict,
    decide_partially, wire,
};

use crate::workload_policy;

/// Of one state: by host, who answers for the services that all have policy in front of them. Made once, asked for each identity once.
pub struct Reach {
    guarded: BTreeMap<String, Vec<Door>>,
    denied: Mutex<BTreeMap<String, Arc<BTreeSet<String>>>>,
}

/// One port of one instance.
#[derive(Debug, Clone)]
struct Door {
    address: SocketAddr,
    policy: Arc<Policy>,
}

impl Reach {
    /// Of a mesh that tells every proxy everything nothing is found out.
    #[must_use]
    pub fn new(state: &State) -> Self {
        if state.mesh().is_none_or(|mesh| mesh.proxy_scope() == ProxyScope::Everything) {
            return Self { guarded: BTreeMap::new(), denied: Mutex::default() };
        }
        let mut policies = BTreeMap::new();
        let mut guarded = BTreeMap::new();
        for service in state.services() {
            if let Some(doors) = doors(state, service, &mut policies) {
                guarded.extend(service.hosts().iter().map(|host| (host.to_string(), doors.clone())));
            }
        }
        Self { guarded, denied: Mutex::default() }
    }

    /// The hosts of which every request of `identity` is certain to be denied.
    #[must_use]
    pub fn denied(&self, identity: &SpiffeId) -> Arc<BTreeSet<String>> {
        let mut known = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.entry(identity.to_string()).or_insert_with(|| {
            let closed = self.guarded.iter().filter(|(_, doors)| doors.iter().all(|door| door.is_closed_to(identity)));
            Arc::new(closed.map(|(host, _)| host.clone()).collect())
        });
        Arc::clone(found)
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach").field("guarded", &self.guarded.len()).finish_non_exhaustive()
    }
}

impl Door {
    fn is_closed_to(&self, identity: &SpiffeId) -> bool {
        let peer =
            Peer::Authenticated { uri_sans: vec![identity.to_string()], dns_sans: Vec::new(), subject: None, serial: Some(String::new()) };
        let connection = Connection {
            direct_ip: None,
            remote_ip: None,
            peer,
            sni: None,
            destination: Some(self.address),
            metadata: Metadata::default(),
        };
        let http = HttpRequest::new(Headers::default());
        let http = (self.policy.protocol() == wire::Protocol::Http).then_some(&http);
        let request = Request { connection: &connection, http, authentication: &Authentication::default() };
        let missing = |attribute: Attribute<'_>| !matches!(attribute, Attribute::Peer | Attribute::DestinationPort);
        match decide_partially(&self.policy, &request, Knowledge { missing: &missing, rules: &|_| None }) {
            Partially::Decided { decision, .. } => decision.verdict == Verdict::Deny,
            Partially::Undecided(_) => false,
        }
    }
}

/// All ports of all instances; none when one of them may be reached past its policy, or by somebody whose identity it does not know.
fn doors<'a>(
    state: &'a State,
    service: &'a ServiceEntry,
    policies: &mut BTreeMap<(&'a str, &'a str, bool), Arc<Policy>>,
) -> Option<Vec<Door>> {
    // Without a selector the instances are addresses, with no proxy of the mesh.
    if service.location() != Location::MeshInternal || service.resolution() != Resolution::Static || service.workload_selector().is_none() {
        return None;
    }
    let mut doors = Vec::new();
    for port in service.ports() {
        for instance in state.endpoints(service, port, None) {
            let (workload, number, http) = (instance.workload(), instance.port(), port.protocol().is_http());
            let Address::Ip(ip) = workload.address() else { return None };
            let strict = state.peer_authentication_mode(workload, number) == MtlsMode::Strict && workload.has_proxy();
            if !strict || serves_gateway(state, workload, number) {
                return None;
            }
            let policy = match policies.get(&(workload.namespace(), workload.name(), http)) {
                Some(policy) => Arc::clone(policy),
                None => {
                    let protocol = if http { wire::Protocol::Http } else { wire::Protocol::Tcp };
                    let made = Policy::from_json(workload_policy(state, workload, protocol).ok()?.as_bytes()).ok()?;
                    let made = Arc::new(made);
                    policies.insert((workload.namespace(), workload.name(), http), Arc::clone(&made));
                    made
                }
            };
            doors.push(Door { address: SocketAddr::new(*ip, number), policy });
        }
    }
    Some(doors).filter(|doors| !doors.is_empty())
}

/// There it takes calls from outside, too.
fn serves_gateway(state: &State, workload: &Workload, number: u16) -> bool {
    state.gateways_for(workload).iter().any(|gateway| gateway.servers().iter().any(|server| server.number() == number))
}
