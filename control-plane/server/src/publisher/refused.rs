//! What follows when a proxy refuses something: see [`crate::refusals`].

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};

use meshwright_config::{DocumentKey, Kind};
use meshwright_sources::Loaded;
use meshwright_translate::{Proxy, Translator, translate};
use meshwright_xds::{ResourceType, Snapshot};

use super::{Inner, Publisher, Target};
use crate::receipts::footprint::ResourceKey;
use crate::refusals::{self, Refusals, SUSPECTS, Suspect};

impl Publisher {
    /// A proxy has refused one resource, of which it holds another version: the documents that have changed it since are put back for it.
    pub(crate) fn refused(&self, node: &str, resource: &ResourceKey, message: &str) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let Some(target) = inner.targets.get(node) else { return };
        // Who is denied stays denied: no deny list is put back.
        let is_suspect = |key: &DocumentKey| key.kind() != Kind::IdentityDenyList;
        let changed = inner.ledger.changed().filter(|(key, _)| is_suspect(key));
        let changed = changed.filter(|(_, entry)| self.board.changed_since_held(node, resource, entry.revision));
        let refusals = inner.refusals.get(node);
        let changed = changed.take(SUSPECTS).map(|(key, entry)| Suspect {
            key: key.clone(),
            version: inner.loaded.in_force().get(key).map(|found| found.version().to_owned()),
            last_good: refusals.and_then(|refusals| refusals.last_good(key)).unwrap_or_else(|| entry.before.clone()),
        });
        let suspects: Vec<Suspect> = changed.filter(|suspect| inner.matters(target, resource, suspect)).collect();
        for suspect in &suspects {
            tracing::error!(node, document = %suspect.key, "the proxy may refuse this document: it keeps the last good version of it");
        }
        if inner.refusals.entry(node.to_owned()).or_default().blame(resource, message, suspects) {
            self.bring_up_to_date(guard, node);
        }
    }

    /// A proxy has taken these resources.
    pub(crate) fn taken<'a>(&self, node: &str, kind: ResourceType, names: impl Iterator<Item = &'a str>) {
        let mut inner = self.lock();
        let Some(refusals) = inner.refusals.get_mut(node) else { return };
        // None of them is passed over: each may be why something is kept.
        let changed = names.filter(|name| refusals.acquit(&(kind, (*name).to_owned()))).count();
        if changed > 0 {
            self.bring_up_to_date(inner, node);
        }
    }

    fn bring_up_to_date(&self, mut inner: MutexGuard<'_, Inner>, node: &str) {
        inner.refusals.retain(|_, refusals| !refusals.is_empty());
        let refused = inner.refusals.get(node).map(|refusals| refusals.status());
        self.board.set_refused(node, refused);
        let inner = &mut *inner;
        let Some(target) = inner.targets.get(node) else { return };
        match snapshot(&mut inner.translator, &inner.refusals, &inner.loaded, node, &target.proxy) {
            Ok(snapshot) => {
                self.board.set_target(target.place, inner.revision, None, Arc::clone(&snapshot));
                target.send(snapshot);
            }
            Err(error) => self.board.set_error(target.place, error),
        }
    }
}

/// What a proxy is to hold.
pub(super) fn snapshot(
    translator: &mut Translator,
    refusals: &BTreeMap<String, Refusals>,
    loaded: &Loaded,
    node: &str,
    proxy: &Proxy,
) -> Result<Arc<Snapshot>, String> {
    let Some(state) = refusals.get(node).filter(|refusals| refusals.keeps_any()).and_then(|refusals| refusals.state(loaded.in_force()))
    else {
        return translator.snapshot(proxy).map_err(|error| error.to_string());
    };
    let resources = translate(&state, proxy, translator.inputs()).map_err(|error| error.to_string())?;
    Ok(Arc::new(Snapshot::build(resources).map_err(|error| error.to_string())?))
}

impl Inner {
    /// Whether the resource would be another without the document's last change.
    fn matters(&self, target: &Target, (kind, name): &ResourceKey, suspect: &Suspect) -> bool {
        let Some(state) = refusals::with(self.loaded.in_force(), std::iter::once(suspect)) else { return false };
        let Ok(resources) = translate(&state, &target.proxy, self.translator.inputs()) else { return false };
        let other = resources.iter().find(|resource| resource.kind() == *kind && resource.name() == name);
        let refused = translate(self.loaded.state(), &target.proxy, self.translator.inputs()).unwrap_or_default();
        let refused = refused.iter().find(|resource| resource.kind() == *kind && resource.name() == name);
        other.map(|other| other.version()) != refused.map(|refused| refused.version())
    }

    /// Documents that have changed are tried anew.
    pub(super) fn forgive_changed(&mut self) -> Vec<(String, Option<Vec<refusals::Refused>>)> {
        let Self { refusals, loaded, targets, .. } = self;
        for refusals in refusals.values_mut() {
            refusals.keep_unchanged(loaded.in_force());
        }
        let status = refusals.iter().map(|(node, refusals)| (node.clone(), (!refusals.is_empty()).then(|| refusals.status()))).collect();
        refusals.retain(|node, refusals| !refusals.is_empty() && targets.contains_key(node));
        status
    }
}

#[cfg(test)]
mod tests;
