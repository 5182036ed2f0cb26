//! What one document says against what the others say. A document that contradicts is left out; the others stay.

use std::borrow::Borrow;
use std::collections::BTreeSet;

use meshwright_cores::each_on_a_core;
use rustc_hash::FxHashMap;

use super::State;
use crate::document::Document;
use crate::error::DocumentError;
use crate::key::{DocumentKey, Kind};

mod edge;
mod policies;
mod registry;
mod routes;
mod tcp;

/// Documents that are still in, and the state that they make.
pub(super) struct View<'a> {
    /// In the order of their keys.
    documents: Vec<&'a Document>,
    /// In the order in which they were given.
    given: Vec<&'a Document>,
    pub(super) state: State,
}

impl<'a> View<'a> {
    fn new(documents: &[&'a Document]) -> Self {
        let mut state = State::default();
        let mut ordered: Vec<&Document> = documents.to_vec();
        ordered.sort_by(|a, b| a.key().cmp(b.key()));
        for document in &ordered {
            state.insert(document.content().clone());
        }
        state.complete_names();
        Self { documents: ordered, given: documents.to_vec(), state }
    }

    fn get(&self, key: &DocumentKey) -> Option<&'a Document> {
        let place = self.documents.binary_search_by(|document| document.key().cmp(key)).ok()?;
        self.documents.get(place).copied()
    }

    /// An error of the document `key` at `path`.
    fn error(&self, key: &DocumentKey, path: &str, message: impl Into<String>) -> Option<DocumentError> {
        self.get(key).map(|document| document.error(path, message))
    }

    /// As [`View::error`], naming documents that a change of would cure it.
    fn error_with(&self, key: &DocumentKey, path: &str, message: impl Into<String>, related: Vec<DocumentKey>) -> Option<DocumentError> {
        self.error(key, path, message).map(|error| DocumentError { related, ..error })
    }

    /// `Kind namespace/name in file:line`, for messages.
    fn place(&self, key: &DocumentKey) -> String {
        self.get(key).map_or_else(|| key.to_string(), |document| format!("{key} in {}", document.origin()))
    }

    /// The `Mesh`, of which there is at most one by now.
    fn meshes(&self) -> Vec<DocumentKey> {
        keys_of(self, Kind::Mesh).into_iter().cloned().collect()
    }

    /// The one that was given first, which stays, and the other.
    fn in_order<'k>(&self, a: &'k DocumentKey, b: &'k DocumentKey) -> (&'k DocumentKey, &'k DocumentKey) {
        let first = self.given.iter().map(|document| document.key()).find(|key| *key == a || *key == b);
        if first == Some(b) && a != b { (b, a) } else { (a, b) }
    }
}

/// Each stage may rely on what the stages before it refused.
const STAGES: &[fn(&View<'_>) -> Vec<DocumentError>] = &[
    registry::one_mesh,
    registry::one_service_per_host,
    registry::selectors_outside_root,
    registry::one_sidecar_per_namespace,
    registry::one_protocol_per_port,
    registry::one_workload_per_port,
    edge::credentials_exist,
    edge::one_meaning_per_port,
    routes::rules_have_hosts,
    routes::one_rule_per_host,
    routes::gateways_exist,
    routes::one_route_per_host,
    routes::destinations_exist,
    policies::targets_exist,
    policies::providers_exist,
    tcp::nothing_widened,
    tcp::providers_can_be_asked,
    policies::providers_are_services,
];

/// So many documents are worth more than one core.
const WORTH_SHARING: usize = 10_000;

/// The state of the documents that fit together, and what was wrong with the others.
pub(super) fn consistent<D: Borrow<Document>>(documents: Vec<D>) -> (State, Vec<DocumentError>) {
    let mut documents: Vec<&Document> = documents.iter().map(Borrow::borrow).collect();
    let mut errors = refuse_duplicates(&mut documents);
    let mut view = View::new(&documents);
    let clean = if documents.len() < WORTH_SHARING { 0 } else { clean_stages(&view) };
    for stage in STAGES.iter().skip(clean) {
        let found = stage(&view);
        if found.is_empty() {
            continue;
        }
        let refused: BTreeSet<DocumentKey> = found.iter().filter_map(DocumentError::key).collect();
        documents.retain(|document| !refused.contains(document.key()));
        errors.extend(found);
        view = View::new(&documents);
    }
    (view.state, errors)
}

/// How many stages, from the first on, find nothing wrong: nearly always all of them, and then none has to wait for those before it. On all
/// cores.
fn clean_stages(view: &View<'_>) -> usize {
    let clean = each_on_a_core(STAGES, |stage| stage(view).is_empty());
    clean.into_iter().take_while(|is_clean| *is_clean).count()
}

fn refuse_duplicates(documents: &mut Vec<&Document>) -> Vec<DocumentError> {
    let mut first = FxHashMap::with_capacity_and_hasher(documents.len(), rustc_hash::FxBuildHasher);
    let mut errors = Vec::new();
    documents.retain(|document| match first.get(document.key()) {
        None => {
            first.insert(document.key(), document.origin());
            true
        }
        Some(origin) => {
            errors.push(
                document.error("metadata.name", format!("a {} of this name is already in {origin}, which stays", document.key().kind())),
            );
            false
        }
    });
    errors
}

/// The keys of all documents of a kind.
fn keys_of<'a>(view: &View<'a>, kind: Kind) -> Vec<&'a DocumentKey> {
    view.documents.iter().map(|document| document.key()).filter(|key| key.kind() == kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_file;

    const MESH: &str = "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {name: first}\nspec: {trustDomain: shop.test}\n---\n";

    fn clean(text: &str) -> usize {
        let documents: Vec<Document> = parse_file("a.yaml", text).into_iter().map(Result::unwrap).collect();
        clean_stages(&View::new(&documents.iter().collect::<Vec<_>>()))
    }

    fn service(name: &str, host: &str) -> String {
        let head = format!("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: shop}}\n");
        format!("{head}spec: {{hosts: [{host}], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: DNS}}\n---\n")
    }

    #[test]
    fn all_stages_at_once_find_where_the_first_is_that_finds_something() {
        let good = format!("{MESH}{}{}", service("a", "a.test"), service("b", "b.test"));
        assert_eq!(clean(&good), STAGES.len());
        assert_eq!(clean(&format!("{good}{}", service("c", "b.test"))), 1, "one service per host");
        let second_mesh = MESH.replace("name: first", "name: other");
        assert_eq!(clean(&format!("{good}{second_mesh}{}", service("c", "b.test"))), 0, "one mesh, and a host twice");
    }
}
