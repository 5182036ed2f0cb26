//! A directory on disk, edited as people and tools edit: what is in force after each edit.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use meshwright_sources::{DirectorySource, DocumentState, Guard, Loaded, SourceError, load_once};
use tempfile::TempDir;
use tokio::sync::watch;

const MESH: &str = "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {trustDomain: a.example}\n";
/// Far longer than any change takes to be seen; it ends tests that would wait for ever.
const LONGEST: Duration = Duration::from_secs(30);

fn policy(name: &str, action: &str, path: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}}}\nspec:\n  action: {action}\n  rules:\n  - to:\n    - operation:\n        paths: [\"{path}\"]\n"
    )
}

fn service(name: &str, host: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec: {{hosts: [{host}], resolution: DNS, ports: [{{number: 80, name: http, protocol: HTTP}}]}}\n"
    )
}

fn open(dir: &Path, data: &Path) -> Result<DirectorySource, SourceError> {
    DirectorySource::open(dir, Guard::default(), &data.join("documents.jsonl"))
}

struct Mesh {
    dir: TempDir,
    _data: TempDir,
    loaded: watch::Receiver<Arc<Loaded>>,
}

impl Mesh {
    fn start(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(dir.path(), name, text);
        }
        let config = dir.path().to_owned();
        Self::follow(dir, &config)
    }

    /// Follows `config`, which goes when `dir` does.
    fn follow(dir: TempDir, config: &Path) -> Self {
        let data = tempfile::tempdir().unwrap();
        let source = open(config, data.path()).unwrap();
        let loaded = source.subscribe();
        tokio::spawn(source.run());
        Self { dir, _data: data, loaded }
    }

    fn write(&self, name: &str, text: &str) {
        write(self.dir.path(), name, text);
    }

    /// What is loaded, once `good` holds for it.
    async fn until(&mut self, good: impl Fn(&Loaded) -> bool) -> Arc<Loaded> {
        let waiting = tokio::time::timeout(LONGEST, self.loaded.wait_for(|loaded| good(loaded))).await;
        if let Ok(loaded) = waiting {
            return Arc::clone(&loaded.unwrap());
        }
        drop(waiting);
        panic!("still {:#?}", self.loaded.borrow());
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    let hidden = dir.join(format!(".{name}.new"));
    std::fs::write(&hidden, text).unwrap();
    std::fs::rename(hidden, dir.join(name)).unwrap();
}

/// The policies in force, as `name path`.
fn policies(loaded: &Loaded) -> Vec<String> {
    let path = |policy: &meshwright_config::AuthorizationPolicy| {
        let operation = policy.wire().rules.first()?.to.as_ref()?.first()?.operation.as_ref()?;
        operation.paths.as_ref()?.first().cloned()
    };
    let mut found: Vec<_> = loaded
        .state()
        .authorization_policies()
        .iter()
        .map(|policy| format!("{} {}", policy.key().name(), path(policy).unwrap_or_default()))
        .collect();
    found.sort();
    found
}

/// What is quarantined: the error, and whether an older version is in force.
fn quarantined(loaded: &Loaded) -> Vec<(String, bool)> {
    let quarantine = |state: &DocumentState| match state {
        DocumentState::Quarantined { error, last_good } => Some((error.to_string(), *last_good)),
        DocumentState::Accepted => None,
    };
    loaded.documents().iter().filter_map(|document| quarantine(document.state())).collect()
}

#[tokio::test]
async fn edits_are_seen_and_documents_removed_are_gone() {
    let mut mesh = Mesh::start(&[
        ("mesh.yaml", MESH),
        ("notes.txt", "not: [yaml"),
        ("a.yaml", &format!("{}---\n{}", policy("a", "DENY", "/1"), policy("b", "DENY", "/1"))),
    ]);
    mesh.until(|loaded| policies(loaded) == ["a /1", "b /1"]).await;
    mesh.write("a.yaml", &policy("a", "DENY", "/2"));
    mesh.until(|loaded| policies(loaded) == ["a /2"]).await;
    std::fs::create_dir(mesh.dir.path().join("below")).unwrap();
    std::fs::write(mesh.dir.path().join("below/b.yml"), policy("b", "DENY", "/3")).unwrap();
    mesh.until(|loaded| policies(loaded) == ["a /2", "b /3"]).await;
    std::fs::remove_file(mesh.dir.path().join("a.yaml")).unwrap();
    let loaded = mesh.until(|loaded| policies(loaded) == ["b /3"]).await;
    assert_eq!((quarantined(&loaded), loaded.source_error()), (vec![], None));
}

#[tokio::test]
async fn a_bad_document_is_quarantined_alone_and_its_last_good_version_stays() {
    let text = |a: &str, b: &str| format!("{}---\n{}", policy("a", a, "/1"), policy("b", "DENY", b));
    let mut mesh = Mesh::start(&[("mesh.yaml", MESH), ("a.yaml", &text("DENY", "/1"))]);
    mesh.write("a.yaml", &text("DENIED", "/2"));
    let loaded = mesh.until(|loaded| policies(loaded) == ["a /1", "b /2"]).await;
    let found = quarantined(&loaded);
    assert!(matches!(&found[..], [(error, true)] if error.contains("a.yaml:5:3") && error.contains("spec.action")), "{found:?}");
    mesh.write("a.yaml", &text("DENY", "/2"));
    mesh.until(|loaded| quarantined(loaded).is_empty()).await;
}

#[tokio::test]
async fn what_cannot_be_told_apart_stays_whole() {
    let both = format!("{}---\n{}", policy("a", "DENY", "/1"), policy("b", "DENY", "/1"));
    let mut mesh = Mesh::start(&[("mesh.yaml", MESH), ("a.yaml", &both)]);
    for broken in ["kind: [", "", "\u{0}", &both.replace("---\n", ""), &format!("{}---\n{{", policy("a", "DENY", "/1"))] {
        mesh.write("a.yaml", broken);
        let loaded = mesh.until(|loaded| !quarantined(loaded).is_empty()).await;
        assert_eq!(policies(&loaded), ["a /1", "b /1"], "{broken:?}");
        assert!(quarantined(&loaded).iter().all(|(_, last_good)| *last_good), "{broken:?}");
        mesh.write("a.yaml", &both);
        mesh.until(|loaded| quarantined(loaded).is_empty()).await;
    }
    std::fs::write(mesh.dir.path().join("a.yaml"), [0xFF, 0xFE]).unwrap();
    let loaded = mesh.until(|loaded| !quarantined(loaded).is_empty()).await;
    assert_eq!(policies(&loaded), ["a /1", "b /1"]);
    assert!(quarantined(&loaded).iter().any(|(error, _)| error.contains("not UTF-8")), "{:?}", quarantined(&loaded));
}

#[tokio::test]
async fn a_vanished_or_empty_directory_is_an_error_and_the_state_stays() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("config");
    let moved = parent.path().join("moved");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("all.yaml"), format!("{MESH}---\n{}", policy("a", "DENY", "/1"))).unwrap();
    let mut mesh = Mesh::follow(parent, &dir);
    let failed = |wanted: &'static str| move |loaded: &Loaded| loaded.source_error().is_some_and(|error| error.contains(wanted));

    std::fs::rename(&dir, &moved).unwrap();
    let loaded = mesh.until(failed("does not exist")).await;
    assert_eq!(policies(&loaded), ["a /1"]);
    std::fs::create_dir(&dir).unwrap();
    let loaded = mesh.until(failed("holds no documents")).await;
    assert_eq!(policies(&loaded), ["a /1"]);
    std::fs::write(dir.join("a.yaml"), policy("a", "DENY", "/2")).unwrap();
    let loaded = mesh.until(failed("no document of kind `Mesh`")).await;
    assert_eq!(policies(&loaded), ["a /1"], "without a Mesh nothing changes");
    std::fs::write(dir.join("mesh.yaml"), MESH).unwrap();
    mesh.until(|loaded| loaded.source_error().is_none() && policies(loaded) == ["a /2"]).await;
    // The watch is on the new directory now.
    std::fs::write(dir.join("a.yaml"), policy("a", "DENY", "/3")).unwrap();
    mesh.until(|loaded| policies(loaded) == ["a /3"]).await;
}

#[tokio::test]
async fn documents_that_contradict_keep_what_was_in_force() {
    let route = |subset: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v}}\nspec: {{hosts: [a.example], http: [{{route: [{{destination: {{host: a.example, subset: {subset}}}}}]}}]}}\n"
        )
    };
    let rule = |subset: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: d}}\nspec: {{host: a.example, subsets: [{{name: {subset}}}]}}\n"
        )
    };
    let subset_in_force = |loaded: &Loaded| {
        let destination = loaded.state().virtual_services().first()?.destinations().next()?.1.subset()?.to_owned();
        let rule = loaded.state().destination_rules().first()?.subsets().first()?.name().to_owned();
        Some((destination, rule))
    };
    let both = |name: &str| Some((name.to_owned(), name.to_owned()));
    let mut mesh =
        Mesh::start(&[("mesh.yaml", MESH), ("s.yaml", &service("s", "a.example")), ("v.yaml", &route("v1")), ("d.yaml", &rule("v1"))]);
    assert_eq!(subset_in_force(&mesh.loaded.borrow()), both("v1"));

    mesh.write("v.yaml", &route("v2"));
    let loaded = mesh.until(|loaded| !quarantined(loaded).is_empty()).await;
    assert_eq!(subset_in_force(&loaded), both("v1"), "the route is put back");
    mesh.write("v.yaml", &route("v1"));
    mesh.until(|loaded| quarantined(loaded).is_empty()).await;

    mesh.write("d.yaml", &rule("v2"));
    let loaded = mesh.until(|loaded| !quarantined(loaded).is_empty()).await;
    assert_eq!(subset_in_force(&loaded), both("v1"), "the rule that the route depends on is put back");
    assert!(quarantined(&loaded).iter().all(|(_, last_good)| *last_good), "{:?}", quarantined(&loaded));
    mesh.write("v.yaml", &route("v2"));
    let loaded = mesh.until(|loaded| quarantined(loaded).is_empty()).await;
    assert_eq!(subset_in_force(&loaded), both("v2"), "both changed");

    // A newcomer does not push out what is in force, whatever its file is called.
    mesh.write("a.yaml", &service("newcomer", "a.example"));
    let loaded = mesh.until(|loaded| !quarantined(loaded).is_empty()).await;
    assert_eq!(loaded.state().services().first().unwrap().key().name(), "s");
    mesh.write("a.yaml", &service("s", "b.example"));
    let loaded = mesh.until(|loaded| quarantined(loaded).iter().any(|(error, _)| error.contains("of this name"))).await;
    assert_eq!(loaded.state().services().first().unwrap().hosts().first().unwrap().as_str(), "a.example");
}

#[tokio::test]
async fn a_mounted_config_map_is_swapped_whole() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().to_owned();
    let fill = |version: &str, path: &str| {
        std::fs::create_dir(config.join(version)).unwrap();
        std::fs::write(config.join(version).join("all.yaml"), format!("{MESH}---\n{}", policy("a", "DENY", path))).unwrap();
        std::os::unix::fs::symlink(version, config.join("..data_tmp")).unwrap();
        std::fs::rename(config.join("..data_tmp"), config.join("..data")).unwrap();
    };
    fill("..1", "/1");
    std::os::unix::fs::symlink("..data/all.yaml", config.join("all.yaml")).unwrap();
    let mut mesh = Mesh::follow(dir, &config);
    assert_eq!((policies(&mesh.loaded.borrow()), mesh.loaded.borrow().documents().len()), (vec!["a /1".to_owned()], 2));
    fill("..2", "/2");
    mesh.until(|loaded| policies(loaded) == ["a /2"]).await;
}

#[tokio::test]
async fn a_folder_that_is_swapped_is_read_whole_and_followed() {
    let mut mesh = Mesh::start(&[("mesh.yaml", MESH)]);
    let dir = mesh.dir.path().to_owned();
    let fill = |folder: &str, names: &[&str], path: &str| {
        std::fs::create_dir_all(dir.join(folder)).unwrap();
        names.iter().for_each(|name| std::fs::write(dir.join(folder).join(format!("{name}.yaml")), policy(name, "DENY", path)).unwrap());
    };
    fill("team", &["a", "b"], "/1");
    mesh.until(|loaded| policies(loaded) == ["a /1", "b /1"]).await;
    fill("team", &["a"], "/2");
    mesh.until(|loaded| policies(loaded) == ["a /2", "b /1"]).await;
    fill(".next", &["b", "c"], "/3");
    std::fs::rename(dir.join("team"), dir.join(".last")).unwrap();
    std::fs::rename(dir.join(".next"), dir.join("team")).unwrap();
    mesh.until(|loaded| policies(loaded) == ["b /3", "c /3"]).await;
    fill("team", &["c"], "/4");
    fill(".last", &["a"], "/4");
    let loaded = mesh.until(|loaded| policies(loaded) == ["b /3", "c /4"]).await;
    assert_eq!((quarantined(&loaded), loaded.source_error()), (vec![], None));
}

#[tokio::test]
async fn nothing_is_published_when_nothing_changed() {
    let mut mesh = Mesh::start(&[("mesh.yaml", MESH), ("a.yaml", &policy("a", "DENY", "/1"))]);
    mesh.loaded.mark_unchanged();
    let state = Arc::clone(mesh.loaded.borrow().state());
    mesh.write("a.yaml", &policy("a", "DENY", "/1"));
    mesh.write("b.yaml", "# nothing yet\n");
    mesh.write("a.yaml", &format!("# a comment\n{}", policy("a", "DENY", "/1")));
    let loaded = mesh.until(|loaded| loaded.documents().iter().any(|document| document.file() == "a.yaml" && document.line() == 1)).await;
    assert!(Arc::ptr_eq(&state, loaded.state()), "what means the same is the same state");
}

#[test]
fn a_directory_that_cannot_be_used_is_one_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let refusal = |path: &Path| open(path, data.path()).map(|_| ()).unwrap_err().to_string();
    assert!(refusal(&dir.path().join("nowhere")).contains("does not exist"));
    assert!(refusal(dir.path()).contains("holds no documents"));
    std::fs::write(dir.path().join("a.yaml"), policy("a", "DENY", "/1")).unwrap();
    assert!(refusal(dir.path()).contains("no document of kind `Mesh`"));
    assert!(refusal(&dir.path().join("a.yaml")).contains("is not a directory"));
}

#[test]
fn check_reports_every_error_in_order() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("b.yaml"),
        format!("{}---\n{}---\n{}", policy("a", "DENIED", "/1"), service("s", "a.example"), service("t", "a.example")),
    )
    .unwrap();
    std::fs::write(dir.path().join("a.yaml"), format!("{MESH}---\n{{")).unwrap();
    let checked = load_once(dir.path()).unwrap();
    let found: Vec<String> = checked.errors().iter().map(ToString::to_string).collect();
    assert_eq!(checked.documents(), 5);
    assert!(
        matches!(&found[..], [a, b, c] if a.starts_with("a.yaml:7:") && b.starts_with("b.yaml:5:3:") && c.starts_with("b.yaml:19:8:")),
        "{found:#?}"
    );
    assert_eq!(checked.state().services().len(), 1);
    std::fs::remove_file(dir.path().join("a.yaml")).unwrap();
    assert!(load_once(dir.path()).unwrap().errors().iter().any(|error| error.message().contains("kind `Mesh`")));
}

/// A DENY rule with a path, and then workloads with a TCP port: without the path it would deny more than it says there.
#[tokio::test]
async fn a_policy_is_not_lost_to_services_that_are_added() {
    let tcp = |name: &str, protocol: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec: {{hosts: [{name}.example], location: MESH_INTERNAL, \
             resolution: STATIC, ports: [{{number: 90, name: port, protocol: {protocol}}}], workloadSelector: {{labels: {{app: {name}}}}}}}\n---\n\
             apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec: {{address: 127.0.0.{}}}\n---\n",
            name.trim_start_matches("s")
        )
    };
    let many = |protocol: &str| (1..=40).map(|number| tcp(&format!("s{number}"), protocol)).collect::<String>();
    let mut mesh = Mesh::start(&[("mesh.yaml", MESH), ("policy.yaml", &policy("a", "DENY", "/1"))]);
    mesh.until(|loaded| policies(loaded) == ["a /1"]).await;
    mesh.write("services.yaml", &many("TCP"));
    let loaded = mesh.until(|loaded| !quarantined(loaded).is_empty()).await;
    assert_eq!((policies(&loaded), loaded.state().services().len()), (vec!["a /1".to_owned()], 0));
    let quarantined_now = quarantined(&loaded);
    assert_eq!(quarantined_now.len(), 40, "the services, and not their workloads");
    let (error, last_good) = &quarantined_now[0];
    assert!(error.contains("AuthorizationPolicy default/a") && error.contains("port 90 (TCP)") && !last_good, "{error}");
    mesh.write("services.yaml", &many("HTTP"));
    mesh.until(|loaded| quarantined(loaded).is_empty() && loaded.state().services().len() == 40).await;
    // A service in force that changes is put back as it was.
    mesh.write("services.yaml", &many("HTTP").replacen("protocol: HTTP", "protocol: TCP", 1));
    let loaded = mesh.until(|loaded| !quarantined(loaded).is_empty()).await;
    assert_eq!((policies(&loaded), loaded.state().services().len()), (vec!["a /1".to_owned()], 40));
    assert!(matches!(&quarantined(&loaded)[..], [(_, true)]), "{:?}", quarantined(&loaded));
    // Whoever comes with both at once is told of the policy.
    let fresh = tempfile::tempdir().unwrap();
    for (name, text) in [("mesh.yaml", MESH), ("policy.yaml", &policy("a", "DENY", "/1")), ("services.yaml", &tcp("s1", "TCP"))] {
        write(fresh.path(), name, text);
    }
    let refused = open(fresh.path(), &fresh.path().join(".data")).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("policy.yaml") && refused.contains("never in force"), "{refused}");
}

/// Without the service there is nobody to ask: all stays as it was, and says why.
#[tokio::test]
async fn a_provider_that_is_still_named_cannot_be_removed() {
    let asking = MESH.replace(
        "spec: {trustDomain: a.example}",
        "spec: {trustDomain: a.example, extensionProviders: [{name: opa, envoyExtAuthzHttp: {service: opa.example, port: 80}}]}",
    );
    let custom = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: ask}\n\
                  spec: {action: CUSTOM, provider: {name: opa}, rules: [{}]}\n";
    let mut mesh = Mesh::start(&[("mesh.yaml", &asking), ("opa.yaml", &service("opa", "opa.example")), ("policy.yaml", custom)]);
    mesh.until(|loaded| policies(loaded).len() == 1).await;
    std::fs::remove_file(mesh.dir.path().join("opa.yaml")).unwrap();
    let loaded = mesh.until(|loaded| loaded.source_error().is_some()).await;
    let error = loaded.source_error().unwrap();
    assert!(error.contains("spec.extensionProviders[0].envoyExtAuthzHttp.service: no ServiceEntry has the host `opa.example`"), "{error}");
    assert_eq!((policies(&loaded).len(), loaded.state().services().len()), (1, 1));
    // Nor from the mesh, as long as a policy asks it.
    mesh.write("opa.yaml", &service("opa", "opa.example"));
    mesh.until(|loaded| loaded.source_error().is_none()).await;
    mesh.write("mesh.yaml", MESH);
    let loaded = mesh.until(|loaded| !quarantined(loaded).is_empty()).await;
    assert!(matches!(&quarantined(&loaded)[..], [(error, true)] if error.contains("`opa` is not among")), "{:?}", quarantined(&loaded));
    assert_eq!((policies(&loaded).len(), loaded.state().mesh().unwrap().providers().len()), (1, 1));
}
