//! The edit that a mesh sees most: instances of services come and move. It is taken into a state without looking at all the documents again,
//! where it is certain that none of them says anything against it.

use super::State;
use crate::workload::Workload;

impl State {
    /// This state with these workloads added, or in the place of those with their keys. None where a document may contradict: what the checks
    /// of a whole state ask of a workload is answered by another one that is like it but for its name and its place, and no two are in one
    /// place.
    #[must_use]
    pub fn with_instances(&self, workloads: &[Workload]) -> Option<Self> {
        let mut state = Self { index: self.index.without_workloads(), ..self.clone() };
        for workload in workloads {
            let place = state.workloads.binary_search_by(|other| other.key().cmp(workload.key()));
            let is_known = match place.ok().and_then(|at| state.workloads.get(at)) {
                Some(before) if !before.is_like(workload) => return None,
                before => before.is_some(),
            };
            let alike = || self.places_labelled(workload.namespace(), workload.labels()).iter().filter_map(|at| self.workloads.get(*at));
            if !is_known && !alike().any(|other| other.is_like(workload)) {
                return None;
            }
            if state.workloads.iter().any(|other| other.address() == workload.address() && other.key() != workload.key()) {
                return None;
            }
            match place {
                Ok(at) => *state.workloads.get_mut(at)? = workload.clone(),
                Err(at) => state.workloads.insert(at, workload.clone()),
            }
        }
        Some(state)
    }
}
