//! What a control plane that starts again knows of the documents that were in force before.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use meshwright_sources::{DirectorySource, DocumentState, Guard, Loaded, SourceError};
use tempfile::TempDir;

const MESH: &str = "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {trustDomain: a.example}\n";
const LONGEST: Duration = Duration::from_secs(30);

fn policy(name: &str, action: &str, path: &str) -> String {
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}}}\nspec:\n  action: {action}\n  rules:\n  - to: [{{operation: {{paths: [\"{path}\"]}}}}]\n"
    )
}

/// The two directories of a control plane that starts and ends.
struct Folders {
    config: TempDir,
    data: TempDir,
}

impl Folders {
    fn new() -> Self {
        let folders = Self { config: tempfile::tempdir().unwrap(), data: tempfile::tempdir().unwrap() };
        folders.write("mesh.yaml", MESH);
        folders
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.config.path().join(name), text).unwrap();
    }

    fn last_good(&self) -> PathBuf {
        self.data.path().join("documents.jsonl")
    }

    fn open(&self) -> Result<DirectorySource, SourceError> {
        DirectorySource::open(self.config.path(), Guard::default(), &self.last_good())
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.open().unwrap().subscribe().borrow())
    }

    /// Runs until what is in the directory now is in force and kept.
    async fn run(&self) -> Arc<Loaded> {
        let source = self.open().unwrap();
        let (handle, loaded) = (source.handle(), source.subscribe());
        let running = tokio::spawn(source.run());
        assert!(tokio::time::timeout(LONGEST, handle.reload()).await.unwrap());
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        Arc::clone(&*loaded.borrow())
    }
}

/// Name and path of each policy in force.
fn policies(loaded: &Loaded) -> Vec<String> {
    let path = |policy: &meshwright_config::AuthorizationPolicy| {
        let operation = policy.wire().rules.first()?.to.as_ref()?.first()?.operation.as_ref()?;
        operation.paths.as_ref()?.first().cloned()
    };
    let policies = loaded.state().authorization_policies().iter();
    let mut found: Vec<String> = policies.map(|policy| format!("{} {}", policy.key().name(), path(policy).unwrap_or_default())).collect();
    found.sort();
    found
}

fn refusal(folders: &Folders) -> String {
    match folders.open() {
        Ok(_) => panic!("it starts"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_document_that_is_wrong_at_start_is_the_one_that_was_in_force() {
    let folders = Folders::new();
    folders.write("p.yaml", &(policy("a", "ALLOW", "/a") + &policy("b", "DENY", "/b")));
    folders.run().await;
    for broken in [policy("a", "ALLOW", "/a") + &policy("b", "PERHAPS", "/b"), policy("a", "ALLOW", "/a") + "---\n{{{\n", String::new()] {
        folders.write("p.yaml", &broken);
        let loaded = folders.run().await;
        assert_eq!(policies(&loaded), ["a /a", "b /b"], "{broken}");
        let quarantined = loaded.documents().iter().filter_map(|document| match document.state() {
            DocumentState::Quarantined { last_good, .. } => Some(*last_good),
            DocumentState::Accepted => None,
        });
        assert_eq!(quarantined.collect::<Vec<_>>(), [true]);
    }
    // Right again, changed and removed: as in the directory.
    folders.write("p.yaml", &policy("b", "DENY", "/c"));
    let loaded = folders.run().await;
    assert_eq!(policies(&loaded), ["b /c"]);
    folders.write("p.yaml", &policy("b", "PERHAPS", "/c"));
    let loaded = folders.run().await;
    assert_eq!(policies(&loaded), ["b /c"]);
}

#[tokio::test]
async fn what_was_never_in_force_cannot_be_started_without() {
    let folders = Folders::new();
    folders.write("p.yaml", &policy("a", "PERHAPS", "/a"));
    let error = refusal(&folders);
    assert!(error.contains("never in force") && error.contains("p.yaml:6:3") && error.contains("PERHAPS"), "{error}");
    // Once something was in force it is as while running: the new document alone is left out.
    folders.write("p.yaml", &policy("b", "DENY", "/b"));
    folders.run().await;
    folders.write("q.yaml", &policy("a", "PERHAPS", "/a"));
    assert_eq!(policies(&folders.loaded()), ["b /b"]);
}

#[tokio::test]
async fn removals_while_it_was_down_are_held_as_while_it_runs() {
    let folders = Folders::new();
    let many: String = (0..20).map(|number| policy(&format!("p{number}"), "DENY", "/x")).collect();
    folders.write("p.yaml", &many);
    folders.run().await;
    fs::remove_file(folders.config.path().join("p.yaml")).unwrap();
    let loaded = folders.run().await;
    assert_eq!(policies(&loaded).len(), 20);
    assert!(loaded.held().is_some());
    assert_eq!(policies(&folders.loaded()).len(), 20);
}

#[tokio::test]
async fn a_file_cut_short_holds_what_was_written_before() {
    let folders = Folders::new();
    folders.write("p.yaml", &policy("a", "DENY", "/a"));
    folders.run().await;
    let whole = fs::read(folders.last_good()).unwrap();
    folders.write("p.yaml", &policy("a", "DENY", "/b"));
    folders.run().await;
    let longer = fs::read(folders.last_good()).unwrap();
    folders.write("p.yaml", &policy("a", "PERHAPS", "/c"));
    for cut in whole.len()..=longer.len() {
        fs::write(folders.last_good(), longer.get(..cut).unwrap()).unwrap();
        let expected = if cut == longer.len() { "a /b" } else { "a /a" };
        assert_eq!(policies(&folders.loaded()), [expected], "{cut}");
    }
    // What follows half a line is whole.
    fs::write(folders.last_good(), longer.get(..longer.len() - 1).unwrap()).unwrap();
    folders.write("p.yaml", &policy("a", "DENY", "/d"));
    folders.run().await;
    folders.write("p.yaml", &policy("a", "PERHAPS", "/e"));
    assert_eq!(policies(&folders.loaded()), ["a /d"]);
}

#[tokio::test]
async fn history_does_not_pile_up() {
    let folders = Folders::new();
    let long = "x".repeat(150_000);
    for turn in 0..24 {
        folders.write("p.yaml", &(policy("a", "DENY", "/a") + &format!("# {turn} {long}\n")));
        folders.run().await;
    }
    let size = fs::metadata(folders.last_good()).unwrap().len();
    assert!(size < 2_000_000, "{size}");
    folders.write("p.yaml", &policy("a", "PERHAPS", "/a"));
    assert_eq!(policies(&folders.loaded()), ["a /a"]);
}

#[tokio::test]
async fn a_damaged_file_is_one_clear_error() {
    let folders = Folders::new();
    folders.run().await;
    let mut file = fs::OpenOptions::new().append(true).open(folders.last_good()).unwrap();
    file.write_all(b"{\"in_force\": 7}\n").unwrap();
    let error = refusal(&folders);
    assert!(error.contains("documents.jsonl`, line 3") && error.contains("meshwright check"), "{error}");
    fs::write(folders.last_good(), "{\"format\":2}\n").unwrap();
    assert!(refusal(&folders).contains("format 2"), "{}", refusal(&folders));
}

#[tokio::test]
async fn a_data_directory_is_one_control_planes() {
    let folders = Folders::new();
    let first = folders.open().unwrap();
    assert!(refusal(&folders).contains("in use by another control plane"));
    drop(first);
    folders.run().await;
}
