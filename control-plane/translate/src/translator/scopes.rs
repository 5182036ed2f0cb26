//! What proxies are told of, each kept once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::scope::Scope;

/// The same for equal scopes, also after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ScopeId(u64);

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Scopes {
    known: HashMap<Arc<Scope>, ScopeId>,
    next: u64,
}

impl Scopes {
    pub(super) fn intern(&mut self, scope: Scope) -> (ScopeId, Arc<Scope>) {
        if let Some((scope, id)) = self.known.get_key_value(&scope) {
            return (*id, Arc::clone(scope));
        }
        let (id, scope) = (ScopeId(self.next), Arc::new(scope));
        self.next = self.next.saturating_add(1);
        self.known.insert(Arc::clone(&scope), id);
        (id, scope)
    }

    /// Forgets those that nobody has any more.
    pub(super) fn retain(&mut self, is_used: impl Fn(ScopeId) -> bool) {
        self.known.retain(|_, id| is_used(*id));
    }
}
