//! The snapshots of all proxies, made of one state after the other. What a change does not touch is taken over from the state before: each
//! part has an account of what it is made of ([`changes`]), and is made anew when some of that differs. That the accounts are complete is
//! what `tests/translator.rs` is for: after any edit, each snapshot is what [`crate::translate`] makes from nothing.

mod changes;
mod scopes;
mod shared;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use meshwright_config::{ProxyScope, State};
use meshwright_xds::{Base, Resource, Snapshot};
use rustc_hash::FxHashMap;

use crate::catalog::Catalog;
use crate::plugins::{Plugins, Policies};
use crate::proxy::{MeshInputs, Proxy, View};
use crate::reach::Reach;
use crate::resources::Resources;
use crate::scope::{Scope, is_scoped};
use crate::translator::changes::Changes;
use crate::translator::scopes::{ScopeId, Scopes};
use crate::translator::shared::Shared;
use crate::{TranslateError, add_own, outbound};

/// See the module. A copy goes its own way, and shares what is made already.
#[derive(Debug, Clone)]
pub struct Translator {
    now: Generation,
    /// Of before the last change, until what is still wanted of it is taken over.
    last: Option<(Generation, Changes)>,
    scopes: Scopes,
}

/// What was made of one state.
#[derive(Debug, Clone)]
struct Generation {
    state: Arc<State>,
    inputs: MeshInputs,
    reach: Arc<Reach>,
    /// By namespace, or under none what is the same for all namespaces without rules for others.
    shared: BTreeMap<Option<String>, Shared>,
    routes: HashMap<RoutesKey, Arc<Resource>>,
    policies: Policies,
    own: FxHashMap<Arc<str>, Box<Own>>,
}

/// Namespace, scope, whether unknown hosts are called too, and the listener's address.
type RoutesKey = (String, ScopeId, bool, SocketAddr);

/// One proxy's.
#[derive(Debug, Clone)]
struct Own {
    proxy: Proxy,
    /// Under which its base is, see [`Generation::shared`].
    shared: Option<String>,
    /// Nothing of its own is made of other workloads than its own, nor is its scope.
    is_plain: bool,
    scope: (ScopeId, Arc<Scope>),
    resources: Vec<Arc<Resource>>,
    snapshot: Arc<Snapshot>,
}

impl Generation {
    fn new(state: Arc<State>, inputs: MeshInputs) -> Self {
        let reach = Arc::new(Reach::new(&state));
        Self {
            state,
            inputs,
            reach,
            shared: BTreeMap::new(),
            routes: HashMap::new(),
            policies: Policies::default(),
            own: FxHashMap::default(),
        }
    }
}

impl Translator {
    #[must_use]
    pub fn new(state: Arc<State>, inputs: MeshInputs) -> Self {
        Self { now: Generation::new(state, inputs), last: None, scopes: Scopes::default() }
    }

    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.now.state
    }

    #[must_use]
    pub fn inputs(&self) -> &MeshInputs {
        &self.now.inputs
    }

    /// From now on snapshots are of this.
    pub fn change(&mut self, state: Arc<State>, inputs: MeshInputs) {
        let last = std::mem::replace(&mut self.now, Generation::new(state, inputs));
        let changes = Changes::between(&last.state, &last.inputs, &self.now.state, &self.now.inputs);
        self.now.own.reserve(last.own.len());
        if !changes.concern_routes() {
            self.now.routes.clone_from(&last.routes);
        }
        self.last = Some((last, changes));
    }

    /// Nothing more is taken over: of the proxies that were not asked for since the change nothing is kept.
    pub fn settle(&mut self) {
        self.last = None;
        let used: BTreeSet<ScopeId> = self.now.own.values().map(|own| own.scope.0).collect();
        self.scopes.retain(|id| used.contains(&id));
        self.now.routes.retain(|(_, id, ..), _| used.contains(id));
    }

    /// What `proxy` should hold; the same `Arc` as before where that did not change.
    ///
    /// # Errors
    /// As [`crate::translate`], and when its parts do not fit together.
    pub fn snapshot(&mut self, proxy: &Proxy) -> Result<Arc<Snapshot>, TranslateError> {
        if let Some(own) = self.now.own.get(proxy.node_id()).filter(|own| own.proxy == *proxy) {
            return Ok(Arc::clone(&own.snapshot));
        }
        if let Some(snapshot) = self.with_other_instances(proxy)? {
            return Ok(snapshot);
        }
        let state = Arc::clone(&self.now.state);
        let view = View::new(&state, proxy)?;
        let scope = self.scope(&view)?;
        let base = self.base(&view, &scope)?;
        let routes = view.metadata.outbound_address.map(|address| self.routes(&view, &scope, address)).transpose()?;
        let before = self.last.as_ref().and_then(|(last, changes)| {
            let own = last.own.get(proxy.node_id()).filter(|own| own.proxy == *proxy)?;
            (!changes.concern(&last.state, &view)).then_some(&**own)
        });
        let has_routes = |own: &&Own| routes.iter().all(|routes| own.resources.iter().any(|found| Arc::ptr_eq(found, routes)));
        // Where a TCP service is not told of, the proxy has a cluster of its own in its place.
        let fits = |own: &&Own| view.metadata.tcp.is_empty() || own.scope.0 == scope.0;
        let shared = shared::has_own_rules(&view.callers()).then(|| view.namespace().to_owned());
        let is_plain = view.mesh.proxy_scope() == ProxyScope::Everything && state.gateways_for(view.workload).is_empty();
        let own = match before.filter(has_routes).filter(fits) {
            Some(own) => Own { snapshot: Snapshot::rebased(&own.snapshot, &base)?, shared, is_plain, scope, ..Own::clone(own) },
            None => {
                let mut resources = Resources::beside(Arc::clone(&base), routes);
                let plugins = Plugins::shared(&view, &self.now.inputs.key_sets, &mut self.now.policies)?;
                // Routes are made already: only a gateway's need the services once more.
                let is_gateway = !state.gateways_for(view.workload).is_empty();
                let catalog = if is_gateway { Catalog::new(&view.callers()) } else { Catalog::default() };
                add_own(&view, &catalog, &plugins, &mut resources)?;
                let resources = resources.finish_shared();
                let snapshot = Arc::new(Snapshot::with_base(base, resources.iter().cloned())?);
                // A rebuild that comes to the same must not look like a change.
                let same = self.last.as_ref().and_then(|(last, _)| last.own.get(proxy.node_id())).filter(|own| own.snapshot == snapshot);
                Own {
                    proxy: proxy.clone(),
                    shared,
                    is_plain,
                    scope,
                    resources,
                    snapshot: same.map_or(snapshot, |own| Arc::clone(&own.snapshot)),
                }
            }
        };
        let snapshot = Arc::clone(&own.snapshot);
        self.now.own.insert(Arc::clone(proxy.shared_node_id()), Box::new(own));
        Ok(snapshot)
    }

    /// The short way for nearly all proxies where nearly all edits are: instances of services came and went, none of which is the proxy's own
    /// workload. None where that is not so, or where what its namespace is told is not made yet.
    fn with_other_instances(&mut self, proxy: &Proxy) -> Result<Option<Arc<Snapshot>>, TranslateError> {
        let Some((last, changes)) = &mut self.last else { return Ok(None) };
        let Some(is_changed) = changes.of_workloads_alone() else { return Ok(None) };
        let metadata = proxy.metadata();
        let Some(own) = last.own.get(proxy.node_id()).filter(|own| own.is_plain && own.proxy.is(proxy)) else { return Ok(None) };
        if is_changed(&metadata.namespace, &metadata.workload) {
            return Ok(None);
        }
        let Some(shared) = self.now.shared.get_mut(&own.shared) else { return Ok(None) };
        let base = shared.base(own.scope.0, &own.scope.1, last.shared.get(&own.shared))?;
        let snapshot = Snapshot::rebased(&own.snapshot, &base)?;
        if let Some((node, mut own)) = last.own.remove_entry(proxy.node_id()) {
            own.snapshot = Arc::clone(&snapshot);
            self.now.own.insert(node, own);
        }
        Ok(Some(snapshot))
    }

    /// What the proxy is told of.
    fn scope(&mut self, view: &View<'_>) -> Result<(ScopeId, Arc<Scope>), TranslateError> {
        if !is_scoped(view) {
            return Ok(self.scopes.intern(Scope::default()));
        }
        let before = self.last.as_ref().filter(|(last, changes)| !changes.concern_scope(&last.state, view));
        let node = meshwright_envoy_config::names::node_id(view.namespace(), view.workload.name());
        match before.and_then(|(last, _)| last.own.get(node.as_str())) {
            Some(own) => Ok(own.scope.clone()),
            None => Ok(self.scopes.intern(Scope::new(view, &self.now.reach)?)),
        }
    }

    fn base(&mut self, view: &View<'_>, (id, scope): &(ScopeId, Arc<Scope>)) -> Result<Arc<Base>, TranslateError> {
        let key = shared::has_own_rules(&view.callers()).then(|| view.namespace().to_owned());
        let last = self.last.as_ref().and_then(|(last, changes)| Some((last.shared.get(&key)?, last.state.as_ref(), changes)));
        let shared = match self.now.shared.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(Shared::new(&view.callers(), &self.now.inputs, last)?),
        };
        shared.base(*id, scope, last.map(|(last, ..)| last))
    }

    /// The outbound routes of all proxies for which they are the same.
    fn routes(
        &mut self,
        view: &View<'_>,
        (id, scope): &(ScopeId, Arc<Scope>),
        address: SocketAddr,
    ) -> Result<Arc<Resource>, TranslateError> {
        let any_host = outbound::takes_any_host(view);
        let key = (view.namespace().to_owned(), *id, any_host, address);
        if let Some(routes) = self.now.routes.get(&key) {
            return Ok(Arc::clone(routes));
        }
        let last = self.last.as_ref().filter(|(_, changes)| !changes.concern_routes()).and_then(|(last, _)| last.routes.get(&key));
        let routes = match last {
            Some(routes) => Arc::clone(routes),
            None => {
                let callers = view.callers();
                let catalog = Catalog::new(&callers);
                let mut resources = Resources::default();
                resources.routes(&outbound::routes(&callers, &catalog, scope, any_host, address)?);
                let made = resources.finish_shared().pop().ok_or(TranslateError::NoMesh)?;
                let before = self.last.as_ref().and_then(|(last, _)| last.routes.get(&key)).filter(|before| **before == made);
                before.map_or(made, Arc::clone)
            }
        };
        self.now.routes.insert(key, Arc::clone(&routes));
        Ok(routes)
    }
}
