//! What the admin API says of the whole.

use std::sync::Arc;
use std::time::SystemTime;

use meshwright_sources::{DocumentState, Held};
use meshwright_translate::Proxy;
use meshwright_xds::{Resource, ResourceType, Snapshot};
use serde_json::{Value, json};

use super::Publisher;
use crate::board::ProxyStatus;
use crate::foreign_bundles;
use crate::key_sources;

impl Publisher {
    /// What each connected proxy holds, and would hold if it were told of everything. Takes a translation for each.
    pub(crate) fn scopes(&self) -> Vec<Value> {
        let inner = self.lock();
        let mut translator = inner.translator.clone();
        let connected = inner.targets.iter().filter(|(_, target)| target.snapshot.receiver_count() > 0);
        let proxies: Vec<(String, Proxy, Arc<Snapshot>)> =
            connected.map(|(node, target)| (node.clone(), target.proxy.clone(), Arc::clone(&target.snapshot.borrow()))).collect();
        drop(inner);
        translator.change(Arc::new(translator.state().unscoped()), translator.inputs().clone());
        let size_of = |snapshot: &Snapshot| size(ResourceType::ALL.iter().flat_map(|kind| snapshot.resources(*kind)).map(AsRef::as_ref));
        let scope = |(node, proxy, target): (String, Proxy, Arc<Snapshot>)| {
            let told = size_of(&target);
            let everything = translator.snapshot(&proxy).map(|snapshot| size_of(&snapshot));
            let (resources, bytes) = everything.unwrap_or(told);
            json!({"node": node, "resources": told.0, "bytes": told.1, "unscoped_resources": resources, "unscoped_bytes": bytes})
        };
        proxies.into_iter().map(scope).collect()
    }

    /// All that `status` says, with the board's `proxies`.
    pub(crate) fn status(&self, proxies: &[ProxyStatus]) -> Value {
        let inner = self.lock();
        let quarantined: Vec<Value> = inner
            .loaded
            .documents()
            .iter()
            .filter_map(|document| match document.state() {
                DocumentState::Accepted => None,
                DocumentState::Quarantined { error, last_good } => Some(json!({"error": error.to_string(), "last_good": last_good})),
            })
            .collect();
        json!({
            "trust_domain": self.facts.trust_domain,
            "root_expires": self.facts.root_expires,
            "root_fingerprint": self.facts.root_fingerprint,
            "module_sha256": self.facts.module_sha256,
            "revision": inner.revision,
            "documents": inner.loaded.documents().len(),
            "quarantined": quarantined,
            "warnings": inner.loaded.warnings(SystemTime::now()).iter().map(ToString::to_string).collect::<Vec<_>>(),
            "held": inner.offered.held().map(held),
            "source_error": inner.problem.as_deref().or_else(|| inner.offered.source_error()),
            "key_sources": self.keys.report().sources.iter().map(key_sources::status).collect::<Vec<_>>(),
            "trust_domains": self.federated.report().iter().map(foreign_bundles::status).collect::<Vec<_>>(),
            "proxies": proxies,
        })
    }
}

/// How many, and their bytes.
fn size<'a>(resources: impl Iterator<Item = &'a Resource>) -> (usize, usize) {
    resources.fold((0, 0), |(count, bytes), resource| (count.saturating_add(1), bytes.saturating_add(resource.body().len())))
}

/// A removal that waits, as `status` shows it.
fn held(held: &Held) -> Value {
    let removed: serde_json::Map<String, Value> =
        held.removed().iter().map(|(class, (lost, of))| (class.as_str().to_owned(), json!({"removed": lost, "of": of}))).collect();
    let documents: Vec<String> = held.documents().iter().map(ToString::to_string).collect();
    json!({"name": held.name(), "message": held.to_string(), "removed": removed, "documents": documents})
}
