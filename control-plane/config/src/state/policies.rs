//! Which policies hold for a workload.

use std::collections::BTreeSet;

use meshwright_policy::wire::MutualTls;

use super::State;
use super::index::range_of;
use super::topology::is_subset;
use crate::authorization_policy::AuthorizationPolicy;
use crate::gateway::GatewayServer;
use crate::key::DocumentKey;
use crate::peer_authentication::{MtlsMode, PeerAuthentication};
use crate::request_authentication::RequestAuthentication;
use crate::scope::Scope;
use crate::workload::Workload;

impl State {
    /// Those of the root namespace and of the workload's own whose selector chooses it, and those for a gateway that it serves. Nothing
    /// overrides anything: they hold together.
    #[must_use]
    pub fn authorization_for(&self, workload: &Workload) -> Vec<&AuthorizationPolicy> {
        let places = self.candidates(&self.authorization_policies, AuthorizationPolicy::key, self.targeted_policies(), workload);
        let candidates = places.into_iter().filter_map(|place| self.authorization_policies.get(place));
        candidates.filter(|policy| self.holds_for(policy.key(), policy.scope(), workload)).collect()
    }

    /// As [`State::authorization_for`].
    #[must_use]
    pub fn request_authentication_for(&self, workload: &Workload) -> Vec<&RequestAuthentication> {
        let places = self.candidates(&self.request_authentications, RequestAuthentication::key, self.targeted_tokens(), workload);
        let candidates = places.into_iter().filter_map(|place| self.request_authentications.get(place));
        candidates.filter(|rule| self.holds_for(rule.key(), rule.scope(), workload)).collect()
    }

    /// Places of the documents that may hold for a workload: of its namespace, of the root one, and those for gateways. In order.
    fn candidates<T>(&self, list: &[T], key: fn(&T) -> &DocumentKey, targeted: &[usize], workload: &Workload) -> Vec<usize> {
        let mut places: Vec<usize> = targeted.to_vec();
        places.extend(range_of(list, key, self.root_namespace()));
        places.extend(range_of(list, key, workload.namespace()));
        places.sort_unstable();
        places.dedup();
        places
    }

    pub(super) fn holds_for(&self, key: &DocumentKey, scope: &Scope, workload: &Workload) -> bool {
        let in_reach = key.namespace() == self.root_namespace() || key.namespace() == workload.namespace();
        match scope {
            Scope::Everyone => in_reach,
            Scope::Selected(wanted) => in_reach && is_subset(wanted, workload.labels()),
            Scope::Gateways(names) => self.gateways_for(workload).iter().any(|gateway| is_one_of(gateway.key(), key.namespace(), names)),
        }
    }

    /// What a workload takes on a port: the port's own mode, else the workload's, else the namespace's, else the mesh's, else both.
    /// Of several documents on one level the oldest counts.
    #[must_use]
    pub fn peer_authentication_mode(&self, workload: &Workload, port: u16) -> MtlsMode {
        let root = self.root_namespace();
        let is_own = workload.namespace() != root;
        let chosen = self.chosen(workload);
        let namespace = self.oldest(workload.namespace(), |policy| is_own && policy.selector().is_none());
        let mesh = self.oldest(root, |policy| policy.selector().is_none());
        let of_port = chosen.and_then(|policy| policy.port_modes().get(&port).copied().flatten());
        let levels = [of_port, mode(chosen), mode(namespace), mode(mesh)];
        levels.into_iter().flatten().next().unwrap_or(MtlsMode::Permissive)
    }

    /// On which ports of a workload a peer must show a certificate, as the policy filter has it. At a gateway's ports none does: who comes from
    /// outside has none of the mesh's.
    #[must_use]
    pub fn mutual_tls(&self, workload: &Workload) -> MutualTls {
        let is_strict = |port| self.peer_authentication_mode(workload, port) == MtlsMode::Strict;
        let outside: BTreeSet<u16> =
            self.gateways_for(workload).iter().flat_map(|gateway| gateway.servers()).map(GatewayServer::number).collect();
        // No document can be about port 0: it stands for all that none is about.
        let required = is_strict(0);
        let named = self.chosen(workload).into_iter().flat_map(|policy| policy.port_modes().keys().copied());
        let ports: BTreeSet<u16> = named.chain(outside.iter().copied()).collect();
        let except = ports.into_iter().filter(|port| required != (is_strict(*port) && !outside.contains(port))).collect();
        MutualTls { required, except }
    }

    /// The one whose selector chooses the workload.
    fn chosen(&self, workload: &Workload) -> Option<&PeerAuthentication> {
        let is_own = workload.namespace() != self.root_namespace();
        self.oldest(workload.namespace(), |policy| is_own && policy.selector().is_some_and(|wanted| is_subset(wanted, workload.labels())))
    }

    fn oldest(&self, namespace: &str, holds: impl Fn(&PeerAuthentication) -> bool) -> Option<&PeerAuthentication> {
        let of_namespace = self.peer_authentications.get(range_of(&self.peer_authentications, PeerAuthentication::key, namespace));
        of_namespace.unwrap_or_default().iter().filter(|policy| holds(policy)).min_by_key(|policy| policy.age())
    }

    pub(super) fn root_namespace(&self) -> &str {
        self.mesh().map_or(crate::mesh::DEFAULT_ROOT_NAMESPACE, |mesh| mesh.root_namespace())
    }
}

fn is_one_of(key: &DocumentKey, namespace: &str, names: &[String]) -> bool {
    key.namespace() == namespace && names.iter().any(|name| name == key.name())
}

fn mode(policy: Option<&PeerAuthentication>) -> Option<MtlsMode> {
    policy.and_then(PeerAuthentication::mode)
}
