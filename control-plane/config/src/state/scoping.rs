//! Which Sidecar document holds for a workload, and the mesh as it would be without any.

use super::State;
use super::index::range_of;
use super::topology::is_subset;
use crate::mesh::ProxyScope;
use crate::sidecar::Sidecar;
use crate::workload::Workload;

impl State {
    /// This state without Sidecar documents, and with every proxy told everything: to compare with.
    #[must_use]
    pub fn unscoped(&self) -> Self {
        let mut state = self.clone();
        state.sidecars.clear();
        if let Some(mesh) = &mut state.mesh {
            mesh.proxy_scope = ProxyScope::Everything;
        }
        state
    }

    /// One that selects the workload, else that of its namespace, else that of the root namespace; of several that select it the oldest. None
    /// for a workload that serves a Gateway: Istio's do not hold there either.
    #[must_use]
    pub fn sidecar_for(&self, workload: &Workload) -> Option<&Sidecar> {
        if self.sidecars.is_empty() || !self.gateways_for(workload).is_empty() {
            return None;
        }
        let of = |namespace: &str, selected: bool| {
            let found = self.sidecars.get(range_of(&self.sidecars, Sidecar::key, namespace)).unwrap_or_default();
            let chosen = found.iter().filter(|sidecar| match sidecar.selector() {
                Some(wanted) => selected && is_subset(wanted, workload.labels()),
                None => !selected,
            });
            chosen.min_by_key(|sidecar| sidecar.age())
        };
        let own = workload.namespace();
        of(own, true).or_else(|| of(own, false)).or_else(|| of(self.root_namespace(), false))
    }
}
