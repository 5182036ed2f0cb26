//! Changes that would take away much of the mesh at once are held back; all others are not.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use meshwright_sources::{Class, DirectorySource, Guard, Loaded, SourceHandle};
use tempfile::TempDir;
use tokio::sync::watch;

const MESH: &str = "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {trustDomain: a.example}\n";
/// Far longer than any change takes to be seen; it ends tests that would wait for ever.
const LONGEST: Duration = Duration::from_secs(30);

fn policy(name: usize, action: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p{name}}}\nspec: {{action: {action}, rules: [{{}}]}}\n"
    )
}

fn service(name: usize, endpoints: usize) -> String {
    let endpoints: Vec<String> = (1..=endpoints).map(|host| format!("{{address: 10.0.{name}.{host}}}")).collect();
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: s{name}}}\nspec: {{hosts: [s{name}.a.example], resolution: STATIC, \
         ports: [{{number: 80, name: http, protocol: HTTP}}], endpoints: [{}]}}\n",
        endpoints.join(", ")
    )
}

struct Mesh {
    dir: TempDir,
    _data: TempDir,
    handle: SourceHandle,
    loaded: watch::Receiver<Arc<Loaded>>,
}

impl Mesh {
    fn start(guard: Guard, files: &[(&str, String)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "mesh.yaml", MESH);
        files.iter().for_each(|(name, text)| write(dir.path(), name, text));
        let data = tempfile::tempdir().unwrap();
        let source = DirectorySource::open(dir.path(), guard, &data.path().join("documents.jsonl")).unwrap();
        let (handle, loaded) = (source.handle(), source.subscribe());
        tokio::spawn(source.run());
        Self { dir, _data: data, handle, loaded }
    }

    /// Replaces a file, or removes it, and returns what is loaded then.
    async fn change(&self, name: &str, text: Option<String>) -> Arc<Loaded> {
        match text {
            Some(text) => write(self.dir.path(), name, &text),
            None => std::fs::remove_file(self.dir.path().join(name)).unwrap(),
        }
        self.now().await
    }

    async fn now(&self) -> Arc<Loaded> {
        assert!(tokio::time::timeout(LONGEST, self.handle.reload()).await.unwrap());
        Arc::clone(&self.loaded.borrow())
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    let hidden = dir.join(format!(".{name}.new"));
    std::fs::write(&hidden, text).unwrap();
    std::fs::rename(hidden, dir.join(name)).unwrap();
}

fn policies(range: std::ops::Range<usize>, action: &str) -> String {
    range.map(|name| policy(name, action)).collect::<Vec<_>>().join("---\n")
}

fn removed(loaded: &Loaded) -> Vec<(Class, (usize, usize))> {
    loaded.held().into_iter().flat_map(|held| held.removed().clone()).collect()
}

#[tokio::test]
async fn a_folder_that_goes_missing_is_held_and_the_rest_of_the_change_is_not() {
    let mesh = Mesh::start(Guard::default(), &[("a.yaml", policies(0..12, "DENY")), ("b.yaml", policies(12..20, "DENY"))]);
    mesh.change("a.yaml", None).await;
    mesh.change("b.yaml", Some(policies(12..21, "AUDIT"))).await;
    // Once more: the new policy counts among those in force from when it is.
    let loaded = mesh.now().await;
    assert_eq!(removed(&loaded), [(Class::Policies, (12, 21))]);
    assert_eq!(loaded.held().unwrap().documents().len(), 12);
    assert_eq!(loaded.held().unwrap().to_string(), "12 of 21 policies would be removed at once");
    assert_eq!(loaded.state().authorization_policies().len(), 21, "all of the old, and the new one");
    let audits = loaded.state().authorization_policies().iter().filter(|policy| format!("{:?}", policy.wire().action) == "Audit");
    assert_eq!(audits.count(), 9, "edits take effect");
    // It stays held however often the directory is read, and ends when the documents come back.
    assert_eq!(mesh.now().await.held(), loaded.held());
    let back = mesh.change("a.yaml", Some(policies(0..12, "DENY"))).await;
    assert_eq!((back.held(), back.state().authorization_policies().len()), (None, 21));
}

#[tokio::test]
async fn what_is_released_goes_and_nothing_else_does() {
    let mesh = Mesh::start(Guard::default(), &[("a.yaml", policies(0..12, "DENY")), ("b.yaml", policies(12..15, "DENY"))]);
    let held = mesh.change("a.yaml", None).await.held().unwrap().name().to_owned();
    assert!(!mesh.handle.release("00000000").await, "no such removal");
    // Another removal has another name: what the operator has seen is what goes.
    let more = mesh.change("b.yaml", Some(policies(12..14, "DENY"))).await;
    let name = more.held().unwrap().name().to_owned();
    assert_ne!(name, held);
    assert!(!mesh.handle.release(&held).await);
    assert_eq!(mesh.now().await.state().authorization_policies().len(), 15);
    assert!(mesh.handle.release(&name).await);
    let loaded = mesh.now().await;
    assert_eq!((loaded.held(), loaded.state().authorization_policies().len()), (None, 2));
}

#[tokio::test]
async fn endpoints_that_an_edit_takes_away_are_held_too() {
    let mesh = Mesh::start(Guard::default(), &[("s.yaml", service(1, 30))]);
    let loaded = mesh.change("s.yaml", Some(service(1, 5))).await;
    assert_eq!(removed(&loaded), [(Class::Endpoints, (25, 30))]);
    assert_eq!(loaded.state().services().first().unwrap().endpoints().len(), 30);
    // Half is a rollout.
    let loaded = mesh.change("s.yaml", Some(service(1, 15))).await;
    assert_eq!((loaded.held(), loaded.state().services().first().unwrap().endpoints().len()), (None, 15));
}

#[tokio::test]
async fn a_service_that_moves_to_another_document_is_not_removed() {
    let services = |from: usize| {
        (0..12).map(|n| service(n, 1).replace(&format!("name: s{n}}}"), &format!("name: s{}}}", n + from))).collect::<Vec<_>>()
    };
    let mesh = Mesh::start(Guard::default(), &[("s.yaml", services(0).join("---\n"))]);
    let loaded = mesh.change("s.yaml", Some(services(100).join("---\n"))).await;
    assert_eq!(loaded.held(), None);
    assert!(loaded.state().services().iter().all(|service| service.key().name().len() == 4), "{:?}", loaded.documents());
}

#[tokio::test]
async fn the_threshold_is_the_operators() {
    for (guard, is_held) in [(Guard::new(10, 1), true), (Guard::new(50, 4), false), (Guard::new(100, 1), false), (Guard::new(0, 0), true)] {
        let mesh = Mesh::start(guard, &[("a.yaml", policies(0..3, "DENY"))]);
        let loaded = mesh.change("a.yaml", Some(policies(0..1, "DENY"))).await;
        assert_eq!(loaded.held().is_some(), is_held, "{guard:?}");
    }
}

#[tokio::test]
async fn a_few_documents_are_removed_by_hand() {
    let mesh = Mesh::start(Guard::default(), &[("a.yaml", policies(0..9, "DENY"))]);
    let loaded = mesh.change("a.yaml", None).await;
    assert_eq!((loaded.held(), loaded.state().authorization_policies().len()), (None, 0));
}
