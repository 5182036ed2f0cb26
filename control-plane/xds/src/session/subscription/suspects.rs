//! What was refused together, tried in parts.

use std::sync::Arc;

use super::Subscription;
use crate::resource::Identity;
use crate::{Resource, Snapshot};

impl Subscription {
    /// Halves what was refused together until the guilty stand alone: the others must not wait for their next change. Where a response is
    /// the full state there is no part to be tried.
    pub(super) fn suspect(&mut self, versions: &[Arc<Identity>]) {
        if versions.len() < 2 || self.is_full_state() {
            return;
        }
        let (left, right) = versions.split_at(versions.len() / 2);
        self.suspects.extend([right.to_vec(), left.to_vec()]);
    }

    /// The next group that is still what was refused; what changed meanwhile is due by itself.
    pub(super) fn next_suspects(&mut self, snapshot: &Snapshot) -> Vec<Arc<Resource>> {
        while let Some(group) = self.suspects.pop() {
            let is_refused = |it: &Identity| self.refused.get(&it.name).is_some_and(|refused| *refused == it.version);
            let wanted = group.iter().filter(|it| self.interest.contains(&it.name) && is_refused(it));
            let current =
                wanted.filter_map(|it| snapshot.get(self.kind, &it.name).filter(|resource| resource.shared_version() == &it.version));
            let suspects: Vec<Arc<Resource>> = current.cloned().collect();
            if !suspects.is_empty() {
                return suspects;
            }
        }
        Vec::new()
    }
}
