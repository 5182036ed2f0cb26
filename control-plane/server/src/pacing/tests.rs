use std::sync::{Arc, Mutex};

use meshwright_sources::{DirectorySource, Guard, Loaded};

use super::*;

#[test]
fn the_first_after_a_rest_is_published_at_once_and_so_is_what_is_urgent() {
    let (mut pacing, now) = (Pacing::default(), Instant::now());
    assert_eq!(pacing.due(false), None);
    pacing.published(now);
    assert_eq!((pacing.due(false), pacing.due(true)), (Some(now + REST), None));
    pacing.published(now + REST);
    assert_eq!(pacing.due(false), Some(now + 2 * REST), "the rest counts from the last publication, not from the last save");
}

#[tokio::test]
async fn whatever_comes_the_newest_is_published_in_the_end() {
    let (news, receiver) = watch::channel(0);
    let published = Arc::new(Mutex::new(Vec::new()));
    let (seen, log) = (receiver.clone(), Arc::clone(&published));
    let following = tokio::spawn(follow(receiver, |number| *number == 3, move || log.lock().unwrap().push(*seen.borrow())));
    for number in 1..=5 {
        news.send_replace(number);
        tokio::task::yield_now().await;
    }
    drop(news);
    following.await.unwrap();
    let published = published.lock().unwrap();
    assert_eq!(published.last(), Some(&5), "{published:?}");
    assert!(published.is_sorted(), "{published:?}");
    assert!(published.contains(&1), "at once: {published:?}");
    assert!(published.contains(&3), "at once: {published:?}");
}

const MESH: &str = "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {trustDomain: test.local}\n---\n";

fn workload(name: &str, address: &str, app: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: {name}, namespace: test}}\n\
         spec: {{address: {address}, serviceAccount: a, labels: {{app: {app}}}}}\n---\n"
    )
}

fn service(addresses: &[&str]) -> String {
    let endpoints: String = addresses.iter().map(|address| format!("{{address: {address}}},")).collect();
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: s, namespace: test}}\nspec:\n  hosts: [s.test.mesh]\n  \
         location: MESH_INTERNAL\n  resolution: STATIC\n  ports: [{{number: 8080, name: http, protocol: HTTP}}]\n  endpoints: [{endpoints}]\n---\n"
    )
}

fn loaded(documents: &[String]) -> Arc<Loaded> {
    let folder = tempfile::tempdir().unwrap();
    let mesh = folder.path().join("mesh");
    std::fs::create_dir(&mesh).unwrap();
    std::fs::write(mesh.join("all.yaml"), MESH.to_owned() + &documents.concat()).unwrap();
    let source = DirectorySource::open(&mesh, Guard::default(), &folder.path().join("kept")).unwrap();
    Arc::clone(&source.subscribe().borrow())
}

#[test]
fn only_what_takes_an_endpoint_away_is_urgent() {
    let before = || vec![workload("a", "10.0.0.1", "front"), service(&["10.0.0.2", "10.0.0.3"])];
    let urgent = |after: &[String]| loses_endpoints(loaded(&before()).in_force(), loaded(after).in_force());
    assert!(!urgent(&before()));
    assert!(!urgent(&[workload("a", "10.0.0.1", "back"), service(&["10.0.0.3", "10.0.0.2", "10.0.0.4"])]), "one more, and another label");
    assert!(!urgent(&[before(), vec![workload("b", "10.0.0.9", "front")]].concat()));
    assert!(urgent(&[workload("a", "10.0.0.9", "front"), service(&["10.0.0.2", "10.0.0.3"])]), "a workload elsewhere");
    assert!(urgent(&[service(&["10.0.0.2", "10.0.0.3"])]), "a workload gone");
    assert!(urgent(&[workload("a", "10.0.0.1", "front"), service(&["10.0.0.3"])]), "one less");
    assert!(urgent(&[workload("a", "10.0.0.1", "front")]), "a service gone");
}
