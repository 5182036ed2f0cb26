//! What differs between two states, and what that concerns.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use itertools::EitherOrBoth::Both;
use itertools::Itertools as _;
use meshwright_config::{ProxyScope, State, Workload};

use crate::proxy::{MeshInputs, View};

/// By namespace, their names.
type Workloads = HashMap<String, HashSet<String>>;

/// Which parts of a state, or of what goes with it, are not what they were.
#[derive(Debug, Clone)]
pub(super) struct Changes {
    mesh: bool,
    inputs: bool,
    services: bool,
    /// Those that came, went or are others.
    workloads: Arc<Workloads>,
    authorization: bool,
    tokens: bool,
    peer: bool,
    rules: bool,
    routes: bool,
    gateways: bool,
    sidecars: bool,
    credentials: bool,
    denied: bool,
}

impl Changes {
    pub(super) fn between(old: &State, old_inputs: &MeshInputs, new: &State, new_inputs: &MeshInputs) -> Self {
        Self {
            mesh: old.mesh() != new.mesh(),
            inputs: old_inputs != new_inputs,
            services: old.services() != new.services(),
            workloads: Arc::new(differing(old.workloads(), new.workloads())),
            authorization: old.authorization_policies() != new.authorization_policies(),
            tokens: old.request_authentications() != new.request_authentications(),
            peer: old.peer_authentications() != new.peer_authentications(),
            rules: old.destination_rules() != new.destination_rules(),
            routes: old.virtual_services() != new.virtual_services(),
            gateways: old.gateways() != new.gateways(),
            sidecars: old.sidecars() != new.sidecars(),
            credentials: old.credentials() != new.credentials(),
            denied: old.deny_lists() != new.deny_lists(),
        }
    }

    /// Where nothing but workloads has changed, as instances come and go: the question whether this one has.
    pub(super) fn of_workloads_alone(&self) -> Option<impl Fn(&str, &str) -> bool + use<>> {
        let Self { mesh, inputs, services, workloads, authorization, tokens, peer, rules, routes, gateways, sidecars, credentials, denied } =
            self;
        let others = [mesh, inputs, services, authorization, tokens, peer, rules, routes, gateways, sidecars, credentials, denied];
        if others.into_iter().any(|changed| *changed) {
            return None;
        }
        let workloads = Arc::clone(workloads);
        Some(move |namespace: &str, name: &str| workloads.get(namespace).is_some_and(|names| names.contains(name)))
    }

    /// The workloads that differ, as they were and as they are.
    pub(super) fn workloads<'a>(&self, old: &'a State, new: &'a State) -> Vec<&'a Workload> {
        let names = self.workloads.iter().flat_map(|(namespace, names)| names.iter().map(move |name| (namespace, name)));
        names.flat_map(|(namespace, name)| [old.workload(namespace, name), new.workload(namespace, name)]).flatten().collect()
    }

    /// Whether a proxy's own resources may be others: its listeners, its policy and its app's clusters. They are made of its workload, the
    /// ports that services give it, the policies and modes that hold for it, the mesh, and for TCP services whether there are such.
    pub(super) fn concern(&self, old: &State, view: &View<'_>) -> bool {
        if self.mesh || self.inputs || self.peer || self.gateways || self.sidecars || self.denied {
            return true;
        }
        let (new, workload) = (view.state, view.workload);
        let Some(before) = old.workload(workload.namespace(), workload.name()) else { return true };
        // What a gateway serves is made of routes, rules and credentials too.
        let serves = || !new.gateways_for(workload).is_empty() || !old.gateways_for(before).is_empty();
        (!self.workloads.is_empty() && before != workload)
            || (self.services && (!view.metadata.tcp.is_empty() || old.inbound_ports(before) != new.inbound_ports(workload)))
            || (self.authorization && old.authorization_for(before) != new.authorization_for(workload))
            || (self.tokens && old.request_authentication_for(before) != new.request_authentication_for(workload))
            || serves()
    }

    /// Whether what a proxy is told of may be other: that is made of its labels, the `Sidecar` documents, the mesh, and the hosts and routes of
    /// all services; and, where only what policy allows is told, of all that decides.
    pub(super) fn concern_scope(&self, old: &State, view: &View<'_>) -> bool {
        let decides = !self.workloads.is_empty() || self.authorization || self.tokens || self.peer || self.inputs || self.denied;
        let before = old.workload(view.workload.namespace(), view.workload.name());
        self.mesh
            || self.services
            || self.routes
            || self.gateways
            || self.sidecars
            || before != Some(view.workload)
            || (decides && view.mesh.proxy_scope() == ProxyScope::Allowed)
    }

    /// Whether outbound routes may be others, for the same scope: they are made of all services, all VirtualServices and the mesh.
    pub(super) fn concern_routes(&self) -> bool {
        self.mesh || self.services || self.routes
    }

    /// Whether the clusters of every service may be others: all are made of the mesh, of the modes of its ports and of who is
    /// denied.
    pub(super) fn concern_all_clusters(&self) -> bool {
        self.mesh || self.peer || self.denied
    }
}

/// Both are in the order of keys.
fn differing(old: &[Workload], new: &[Workload]) -> Workloads {
    let pairs = old.iter().merge_join_by(new, |old, new| old.key().cmp(new.key()));
    let mut differing = Workloads::new();
    for workload in pairs.filter(|pair| !matches!(pair, Both(old, new) if old == new)).map(|pair| pair.reduce(|_, new| new)) {
        differing.entry(workload.namespace().to_owned()).or_default().insert(workload.name().to_owned());
    }
    differing
}
