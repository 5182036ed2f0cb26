//! From documents to the mesh's state. All or nothing: a mesh in which one document is quarantined would answer for another one.

use std::net::IpAddr;
use std::sync::Arc;

use meshwright_config::{Address, Content, Document, Kind, State, Workload, parse_file};
use serde_json::json;

use crate::case::{Asked, Source};

/// The `Mesh` of documents that have none.
const DEFAULT_MESH: &str = "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {trustDomain: cluster.local}\n";

/// What documents say, or everything that is wrong with them.
pub(crate) fn load(source: &Source) -> Result<Arc<State>, String> {
    match source {
        Source::Text(text) => from_text(text),
        Source::Directory(directory) => from_directory(directory),
    }
    .map(Arc::new)
}

fn from_text(text: &str) -> Result<State, String> {
    let mut documents = Vec::new();
    let mut errors = Vec::new();
    for parsed in parse_file("documents", text) {
        match parsed {
            Ok(document) => documents.push(document),
            Err(rejected) => errors.extend(rejected.errors().iter().map(ToString::to_string)),
        }
    }
    if !errors.is_empty() {
        return Err(errors.join("\n"));
    }
    if !documents.iter().any(|document| document.key().kind() == Kind::Mesh) {
        documents.extend(parse_file("default mesh", DEFAULT_MESH).into_iter().filter_map(Result::ok));
    }
    assembled(documents)
}

fn assembled(documents: Vec<Document>) -> Result<State, String> {
    let (state, errors) = State::assemble(documents);
    if errors.is_empty() { Ok(state) } else { Err(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")) }
}

fn from_directory(directory: &str) -> Result<State, String> {
    let checked = meshwright_sources::load_once(directory).map_err(|error| error.to_string())?;
    if checked.errors().is_empty() {
        return Ok(checked.state().clone());
    }
    Err(checked.errors().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// The workload that a case asks about, whether or not there is a document of it, and the address that the document has.
pub(crate) fn workload(state: &State, asked: &Asked) -> Result<(Workload, Option<IpAddr>), String> {
    let known = state.workload(&asked.namespace, &asked.name);
    let labels = asked.labels.as_ref().or(known.map(|known| known.labels()));
    let service_account = asked.service_account.as_deref().or(known.map(|known| known.service_account()));
    // Read as a document is, so that nothing holds for it that would not hold for a document.
    let document = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": {"namespace": asked.namespace, "name": asked.name},
        "spec": {"address": "192.0.2.1", "labels": labels.cloned().unwrap_or_default(),
            "serviceAccount": service_account.unwrap_or(meshwright_config::DEFAULT_SERVICE_ACCOUNT)},
    });
    let address = known.and_then(|known| match known.address() {
        Address::Ip(ip) => Some(*ip),
        Address::Name(_) => None,
    });
    match parse_file("workload", &document.to_string()).into_iter().next() {
        Some(Ok(document)) => {
            let Content::WorkloadEntry(workload) = document.content() else { return Err("workload: is no WorkloadEntry".to_owned()) };
            Ok((workload.clone(), address))
        }
        Some(Err(rejected)) => {
            Err(rejected.errors().iter().map(|error| field(error.path(), error.message())).collect::<Vec<_>>().join("\n"))
        }
        None => Err("workload: is empty".to_owned()),
    }
}

/// `spec.labels` of the document is `workload.labels` of the case.
fn field(path: &str, message: &str) -> String {
    let own = path.strip_prefix("spec.").or_else(|| path.strip_prefix("metadata.")).unwrap_or(path);
    format!("workload.{own}: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CART: &str = "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: cart-1, namespace: shop}\nspec: {address: 10.0.0.9, serviceAccount: cart, labels: {app: cart}}\n";

    fn asked(service_account: Option<&str>, labels: Option<&[(&str, &str)]>) -> Asked {
        let labels = labels.map(|labels| labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        Asked { namespace: "shop".to_owned(), name: "cart-1".to_owned(), service_account: service_account.map(str::to_owned), labels }
    }

    #[test]
    fn a_workload_is_what_the_case_says_and_else_what_its_document_says() {
        let state = load(&Source::Text(CART.to_owned())).unwrap();
        let (of_document, address) = workload(&state, &asked(None, None)).unwrap();
        assert_eq!((of_document.service_account(), of_document.labels().len(), address), ("cart", 1, Some("10.0.0.9".parse().unwrap())));
        let (of_case, _) = workload(&state, &asked(Some("other"), Some(&[]))).unwrap();
        assert_eq!((of_case.service_account(), of_case.labels().len()), ("other", 0));
        let nothing = load(&Source::Text(String::new())).unwrap();
        let (unknown, address) = workload(&nothing, &asked(None, Some(&[("app", "x")]))).unwrap();
        assert_eq!((unknown.service_account(), unknown.labels().len(), address), ("default", 1, None));
        assert!(workload(&nothing, &asked(Some("a/b"), None)).unwrap_err().starts_with("workload.serviceAccount: "));
    }

    #[test]
    fn every_error_is_told_and_nothing_is_left_out() {
        let twice = format!("{CART}---\n{CART}");
        let broken = format!("{CART}---\nkind: Teapot\n---\n{CART}x: y\n");
        for (text, errors) in [(twice, &["already in"][..]), (broken, &["Teapot", "x: unknown field"])] {
            let message = load(&Source::Text(text)).unwrap_err();
            assert!(errors.iter().all(|error| message.contains(error)), "{message}");
        }
        assert!(load(&Source::Directory("/nonexistent".to_owned())).unwrap_err().contains("/nonexistent"));
    }

    #[test]
    fn documents_without_a_mesh_have_the_default_one() {
        let state = load(&Source::Text(String::new())).unwrap();
        assert_eq!(state.mesh().unwrap().trust_domain().to_string(), "cluster.local");
        let mesh = DEFAULT_MESH.replace("cluster.local", "mesh.test");
        assert_eq!(load(&Source::Text(mesh)).unwrap().mesh().unwrap().trust_domain().to_string(), "mesh.test");
    }
}
