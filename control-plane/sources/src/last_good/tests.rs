//! Killed, or with a full disk, before every single change of the disk; and what is synced at all.

use meshwright_durable::faults::{self, Fault};

use super::*;
use crate::guard::Guard;
use crate::scan::{Saved, Text};
use crate::store::Store;

const MESH: &str = "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {trustDomain: a.example}\n";

/// A mesh with a policy for `path` and a workload at `address`.
fn files(path: &str, address: &str) -> Files {
    let policy = format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: a}}\nspec:\n  action: DENY\n  rules:\n  - to: [{{operation: {{paths: [\"{path}\"]}}}}]\n"
    );
    let entry = format!(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: w, namespace: test}}\nspec: {{address: {address}, serviceAccount: w, labels: {{app: w}}}}\n"
    );
    let files = [("mesh.yaml", MESH.to_owned()), ("policy.yaml", policy), ("entry.yaml", entry)];
    files.map(|(name, text)| (name.to_owned(), Ok(Text::fresh(text.into_bytes())))).into()
}

fn in_force(files: &Files) -> Arc<Documents> {
    let mut store = Store::new(Guard::default());
    store.look(files);
    let loaded = store.update(&Saved::default()).unwrap();
    assert_eq!(loaded.in_force.len(), files.len());
    loaded.in_force
}

fn texts(kept: Vec<Kept>) -> BTreeSet<String> {
    kept.into_iter().map(|kept| kept.text).collect()
}

fn texts_of(files: &Files) -> BTreeSet<String> {
    files.values().map(|bytes| String::from_utf8(bytes.as_ref().unwrap().bytes().to_vec()).unwrap()).collect()
}

/// Goes from `before` to `after` with each fault; how many changes of the disk that takes.
fn steps(before: &Files, after: &Files) -> u32 {
    let (was, is) = (in_force(before), in_force(after));
    let counted = [Fault::Killed, Fault::Full].map(|fault| {
        faults::everywhere(|steps| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("documents.jsonl");
            let (mut last_good, _) = LastGood::open(&path).unwrap();
            last_good.keep(&was, before).unwrap();
            let (kept, struck) = faults::with(steps, fault, || last_good.keep(&is, after));
            assert_eq!(kept.is_err(), struck, "{fault:?} {steps}");
            if fault == Fault::Full {
                // There is room again.
                last_good.keep(&is, after).unwrap();
            }
            drop(last_good);
            let (_, found) = LastGood::open(&path).unwrap();
            let found = texts(found.unwrap());
            assert!(
                found == texts_of(after) || (struck && fault == Fault::Killed && found == texts_of(before)),
                "{fault:?} {steps}: {found:?}"
            );
            struck
        })
    });
    assert_eq!(counted[0], counted[1]);
    counted[0]
}

#[test]
fn a_policy_is_synced_an_endpoint_only_written_and_what_is_the_same_is_neither() {
    let now = files("/a", "10.0.0.1");
    assert_eq!(steps(&now, &now), 0);
    assert_eq!(steps(&now, &files("/a", "10.0.0.2")), 2, "two halves of a line");
    assert_eq!(steps(&now, &files("/b", "10.0.0.1")), 3, "and a sync");
    let mut without = now.clone();
    without.remove("policy.yaml");
    assert_eq!(steps(&now, &without), 3);
    without.remove("entry.yaml");
    assert_eq!(steps(&now, &without), 3);
}

#[test]
fn a_document_that_only_moved_is_not_written_again() {
    let one_file = |comment: &str| -> Files {
        let mut files = files("/a", "10.0.0.1");
        let [entry, policy] = ["entry.yaml", "policy.yaml"].map(|name| files.remove(name).unwrap().unwrap());
        let all = [comment.as_bytes(), entry.bytes(), b"---\n", policy.bytes()].concat();
        files.insert("all.yaml".to_owned(), Ok(Text::fresh(all)));
        files
    };
    let (before, after) = (one_file(""), one_file("# a line that moves what follows\n"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents.jsonl");
    let (mut last_good, _) = LastGood::open(&path).unwrap();
    let mut kept = |files: &Files| {
        let mut store = Store::new(Guard::default());
        store.look(files);
        let documents = store.update(&Saved::default()).unwrap().in_force;
        assert_eq!(documents.len(), 3);
        last_good.keep(&documents, files).unwrap();
        std::fs::read_to_string(&path).unwrap().lines().count()
    };
    assert_eq!([kept(&before), kept(&after)], [4, 5], "the entry, of whose text the line is, and not the policy");
}
