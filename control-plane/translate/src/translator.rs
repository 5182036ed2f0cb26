//! The snapshots of all proxies, made of one state after the other. What a change does not touch is taken over from the state before: each
//! part has an account of what it is made of ([`changes`]), and is made anew when some of that differs. That the accounts are complete is
//! what `tests/translator.rs` is for: after any edit, each snapshot is what [`crate::translate`] makes from nothing.

mod changes;
mod shared;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use meshwright_config::State;
use meshwright_xds::{Resource, Snapshot};

use crate::catalog::Catalog;
use crate::plugins::{Plugins, Policies};
use crate::proxy::{MeshInputs, Proxy, View};
use crate::resources::Resources;
use crate::translator::changes::Changes;
use crate::translator::shared::Shared;
use crate::{TranslateError, add_own};

/// See the module. A copy goes its own way, and shares what is made already.
#[derive(Debug, Clone)]
pub struct Translator {
    now: Generation,
    /// Of before the last change, until what is still wanted of it is taken over.
    last: Option<(Generation, Changes)>,
}

/// What was made of one state.
#[derive(Debug, Clone)]
struct Generation {
    state: Arc<State>,
    inputs: MeshInputs,
    /// By namespace, or under none what is the same for all namespaces without rules for others.
    shared: BTreeMap<Option<String>, Shared>,
    routes: HashMap<(String, SocketAddr), Arc<Resource>>,
    policies: Policies,
    own: HashMap<String, Own>,
}

/// One proxy's.
#[derive(Debug, Clone)]
struct Own {
    proxy: Proxy,
    resources: Vec<Arc<Resource>>,
    snapshot: Arc<Snapshot>,
}

impl Generation {
    fn new(state: Arc<State>, inputs: MeshInputs) -> Self {
        Self { state, inputs, shared: BTreeMap::new(), routes: HashMap::new(), policies: Policies::default(), own: HashMap::new() }
    }
}

impl Translator {
    #[must_use]
    pub fn new(state: Arc<State>, inputs: MeshInputs) -> Self {
        Self { now: Generation::new(state, inputs), last: None }
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
        self.last = Some((last, changes));
    }

    /// Nothing more is taken over: of the proxies that were not asked for since the change nothing is kept.
    pub fn settle(&mut self) {
        self.last = None;
    }

    /// What `proxy` should hold; the same `Arc` as before where that did not change.
    ///
    /// # Errors
    /// As [`crate::translate`], and when its parts do not fit together.
    pub fn snapshot(&mut self, proxy: &Proxy) -> Result<Arc<Snapshot>, TranslateError> {
        if let Some(own) = self.now.own.get(proxy.node_id()).filter(|own| own.proxy == *proxy) {
            return Ok(Arc::clone(&own.snapshot));
        }
        let state = Arc::clone(&self.now.state);
        let view = View::new(&state, proxy)?;
        let base = Arc::clone(self.shared(&view)?.base());
        let routes = view.metadata.outbound_address.map(|address| self.routes(&view, address)).transpose()?;
        let before = self.last.as_ref().and_then(|(last, changes)| {
            let own = last.own.get(proxy.node_id()).filter(|own| own.proxy == *proxy)?;
            (!changes.concern(&last.state, &view)).then_some(own)
        });
        let has_routes = |own: &&Own| routes.iter().all(|routes| own.resources.iter().any(|found| Arc::ptr_eq(found, routes)));
        let own = match before.filter(has_routes) {
            Some(own) => Own { snapshot: Snapshot::rebased(&own.snapshot, &base)?, ..own.clone() },
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
                Own { proxy: proxy.clone(), resources, snapshot: same.map_or(snapshot, |own| Arc::clone(&own.snapshot)) }
            }
        };
        let snapshot = Arc::clone(&own.snapshot);
        self.now.own.insert(proxy.node_id().to_owned(), own);
        Ok(snapshot)
    }

    fn shared(&mut self, view: &View<'_>) -> Result<&Shared, TranslateError> {
        let key = shared::has_own_rules(&view.callers()).then(|| view.namespace().to_owned());
        if !self.now.shared.contains_key(&key) {
            let last = self.last.as_ref().and_then(|(last, changes)| Some((last.shared.get(&key)?, last.state.as_ref(), changes)));
            let made = Shared::new(&view.callers(), &self.now.inputs.trust_bundle_pem, last)?;
            self.now.shared.insert(key.clone(), made);
        }
        self.now.shared.get(&key).ok_or(TranslateError::NoMesh)
    }

    /// The outbound routes of a namespace.
    fn routes(&mut self, view: &View<'_>, address: SocketAddr) -> Result<Arc<Resource>, TranslateError> {
        let key = (view.namespace().to_owned(), address);
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
                resources.routes(&crate::outbound::routes(&callers, &catalog, address)?);
                let made = resources.finish_shared().pop().ok_or(TranslateError::NoMesh)?;
                let before = self.last.as_ref().and_then(|(last, _)| last.routes.get(&key)).filter(|before| **before == made);
                before.map_or(made, Arc::clone)
            }
        };
        self.now.routes.insert(key, Arc::clone(&routes));
        Ok(routes)
    }
}
